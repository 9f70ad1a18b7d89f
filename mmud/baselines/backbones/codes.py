"""MM98x: pretraining of the small backbones."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

NOT_A_NUMBER = declare(
    "MM980",
    "training diverged",
    "Run the command again with --resume; if it happens again, start anew with another seed.",
    "The loss is infinite or no number. The weights of that step were not saved; the last state on disk is sound.",
    exit_code=ExitCode.INTERNAL,
)
STAGE_MISSING = declare(
    "MM981",
    "an earlier stage of pretraining is missing",
    "Run the stages in their order, or --stage all.",
    "The decoder and the vision map are trained on top of the vision encoder, and the map on the language model as well; their "
    "folders must lie in the output folder.",
    exit_code=ExitCode.USAGE,
)

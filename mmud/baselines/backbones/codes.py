"""MM93x: the small backbones and their pretraining."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

STAGE_MISSING = declare(
    "MM930",
    "an earlier stage of pretraining is missing",
    "Run the stages in their order, or --stage all.",
    "The image decoder and the vision map are trained on top of the vision encoder, and the map on the language model as well; "
    "their folders must lie in the output folder.",
    exit_code=ExitCode.USAGE,
)
WEIGHTS_MISSING = declare(
    "MM931",
    "the small backbones have no weights",
    "Run `mmud pretrain scenes-tiny -o DIR` and set MMUD_SCENES_TINY=DIR.",
    "The weights of scenes-tiny are looked for in the folder that MMUD_SCENES_TINY names, then in the package.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)

"""MM920 to MM929: training and the weights that it starts from."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

OUT_OF_MEMORY = declare(
    "MM920",
    "out of memory in training or predicting",
    "Give a smaller --set batch with a larger --set accumulate, add --set checkpointing=true, or use --set precision=bf16.",
    "The machine's or the accelerator's memory was not enough for one step. Accumulation gives the same gradients from smaller "
    "pieces; checkpointing computes the layers' values twice instead of keeping them. Checkpoints that were written stay.",
    exit_code=ExitCode.USAGE,
)
LOSS_NOT_FINITE = declare(
    "MM921",
    "loss or gradient is not a finite number",
    "Begin again with lower learning rates, more warm-up steps, or --set precision=fp32.",
    "The training diverged, or a number left the range of its type. Going on would write NaN into every weight, so training "
    "stopped before the step was taken; the checkpoints that were written before are good.",
    exit_code=ExitCode.USAGE,
)
DEVICE_MISSING = declare(
    "MM922",
    "no such device",
    "Use --set device=cpu, or install a build of torch for the accelerator.",
    "The device that was asked for is not there, or this build of torch cannot use it.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)
BACKBONE_UNKNOWN = declare(
    "MM923",
    "no backbone at that place",
    "Name a preset, a folder that `save_pretrained` wrote, or a hub id that can be reached.",
    "A language model, vision tower or image decoder could not be loaded from where the options say that it is.",
    exit_code=ExitCode.MISSING_DEPENDENCY,
)

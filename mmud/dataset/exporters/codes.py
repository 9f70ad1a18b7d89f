"""MM78x: exporting to other tools' formats."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

EXPORT_OPTION = declare(
    "MM780",
    "option that the format does not have",
    "`mmud export --formats` lists each format's options.",
    "A flag or an --option KEY=VALUE was given that means nothing to this format, or has a value it cannot work with. "
    "It is refused, because an option that is silently ignored looks as if it had worked.",
    exit_code=ExitCode.USAGE,
)
NOT_AN_IMAGE = declare(
    "MM781",
    "image bytes of no known format",
    "Put the image back, or leave such samples out with --skip-missing-images.",
    "Images are copied byte by byte, so their first bytes must be those of an image format. Anything else is refused: "
    "a linked path of a foreign dataset may name any file of this machine, and must not carry it into an export.",
)
OUTPUT_HOLDS_DATASET = declare(
    "MM782",
    "output would replace what is needed",
    "Name an output outside the dataset's folder, and not above it.",
    "The output folder is the dataset's own folder or the current one, or contains it; with --force it would be removed.",
    exit_code=ExitCode.USAGE,
)
CAPTIONS_LEAK = declare(
    "MM783",
    "questions give labels away",
    "Write the questions of the generation task by themselves (--tasks generation), or take them from other images.",
    "The prompt of the generation task is the image's caption, which is the label of the captioning task; and an image that "
    "is given for the other tasks is the label of the generation task. Questions for both sides of the same samples let a "
    "participant copy the answers.",
    severity=Severity.WARNING,
)
NOTHING_EXPORTED = declare(
    "MM784",
    "nothing was exported",
    "Read the losses: they say why the format could hold none of the samples.",
    "The output has no record. Either the chosen splits are empty, or no sample has what the format is made of, as a "
    "question for ReasonSeg.",
    severity=Severity.WARNING,
)

"""MM96x: drafting labels."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

ANNOTATOR_OPTION = declare(
    "MM960",
    "unusable setting of an annotator",
    "Correct the setting that the message names; docs/annotate.md lists them.",
    "A setting of an annotator is unknown, missing, or outside what it is defined for.",
    exit_code=ExitCode.USAGE,
)
DRAFT_REFUSED = declare(
    "MM961",
    "service will not draft a sample",
    "Nothing, if the image is one that a service may refuse; else draft it with another model, or by hand.",
    "The service answered status 400, 413 or 422, or a content filter took the answer away. The sample stays without the label; "
    "the refusal is not kept, so that the same command asks again.",
    severity=Severity.WARNING,
    exit_code=ExitCode.REMOTE,
)
DRAFT_INVALID = declare(
    "MM962",
    "draft unusable after its repair",
    "Draft it with another model or a larger --set max_tokens, or by hand.",
    "The model's answer was no JSON of the form asked for, was empty, was cut off, or used tags of objects that are not there; "
    "it was told so once, and its second answer was no better. The sample stays without the label; the answer is not kept.",
    severity=Severity.WARNING,
    exit_code=ExitCode.REMOTE,
)
NOTHING_TO_SAY = declare(
    "MM963",
    "nothing to draft from",
    "Nothing, if the sample is to serve other tasks; else draft it with another annotator, or by hand.",
    "The annotator has too little to go by: no object, no object with a mask for a tag to point at, or a sample that is not of "
    "its kind. The sample stays without the label.",
    severity=Severity.INFO,
)
BUDGET_SPENT = declare(
    "MM964",
    "budget of drafting is spent",
    "Raise --max-cost or --max-requests and give the same command again: what was answered is kept.",
    "The next request could exceed --max-cost, or would be one more than --max-requests. Both count everything that the file "
    "of answers has recorded, earlier runs included.",
    exit_code=ExitCode.REMOTE,
)
TOO_MANY_LEFT_OUT = declare(
    "MM965",
    "no usable drafts in a row",
    "Look at the first messages; try another model or prompt with --limit 5. --set give_up=N allows more.",
    "So many samples in a row were refused or answered unusably that the model, the prompt or the endpoint must be unfit. "
    "Going on would cost money for nothing.",
    exit_code=ExitCode.REMOTE,
)
ANSWERS_UNUSABLE = declare(
    "MM966",
    "file of answers cannot be used",
    "Wait for the other run to end, or name another file with --answers.",
    "The file that keeps what a service answered is in use by another run, is damaged, or is no such file.",
    exit_code=ExitCode.USAGE,
)
SCENE_LOST = declare(
    "MM967",
    "scene cannot be made again",
    "Give the world's settings, as in --set preset=hard; the dataset's recipe.toml has them.",
    "The sample says that it is a synthetic scene, and generating it with the settings at hand gives other objects than it has.",
    severity=Severity.WARNING,
)
PROMPT_INVALID = declare(
    "MM968",
    "unusable prompt file",
    "Give a text file in UTF-8 that holds {objects} where the list of objects belongs.",
    "A prompt of one's own cannot be read, or leaves no place for the objects that answers are to refer to.",
    exit_code=ExitCode.USAGE,
)

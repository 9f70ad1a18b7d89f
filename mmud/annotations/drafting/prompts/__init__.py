"""The prompts, one text file a version: ``TASK-VERSION.txt``. A file that has been used is never changed; a new one is added.

``{objects}`` stands for the list of objects, ``{marks}`` for a sentence about what was drawn on the image.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mmud.annotations.drafting import codes
from mmud.annotations.drafting.base import DraftTask
from mmud.errors import MmudError, Place

CURRENT = {DraftTask.CAPTION: "caption-1", DraftTask.QUESTION: "question-1"}
MARKS = "The boxes with numbers were drawn on the image to show which thing is which; they are not part of it."
OBJECTS_FIELD = "{objects}"
MARKS_FIELD = "{marks}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked with.

    Attributes:
        version: its name, and the start of its SHA-256.
        text: with its fields.
    """

    version: str
    text: str

    def fill(self, objects: str, marks: bool) -> str:
        """The text for one sample. Not str.format: braces of JSON and of phrases must pass unchanged."""
        sentence = MARKS if marks else ""
        lines = self.text.replace(MARKS_FIELD, sentence).replace(OBJECTS_FIELD, objects).splitlines()
        return "\n".join(line.rstrip() for line in lines)


def load_prompt(task: DraftTask, path: str = "") -> Prompt:
    """The prompt of a task: the current version, or a file of one's own.

    Raises:
        MmudError: MM968 when the file cannot be read or has no place for the objects.
    """
    if not path:
        name = CURRENT[task]
        text = resources.files(__name__).joinpath(f"{name}.txt").read_text("utf-8")
        return Prompt(_version(name, text), text)
    place = Place(file=path)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MmudError(codes.PROMPT_INVALID, f"cannot read the prompt: {error}", place) from error
    if OBJECTS_FIELD not in text:
        raise MmudError(codes.PROMPT_INVALID, f"the prompt has no {OBJECTS_FIELD}", place)
    return Prompt(_version(Path(path).stem, text), text)


def _version(name: str, text: str) -> str:
    return f"{name}:{hashlib.sha256(text.encode('utf-8')).hexdigest()[:12]}"

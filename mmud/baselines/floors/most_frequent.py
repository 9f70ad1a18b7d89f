"""The caption and the answer that the training split says most often, whatever is asked."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mmud.annotations import tags
from mmud.baselines import codes
from mmud.baselines.base import Baseline, Description, FitRun, Output
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.files import write_json
from mmud.records import Prediction, Sample, Task

FILE_NAME = "texts.json"


class _Texts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    caption: str
    answer: str
    caption_count: int = 0
    answer_count: int = 0


class MostFrequentCaption(Baseline):
    """Says the most frequent training caption, and the most frequent answer (without its tags), and gives no mask.

    Texts are compared with their white space made single. Of texts that are equally frequent, the one nearest to the median
    number of words is taken, then the earliest: where every caption occurs once, that is a caption of usual length.
    """

    name: ClassVar[str] = "most-frequent-caption"
    title: ClassVar[str] = "the most frequent training caption and answer, whatever is asked"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REASONING_SEGMENTATION, Task.CAPTIONING)
    needs_fitting: ClassVar[bool] = True
    reads_images: ClassVar[bool] = False

    _texts: _Texts

    def fit(self, dataset: Dataset, run: FitRun) -> None:
        captions: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        for sample in run.samples(dataset):
            for counter, text in ((captions, sample.caption), (answers, tags.remove(sample.answer))):
                if plain := " ".join(text.split()):
                    counter[plain] += 1
        if not captions and not answers:
            raise MmudError(codes.NOTHING_TO_FIT, f"{run.split} has neither captions nor answers")
        caption, caption_count = most_frequent(captions)
        answer, answer_count = most_frequent(answers)
        self._texts = _Texts(caption=caption, answer=answer, caption_count=caption_count, answer_count=answer_count)

    def save(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, self._texts.model_dump(mode="json"))

    def load(self, folder: Path) -> None:
        file = folder / FILE_NAME
        try:
            self._texts = _Texts.model_validate(json.loads(file.read_bytes()))
        except (OSError, ValueError, ValidationError) as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, f"{FILE_NAME}: {error}", Place(file=str(file))) from error

    def answer(self, sample: Sample, task: Task) -> Output:
        if task is Task.CAPTIONING:
            return Output(Prediction(sample_id=sample.sample_id, task=task, caption=self._texts.caption))
        return Output(Prediction(sample_id=sample.sample_id, task=task, answer=self._texts.answer))

    def describe(self) -> Description:
        return Description(details={"texts": self._texts.model_dump(mode="json")})


def most_frequent(texts: Counter[str]) -> tuple[str, int]:
    """The text that occurs most often, and how often; nothing, and 0, where there is none. Ties: see the class."""
    if not texts:
        return "", 0
    best = max(texts.values())
    lengths = sorted(len(text.split()) for text in texts.elements())
    median = lengths[(len(lengths) - 1) // 2]
    tied = [text for text, count in texts.items() if count == best]
    return min(tied, key=lambda text: abs(len(text.split()) - median)), best

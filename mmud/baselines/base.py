"""What a baseline is: something that may be fitted to a dataset, and that answers a task's inputs.

A baseline is a class with a name in the registry. It never writes a submission: it yields outputs, and
`mmud.baselines.predicting` writes, resumes, shards and measures. It sees labels only if it says that it reads them; otherwise
each sample comes with nothing but what its task gives (see `mmud.baselines.inputs`).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from mmud.baselines import codes
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.options import Options as Options
from mmud.options import read_options
from mmud.records import Prediction, Sample, Task
from mmud.registry import Registry


@dataclass(frozen=True, slots=True)
class Output:
    """What a baseline says about one sample.

    Attributes:
        prediction: for the task that was asked. In generation leave its ``image`` out: whoever writes the image names it.
        image: in generation, the image as the bytes of a PNG, JPEG, WebP or BMP file.
        tags: how many tags were wanted and how many of them the answer held, from a baseline that says tags; they are summed into
            ``system.tags_emitted`` of ``submission.json``.
    """

    prediction: Prediction
    image: bytes | None = None
    tags: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """Sizes, and what it needs.

    Attributes:
        parameters: of the whole system; None where the word means nothing.
        trainable_parameters: of which fitted; a number, or one for each part.
        needs: what must be at hand to predict, in words: "labels", "torch", "a network connection".
        details: anything else that a reader of the submission should know; JSON-compatible, never a secret.
    """

    parameters: int | None = None
    trainable_parameters: int | Mapping[str, int] | None = None
    needs: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None


class Bar(Protocol):
    """Progress of one stretch of work."""

    def advance(self, count: int = 1) -> None: ...


class SilentBar:
    """Progress that nobody looks at."""

    def advance(self, count: int = 1) -> None:
        """Nothing."""


ProgressFactory = Callable[[str, int | None], AbstractContextManager[Bar]]
"""From a label and a total (None where unknown) to progress."""


def silent(label: str, total: int | None) -> AbstractContextManager[Bar]:
    """Progress for callers that show none."""
    return nullcontext(SilentBar())


@dataclass(frozen=True)
class FitRun:
    """What fitting is given besides the dataset.

    Attributes:
        folder: where checkpoints, logs and caches of this fitting go. What an interrupted fitting left there is there again
            when the same request is run again: a baseline that trains for long looks there first. It is kept with the run.
        split: to learn from.
        valid_split: to select on, where the dataset has it. Never the test split.
        seed: of everything random.
        limit: only the first samples of ``split``.
        command: that repeats it, for the record.
        progress: shows a person how far it is.
        note: says something to a person.
    """

    folder: Path
    split: str = "train"
    valid_split: str | None = None
    seed: int = 0
    limit: int | None = None
    command: str = ""
    progress: ProgressFactory = silent
    note: Callable[[str], None] = lambda text: None

    def samples(self, dataset: Dataset, images: bool = False) -> Iterator[Sample]:
        """The samples to learn from, streamed, with progress."""
        length = dataset.length(self.split)
        wanted = length if self.limit is None else min(length, self.limit)
        with self.progress("samples", wanted) as bar:
            for position, sample in enumerate(dataset.samples(self.split, images=images)):
                if position >= wanted:
                    return
                yield sample
                bar.advance()


class Baseline(ABC):
    """A system that stands beside others on a leaderboard.

    A subclass overrides `answer`, or `predict` where samples are better answered together; and `fit`, `save` and `load` where
    it learns.

    Args:
        options: by name; strings, as the command line has them, are converted.
        seed: of everything random in predicting. Fitting has the seed of its `FitRun`.

    Raises:
        MmudError: MM905 for an option that is unknown or has a value out of bounds.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)
    needs_fitting: ClassVar[bool] = False
    reads_labels: ClassVar[bool] = False
    reads_images: ClassVar[bool] = True
    options_class: ClassVar[type[Options]] = Options

    options: Options

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        self.seed = seed
        self.options = read_options(self.options_class, options, self.name, codes.CONFIG_INVALID)

    def fit(self, dataset: Dataset, run: FitRun) -> None:
        """Learn from ``run.split`` of the dataset.

        Raises:
            MmudError: MM942 for a baseline that learns nothing.
        """
        raise MmudError(codes.FITTING, f"{self.name} learns nothing: predict with it by its name")

    def save(self, folder: Path) -> None:
        """Write what was fitted into a folder of its own: no pickles, since runs are passed from person to person."""
        self._refuse_unwritten()

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            MmudError: MM904 when it is missing or damaged.
        """
        self._refuse_unwritten()

    def _refuse_unwritten(self) -> None:
        if self.needs_fitting:
            raise NotImplementedError(f"{type(self).__name__} needs fitting and does not define save and load")

    def predict(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        """One output for each sample, in any order.

        Samples come as a stream and may be taken in batches of any size; ids are unique. What was yielded is kept when
        something fails later, so yield each output as soon as it is there.
        """
        for sample in samples:
            yield self.answer(sample, task)

    def answer(self, sample: Sample, task: Task) -> Output:
        """The output for one sample. Used by `predict` as it stands here."""
        raise NotImplementedError(f"{type(self).__name__} defines neither answer nor predict")

    def parameters(self) -> Mapping[str, Any] | None:
        """What fitting would train, for a dry run: numbers by name, nested where there are parts; None if unknown."""
        return None

    def describe(self) -> Description:
        """Sizes, and what it needs."""
        return Description(needs=("labels",) if self.reads_labels else ())


BASELINES: Registry[type[Baseline]] = Registry(
    "baseline",
    "mmud.baselines",
    {
        "oracle": "mmud.baselines.floors.labels:Oracle",
        "perturbed": "mmud.baselines.floors.perturbed:Perturbed",
        "union": "mmud.baselines.floors.labels:Union",
        "empty": "mmud.baselines.floors.constant:Empty",
        "centre-box": "mmud.baselines.floors.constant:CentreBox",
        "most-frequent-caption": "mmud.baselines.floors.most_frequent:MostFrequentCaption",
        "mean-image": "mmud.baselines.floors.mean_image:MeanImage",
        "retrieval": "mmud.baselines.floors.retrieval:Retrieval",
        "openai": "mmud.baselines.chat_model:ChatModel",
        "neural-tuning": "mmud.baselines.neural_tuning.baseline:NeuralTuning",
        "lora": "mmud.baselines.neural_tuning.baseline:Lora",
        "heads-only": "mmud.baselines.neural_tuning.baseline:HeadsOnly",
        "full": "mmud.baselines.neural_tuning.baseline:Full",
    },
)

"""The nearest training sample's labels: a real system without any learning, and the first one that a model must beat."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.baselines import codes
from mmud.baselines.base import Baseline, Description, FitRun, Options, Output
from mmud.baselines.floors.nearest import SIDE, TextIndex, descriptor, nearest, thumbnail, words_of
from mmud.baselines.predicting import batches
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.evaluators.segmentation.resize import source_positions
from mmud.files import atomic_write
from mmud.images import decode_image
from mmud.records import PredictedMask, Prediction, Sample, Segmentation, Task

LABELS_NAME = "neighbours.arrow"
DESCRIPTORS_NAME = "descriptors.npy"
_WRITE_ROWS = 64
_QUERIES = 64

_OBJECT = pa.struct([("phrases", pa.list_(pa.string())), ("counts", pa.string())])
_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("caption", pa.string()),
        ("answer", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("objects", pa.list_(_OBJECT)),
        ("thumbnail", pa.binary()),
    ]
)
Row = dict[str, Any]


class RetrievalOptions(Options):
    """
    Attributes:
        thumbnail: longest side, in pixels, of the copies of training images that generation answers with. Smaller images are
            kept as they are.
    """

    thumbnail: int = Field(default=256, ge=8, le=4096)


class Retrieval(Baseline):
    """Answers with the labels of the nearest training sample.

    - Captioning, reasoning, referring: the training image nearest in pixels. Both are scaled to 12 x 12 RGB by area and compared
      by Euclidean distance; of equal distances the earliest sample wins.
    - Captioning gives its caption. Reasoning gives its answer with the masks of its tags. Referring gives, for each phrase, the
      mask of that of its objects whose phrases share the largest part of their words (Jaccard; ties to the first). Masks are
      scaled to the asked image's size, nearest pixel.
    - Generation: the training image whose caption is nearest by the cosine of its words, each counted once and weighted by how
      rare it is in training captions, log(1 + captions / captions with the word).
    """

    name: ClassVar[str] = "retrieval"
    title: ClassVar[str] = "the labels of the nearest training sample, by 12 x 12 pixels or by words"
    needs_fitting: ClassVar[bool] = True
    options_class: ClassVar[type[Options]] = RetrievalOptions
    options: RetrievalOptions

    _labels: pa.Table
    _descriptors: NDArray[np.uint8]
    _work: Path
    _index: TextIndex | None = None

    def fit(self, dataset: Dataset, run: FitRun) -> None:
        self._work = run.folder
        descriptors: list[NDArray[np.uint8]] = []
        file = run.folder / LABELS_NAME
        with atomic_write(file) as stream, pa.ipc.new_file(stream, _SCHEMA) as writer:
            for batch in batches(run.samples(dataset, images=True), _WRITE_ROWS):
                rows = []
                for sample in batch:
                    pixels = decode_image(sample.image_bytes(), place=Place(sample=sample.sample_id))
                    descriptors.append(descriptor(pixels))
                    rows.append(_row(sample, thumbnail(sample.image_bytes(), pixels, self.options.thumbnail)))
                writer.write_batch(pa.RecordBatch.from_pylist(rows, _SCHEMA))
        if not descriptors:
            raise MmudError(codes.NOTHING_TO_FIT, f"{run.split} is empty")
        with atomic_write(run.folder / DESCRIPTORS_NAME) as stream:
            np.save(stream, np.stack(descriptors), allow_pickle=False)
        self._descriptors = np.stack(descriptors)

    def save(self, folder: Path) -> None:
        for name in (LABELS_NAME, DESCRIPTORS_NAME):
            shutil.move(self._work / name, folder / name)

    def load(self, folder: Path) -> None:
        try:
            with pa.memory_map(str(folder / LABELS_NAME)) as source:
                self._labels = pa.ipc.open_file(source).read_all()
            self._labels.validate(full=True)
            self._descriptors = np.load(folder / DESCRIPTORS_NAME, allow_pickle=False)
        except (OSError, ValueError, EOFError, pa.ArrowException) as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, str(error), Place(file=str(folder))) from error
        shape = (self._labels.num_rows, SIDE * SIDE * 3)
        if self._labels.schema != _SCHEMA or self._descriptors.shape != shape or self._descriptors.dtype != np.uint8:
            message = f"{LABELS_NAME} and {DESCRIPTORS_NAME} are not what this baseline writes"
            raise MmudError(codes.CHECKPOINT_UNREADABLE, message, Place(file=str(folder)))

    def predict(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        if task is Task.GENERATION:
            yield from map(self._generated, samples)
            return
        for batch in batches(samples, _QUERIES):
            pixels = (decode_image(sample.image_bytes(), place=Place(sample=sample.sample_id)) for sample in batch)
            found = nearest(np.stack([descriptor(image) for image in pixels]), self._descriptors)
            for sample, row in zip(batch, found.tolist(), strict=True):
                yield Output(_prediction(sample, task, self._neighbour(row, ("thumbnail",))))

    def _neighbour(self, row: int, without: tuple[str, ...] = ()) -> Row:
        table = self._labels.slice(row, 1).drop_columns(list(without))
        found: Row = table.to_pylist()[0]
        return found

    def _generated(self, sample: Sample) -> Output:
        if self._index is None:
            self._index = TextIndex(self._labels.column("caption").to_pylist())
        row = self._labels.slice(self._index.nearest(sample.caption), 1)
        return Output(Prediction(sample_id=sample.sample_id, task=Task.GENERATION), row.column("thumbnail")[0].as_py())

    def describe(self) -> Description:
        return Description(parameters=int(self._descriptors.size), details={"neighbours": len(self._descriptors)})


def _row(sample: Sample, image: bytes) -> Row:
    return {
        "sample_id": sample.sample_id,
        "caption": sample.caption,
        "answer": sample.answer,
        "height": sample.height,
        "width": sample.width,
        "objects": [
            {
                "phrases": [*item.phrases] or [item.category],
                "counts": None if item.segmentation is None else Mask.of(item.segmentation).to_record().counts,
            }
            for item in sample.objects
        ],
        "thumbnail": image,
    }


def _prediction(sample: Sample, task: Task, neighbour: Row) -> Prediction:
    fields: dict[str, Any] = {"sample_id": sample.sample_id, "task": task}
    if task is Task.CAPTIONING:
        return Prediction(**fields, caption=neighbour["caption"])
    objects = neighbour["objects"]
    if task is Task.REASONING_SEGMENTATION:
        numbers = [number for number in tags.indices(neighbour["answer"]) if 1 <= number <= len(objects)]
        masks = [(number, _scaled(objects[number - 1], neighbour, sample)) for number in numbers]
        given = tuple(PredictedMask(segmentation=mask, tag=number) for number, mask in masks if mask is not None)
        return Prediction(**fields, answer=neighbour["answer"], masks=given)
    with_mask = [item for item in objects if item["counts"] is not None]
    chosen = [_most_alike(item.phrases, with_mask) for item in sample.objects]
    return Prediction(
        **fields,
        masks=tuple(
            PredictedMask(segmentation=None if item is None else _scaled(item, neighbour, sample)) for item in chosen
        ),
    )


def _most_alike(phrases: tuple[str, ...], objects: list[Row]) -> Row | None:
    """The object whose phrases share the largest part of their words with the first of these; None without either."""
    if not phrases or not objects:
        return None
    wanted = words_of(phrases[0])

    def likeness(item: Mapping[str, Any]) -> float:
        both = [words_of(phrase) for phrase in item["phrases"]]
        return max((len(wanted & words) / max(1, len(wanted | words)) for words in both), default=0.0)

    return max(objects, key=likeness)


def _scaled(item: Row, neighbour: Row, sample: Sample) -> Segmentation | None:
    """The mask of a neighbour's object at the asked image's size."""
    if item["counts"] is None:
        return None
    mask = Mask.from_counts(item["counts"], neighbour["height"], neighbour["width"])
    if mask.size != (sample.height, sample.width):
        rows = source_positions(mask.height, sample.height)
        columns = source_positions(mask.width, sample.width)
        mask = Mask.from_array(mask.decode()[np.ix_(rows, columns)])
    return mask.to_record()

"""A batch of rows as flat arrays: what statistics count, without a Python object a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmud import codes
from mmud.annotations import tags
from mmud.errors import MmudError

_OBJECT = "objects.list.element"
READ_COLUMNS = (
    "width",
    "height",
    "source",
    "caption",
    "question",
    "answer",
    "license",
    f"{_OBJECT}.phrases",
    f"{_OBJECT}.segmentation.size",
    f"{_OBJECT}.area",
    f"{_OBJECT}.category",
    f"{_OBJECT}.iscrowd",
)
"""What is read from a shard: everything that is counted, and neither run lengths nor polygons nor images."""

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays of one batch.

    Attributes:
        width, height: of each sample's image, in pixels.
        caption_words, question_words, answer_words: 0 where the text is empty; tags are no words.
        answer_tags: tags in the answer.
        tagged_objects: different objects that the answer's tags point at.
        source, license: of each sample.
        owner: the sample of each object, as its position in the batch.
        area: of each object, in pixels.
        category: of each object.
        crowd, masked: whether an object is a crowd; whether it has a mask.
        phrase_owner: the object of each phrase, as its position among the batch's objects.
        phrase_words: words of each phrase.
    """

    width: Whole
    height: Whole
    caption_words: Whole
    question_words: Whole
    answer_words: Whole
    answer_tags: Whole
    tagged_objects: Whole
    source: NDArray[np.object_]
    license: NDArray[np.object_]
    owner: Whole
    area: NDArray[np.float64]
    category: NDArray[np.object_]
    crowd: Flags
    masked: Flags
    phrase_owner: Whole
    phrase_words: Whole


def words(texts: pa.Array) -> Whole:
    """How many white-space-separated words each text has; 0 for an empty one and for null."""
    trimmed = pc.utf8_trim_whitespace(pc.fill_null(texts, ""))
    counts = pc.list_value_length(pc.utf8_split_whitespace(trimmed))
    return _whole(pc.if_else(pc.equal(pc.utf8_length(trimmed), 0), 0, counts))


def _whole(array: pa.Array, default: int = 0) -> Whole:
    filled = pc.fill_null(array, default).cast(pa.int64())
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def _texts(array: pa.Array) -> NDArray[np.object_]:
    return np.asarray(pc.fill_null(array, "").to_numpy(zero_copy_only=False), dtype=object)


def _answers(array: pa.Array) -> tuple[Whole, Whole, Whole]:
    """Words, tags and tagged objects of each answer."""
    texts = [text or "" for text in array.to_pylist()]
    found = [[tag.index for tag in tags.parse(text)] for text in texts]
    plain = pa.array([tags.remove(text) for text in texts], pa.string())
    return (
        words(plain),
        np.array([len(indices) for indices in found], dtype=np.int64),
        np.array([len(set(indices)) for indices in found], dtype=np.int64),
    )


def read(batch: pa.RecordBatch) -> Columns:
    """The arrays of a batch that has the columns `READ_COLUMNS`.

    Raises:
        MmudError: MM101 when an object is null.
    """
    objects = batch.column("objects")
    items = objects.flatten()
    phrases = items.field("phrases")
    if items.null_count:
        raise MmudError(codes.RECORD_TYPE, "an object is null")
    answer_words, answer_tags, tagged = _answers(batch.column("answer"))
    return Columns(
        width=_whole(batch.column("width")),
        height=_whole(batch.column("height")),
        caption_words=words(batch.column("caption")),
        question_words=words(batch.column("question")),
        answer_words=answer_words,
        answer_tags=answer_tags,
        tagged_objects=tagged,
        source=_texts(batch.column("source")),
        license=_texts(batch.column("license")),
        owner=_whole(pc.list_parent_indices(objects)),
        area=np.asarray(pc.fill_null(items.field("area"), 0.0).to_numpy(zero_copy_only=False)),
        category=_texts(items.field("category")),
        crowd=np.asarray(pc.fill_null(items.field("iscrowd"), False).to_numpy(zero_copy_only=False), dtype=bool),
        masked=np.asarray(items.field("segmentation").is_valid().to_numpy(zero_copy_only=False), dtype=bool),
        phrase_owner=_whole(pc.list_parent_indices(phrases)),
        phrase_words=words(phrases.flatten()),
    )

"""The nouns everyone shares: tasks, masked objects, samples, predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmud import codes
from mmud.errors import MmudError, Place


class Task(StrEnum):
    """The four tasks that every image is labelled for."""

    REFERRING_SEGMENTATION = "referring_segmentation"
    REASONING_SEGMENTATION = "reasoning_segmentation"
    CAPTIONING = "captioning"
    GENERATION = "generation"


Finite = Annotated[float, Field(allow_inf_nan=False)]
Polygon = tuple[Finite, ...]
EncodedImage = bytes


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Segmentation(_Record):
    """A mask as stored: COCO's compressed run-length encoding, not yet checked.

    `mmud.annotations.masks.Mask.of` checks it and computes with it.

    Attributes:
        size: (height, width) in pixels.
        counts: the compressed runs.
    """

    size: tuple[int, int]
    counts: str


def _segmentation_row(segmentation: Segmentation | None) -> dict[str, Any] | None:
    return None if segmentation is None else {"size": list(segmentation.size), "counts": segmentation.counts}


class MaskedObject(_Record):
    """One object of an image: where it is and the phrases that mean it.

    Attributes:
        phrases: short expressions, each of which singles the object out.
        segmentation: its mask at the image's size; None where the source gives only a box.
        polygons: the source's own polygons, ``x1, y1, …`` in pixels; None where the source had none.
        bbox: the source's box ``x, y, width, height`` in pixels.
        area: the source's area, in pixels.
        category, category_id: the source set's category; the id is None where there is none.
        iscrowd: whether the mask covers a group (COCO).
        ref_id, ann_id: ids in the RefCOCO family and in COCO; None where there are none.
    """

    phrases: tuple[str, ...] = ()
    segmentation: Segmentation | None = None
    polygons: tuple[Polygon, ...] | None = None
    bbox: tuple[Finite, Finite, Finite, Finite] = (0.0, 0.0, 0.0, 0.0)
    area: Finite = 0.0
    category: str = ""
    category_id: int | None = None
    iscrowd: bool = False
    ref_id: int | None = None
    ann_id: int | None = None

    def to_row(self) -> dict[str, Any]:
        """As the column ``objects`` holds it."""
        return {
            "phrases": list(self.phrases),
            "segmentation": _segmentation_row(self.segmentation),
            "polygons": [list(polygon) for polygon in self.polygons] if self.polygons is not None else None,
            "bbox": list(self.bbox),
            "area": self.area,
            "category": self.category,
            "category_id": self.category_id,
            "iscrowd": self.iscrowd,
            "ref_id": self.ref_id,
            "ann_id": self.ann_id,
        }


class ImageReference(_Record):
    """An image as stored: its encoded bytes, or the path of its file, or both (the path is then the original name)."""

    bytes: EncodedImage | None = None
    path: str | None = None


class Sample(_Record):
    """One image, labelled for four tasks. Texts that a source does not have are empty.

    Attributes:
        sample_id: unique in the dataset.
        image: the encoded image, or where it is.
        width, height: of the image, in pixels.
        source: the source's name, as in "refcoco".
        source_image_id: the image's id in its source, as in COCO's; empty where there is none.
        caption: a long description of the image.
        question: a question that needs reasoning over the image.
        answer: its answer, with inline ``<LCL-i>`` tags that point at ``objects[i - 1]``.
        objects: the masked objects; tags count them from 1.
        license: of the image, as the source names it.
        provenance: who or what made each label; JSON-compatible.
    """

    sample_id: str = Field(min_length=1)
    image: ImageReference = ImageReference()
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    source: str
    source_image_id: str = ""
    caption: str = ""
    question: str = ""
    answer: str = ""
    objects: tuple[MaskedObject, ...] = ()
    license: str = ""
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_provenance(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("provenance"), str):
            text = data["provenance"]
            return {**data, "provenance": json.loads(text) if text else {}}
        return data

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: Place | None = None) -> Self:
        """From a row of the dataset, validated.

        Args:
            row: the columns by name; missing ones take their defaults.
            where: named in the error.

        Raises:
            MmudError: MM101, naming the first field that is wrong.
        """
        try:
            return cls.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = where or Place(sample=str(row.get("sample_id", "")) or None)
            field = ".".join(str(part) for part in first["loc"])
            raise MmudError(codes.RECORD_TYPE, f"{field or 'record'}: {first['msg']}", place) from error

    def to_row(self) -> dict[str, Any]:
        """The columns by name, as the Parquet schema holds them."""
        return {
            "sample_id": self.sample_id,
            "image": {"bytes": self.image.bytes, "path": self.image.path},
            "width": self.width,
            "height": self.height,
            "source": self.source,
            "source_image_id": self.source_image_id,
            "caption": self.caption,
            "question": self.question,
            "answer": self.answer,
            "objects": [item.to_row() for item in self.objects],
            "license": self.license,
            "provenance": json.dumps(self.provenance, sort_keys=True, ensure_ascii=False) if self.provenance else "",
        }

    def image_bytes(self) -> bytes:
        """The encoded image, from the record or from its file.

        Raises:
            MmudError: MM501 when the sample has neither or the file cannot be read.
        """
        if self.image.bytes is not None:
            return self.image.bytes
        if self.image.path is None:
            raise MmudError(codes.IMAGE_MISSING, "the sample has no image", Place(sample=self.sample_id))
        try:
            return Path(self.image.path).read_bytes()
        except OSError as error:
            raise MmudError(
                codes.IMAGE_MISSING,
                f"cannot read the image: {error}",
                Place(sample=self.sample_id, file=self.image.path),
            ) from error


class PredictedMask(_Record):
    """One mask of a prediction, not yet checked.

    Attributes:
        segmentation: the mask at the image's size; None where the system gives none.
        tag: the number of the answer's tag that it belongs to; None where masks go by position.
        no_target: the system says that the expression means nothing in this image. Always so without a segmentation; some
            protocols look at the flag and at the mask apart.
    """

    segmentation: Segmentation | None = None
    tag: Annotated[int, Field(ge=1)] | None = None
    no_target: bool = False

    @model_validator(mode="after")
    def _absent_means_no_target(self) -> Self:
        if self.segmentation is None and not self.no_target:
            object.__setattr__(self, "no_target", True)
        return self


class Prediction(_Record):
    """What a system says about one sample in one task; fields of other tasks stay empty.

    Attributes:
        sample_id: the sample's.
        task: which of the four.
        masks: referring: one for each object of the sample, in order; reasoning: one for each tag that has a mask.
        answer: the answer's text, with its tags (reasoning).
        caption: the caption (captioning).
        image: path of the image, relative to the folder of predictions (generation).
        feature: the image's feature, where the system has it (generation).
    """

    sample_id: str = Field(min_length=1)
    task: Task
    masks: tuple[PredictedMask, ...] = ()
    answer: str = ""
    caption: str = ""
    image: str | None = None
    feature: tuple[Finite, ...] | None = None

    def to_row(self) -> dict[str, Any]:
        """The line of the task's file."""
        row: dict[str, Any] = {"sample_id": self.sample_id}
        if self.task is Task.REFERRING_SEGMENTATION:
            row["masks"] = [_referring_mask_row(mask) for mask in self.masks]
        elif self.task is Task.REASONING_SEGMENTATION:
            row["answer"] = self.answer
            row["masks"] = [_reasoning_mask_row(mask) for mask in self.masks]
        elif self.task is Task.CAPTIONING:
            row["caption"] = self.caption
        else:
            row["image"] = self.image
            if self.feature is not None:
                row["feature"] = list(self.feature)
        return row


def _flag(mask: PredictedMask) -> dict[str, bool]:
    return {"no_target": True} if mask.no_target and mask.segmentation is not None else {}


def _referring_mask_row(mask: PredictedMask) -> dict[str, Any] | None:
    row = _segmentation_row(mask.segmentation)
    return None if row is None else {**row, **_flag(mask)}


def _reasoning_mask_row(mask: PredictedMask) -> dict[str, Any]:
    return {"tag": mask.tag, "segmentation": _segmentation_row(mask.segmentation), **_flag(mask)}

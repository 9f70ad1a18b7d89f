"""Samples for the exporters' tests: made ones that hold everything a record can hold, and real ones straight from COCO files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mmud.annotations.masks import Mask
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

HOSTILE_IDS = (
    "../../etc/passwd",
    "/absolute/path",
    "..",
    "a/b\\c",
    "C:\\x\\y.jpg",
    "con",
    "NUL.txt",
    "naïve café 日本",
    "Plain",
    "plain",
    "dots.in.name",
    "x" * 400,
    "-rf",
    ".hidden",
    "trailing. ",
    "new\nline\u2028tab\t",
    'quote" <tag> & %2e%2e%2f',
)
"""Ids that no file name may be made from as they stand, and two that differ by letter case alone."""


def picture(number: int, width: int, height: int, kind: str = "PNG") -> bytes:
    """An encoded image of a solid colour that tells its number."""
    stream = io.BytesIO()
    colour = (number * 37 % 256, number * 11 % 256, number * 5 % 256)
    Image.new("RGB", (width, height), colour).save(stream, kind)
    return stream.getvalue()


def polygon_object(polygons: list[list[float]], height: int, width: int, **fields: Any) -> MaskedObject:
    """An object whose mask is what its polygons draw."""
    mask = Mask.from_polygons(polygons, height, width)
    values = {"bbox": mask.bbox, "area": float(mask.area), "segmentation": mask.to_record()} | fields
    return MaskedObject(polygons=tuple(tuple(polygon) for polygon in polygons), **values)


def array_object(array: np.ndarray, **fields: Any) -> MaskedObject:
    """An object that has a mask and no polygons."""
    mask = Mask.from_array(array)
    values = {"bbox": mask.bbox, "area": float(mask.area), "segmentation": mask.to_record()} | fields
    return MaskedObject(**values)


def ring(height: int, width: int) -> np.ndarray:
    """A mask with a hole and, inside it, an island; and a second region of one pixel."""
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 3, 27, 20), fill=1)
    draw.ellipse((9, 7, 22, 16), fill=0)
    draw.rectangle((14, 10, 16, 12), fill=1)
    draw.point((1, 21), fill=1)
    return np.asarray(image)


def full_sample(number: int, sample_id: str) -> Sample:
    """A sample that holds every field, and every form of a mask."""
    height, width = 24, 32
    first = polygon_object(
        [[2.5, 3.25, 15.75, 3.25, 15.75, 12.5, 2.5, 12.5]],
        height,
        width,
        phrases=("the left box", f"box no. {number}, é\u2028"),
        category="dog",
        category_id=18,
        ref_id=100 + number,
        ann_id=1000 + number,
    )
    two_parts = polygon_object(
        [[1.0, 14.0, 8.0, 14.0, 8.0, 20.0], [20.0, 1.0, 30.0, 1.0, 30.0, 9.5, 20.0, 9.5]],
        height,
        width,
        phrases=("both parts",),
        category="cat",
        category_id=17,
        ann_id=5000 + number,
    )
    hole = array_object(ring(height, width), phrases=("the ring",), category="ring", ref_id=200 + number)
    crowd = array_object(
        np.arange(height * width).reshape(height, width) % 7 == 0,
        category="cat",
        category_id=17,
        iscrowd=True,
        ann_id=900_100_000_000 + number,
        area=123.5,
    )
    box = MaskedObject(phrases=("only a box",), bbox=(1.0, 2.0, 10.5, 8.25), area=80.0, category="box", category_id=3)
    return Sample(
        sample_id=sample_id,
        width=width,
        height=height,
        source="made",
        source_image_id=str(number + 1) if number % 3 else f"name-{number}",
        image=ImageReference(
            bytes=picture(number, width, height, "JPEG" if number % 2 else "PNG"),
            path=f"IMG {number}.jpeg" if number % 2 else f"d:\\x\\{number}.png",
        ),
        caption=f"Image {number} shows a dog, a cat and a ring.\x85Über alles.",
        question="Which of them bark, and which are round?",
        answer="The dog <LCL-1> barks; the ring <LCL-3> is round, and the dog <LCL-1> again.",
        objects=(first, two_parts, hole, crowd, box),
        license="CC BY 4.0" if number % 2 else "https://example.org/licence",
        provenance={"caption": {"by": "test", "n": number}},
    )


def sparse_samples() -> list[Sample]:
    """Samples that lack what formats are made of."""
    image = ImageReference(bytes=picture(9, 8, 6))
    empty = array_object(np.zeros((6, 8), dtype=bool), phrases=("nothing",))
    twice = array_object(np.eye(6, 8, dtype=bool), ann_id=1001, category="wolf", category_id=18, ref_id=101)
    stale = MaskedObject(
        segmentation=Mask.from_array(np.eye(6, 8, dtype=bool)).to_record(),
        polygons=((0.0, 0.0, 7.0, 0.0, 7.0, 5.0),),
        phrases=("its polygons draw something else",),
        bbox=(0.0, 0.0, 6.0, 6.0),
    )
    broken = stale.model_copy(update={"polygons": ((1.0, 2.0, 3.0),), "phrases": ()})
    return [
        Sample(sample_id="bare", width=8, height=6, source="", image=image),
        Sample(
            sample_id="no-answer", width=8, height=6, source="made", image=image, question="Why?", source_image_id="2"
        ),
        Sample(sample_id="no-question", width=8, height=6, source="made", image=image, answer="Because <LCL-1>."),
        Sample(
            sample_id="odd",
            width=8,
            height=6,
            source="made",
            image=image,
            objects=(empty, twice, stale, broken),
            question="Which?",
            answer="This <LCL-9> or <LCL-1> or <LCL-2>.",
        ),
    ]


def mixed_dataset(folder: Path, **options: Any) -> Dataset:
    """Two splits: full samples under hostile ids, then sparse ones."""
    full = [full_sample(number, name) for number, name in enumerate(HOSTILE_IDS)]
    return write_dataset(folder, {"train": full, "valid": sparse_samples()}, sources=[{"name": "made"}], **options)


def coco_samples(folder: Path, split: str) -> Iterator[Sample]:
    """The samples of `coco_mini`, made from its json without any reader of the package."""
    instances = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    captions = json.loads((folder / "annotations" / f"captions_{split}.json").read_text())
    names = {category["id"]: category["name"] for category in instances["categories"]}
    said: dict[int, str] = {}
    for row in captions["annotations"]:
        said.setdefault(row["image_id"], row["caption"])
    of_image: dict[int, list[dict[str, Any]]] = {}
    for row in instances["annotations"]:
        of_image.setdefault(row["image_id"], []).append(row)
    for image in instances["images"]:
        objects = [coco_object(row, image, names) for row in of_image.get(image["id"], ())]
        yield Sample(
            sample_id=f"coco-{image['id']}",
            width=image["width"],
            height=image["height"],
            source="coco",
            source_image_id=str(image["id"]),
            image=ImageReference(path=str(folder / split / image["file_name"])),
            caption=said.get(image["id"], ""),
            objects=tuple(objects),
        )


def coco_object(
    row: dict[str, Any],
    image: dict[str, Any],
    names: dict[int, str],
    phrases: tuple[str, ...] = (),
    ref_id: int | None = None,
) -> MaskedObject:
    """One row of COCO's ``annotations``."""
    parts = row["segmentation"] if isinstance(row["segmentation"], list) else None
    return MaskedObject(
        phrases=phrases,
        segmentation=Mask.from_coco(row["segmentation"], image["height"], image["width"]).to_record(),
        polygons=tuple(tuple(part) for part in parts) if parts is not None else None,
        bbox=tuple(row["bbox"]),
        area=row["area"],
        category=names[row["category_id"]],
        category_id=row["category_id"],
        iscrowd=bool(row["iscrowd"]),
        ref_id=ref_id,
        ann_id=row["id"],
    )

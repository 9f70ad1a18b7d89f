"""Samples of the shared real data, made straight from COCO's JSON with the standard library, for tests of what comes after."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mmud.annotations.masks import Mask
from mmud.records import ImageReference, MaskedObject, Sample


def coco_samples(instances: Path, images: Path, captions: Path | None = None, source: str = "coco") -> Iterator[Sample]:
    """One sample an image: its objects, their category as the only phrase, its captions joined, its licence's name."""
    data = json.loads(instances.read_bytes())
    texts = json.loads(captions.read_bytes())["annotations"] if captions else []
    categories = {entry["id"]: entry["name"] for entry in data["categories"]}
    licenses = {entry["id"]: entry["name"] for entry in data.get("licenses", [])}
    objects, sentences = defaultdict(list), defaultdict(list)
    for entry in data["annotations"]:
        objects[entry["image_id"]].append(entry)
    for entry in texts:
        sentences[entry["image_id"]].append(entry["caption"])
    for image in data["images"]:
        yield Sample(
            sample_id=f"{source}-{image['id']}",
            image=ImageReference(bytes=(images / image["file_name"]).read_bytes(), path=image["file_name"]),
            width=image["width"],
            height=image["height"],
            source=source,
            source_image_id=str(image["id"]),
            caption=" ".join(sentences[image["id"]]),
            license=licenses.get(image.get("license"), ""),
            objects=tuple(
                MaskedObject(
                    phrases=(categories[entry["category_id"]],),
                    segmentation=Mask.from_coco(entry["segmentation"], image["height"], image["width"]).to_record(),
                    bbox=tuple(entry["bbox"]),
                    area=entry["area"],
                    category=categories[entry["category_id"]],
                    category_id=entry["category_id"],
                    iscrowd=bool(entry["iscrowd"]),
                    ann_id=entry["id"],
                )
                for entry in objects[image["id"]]
            ),
        )


def coco_mini(folder: Path, part: str, source: str = "coco") -> Iterator[Sample]:
    """``part`` is train2017 or val2017."""
    annotations = folder / "coco_mini" / "annotations"
    return coco_samples(
        annotations / f"instances_{part}.json",
        folder / "coco_mini" / part,
        annotations / f"captions_{part}.json",
        source,
    )


def mini_refcoco(folder: Path, source: str = "refcoco") -> Iterator[Sample]:
    root = folder / "mini_refcoco"
    return coco_samples(root / "instances.json", root / "images", root / "captions.json", source)

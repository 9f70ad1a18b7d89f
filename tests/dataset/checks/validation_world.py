"""A small clean dataset that tests break in one way at a time."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.dataset.fingerprint import fingerprint_of
from mmud.dataset.manifest import Manifest, Shard, Split
from mmud.dataset.schema import schema
from mmud.dataset.store import Dataset
from mmud.files import sha256_of

WIDTH, HEIGHT = 64, 48
Rows = dict[str, list[dict[str, Any]]]

_THINGS = (
    ("red kite", "wooden fence"),
    ("striped cat", "window sill"),
    ("old bicycle", "brick wall"),
    ("sailing boat", "small jetty"),
    ("grey horse", "stone barn"),
    ("yellow bus", "traffic light"),
)


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT, mode: str = "RGB") -> Image.Image:
    """Large random shapes, as photographs have them: nothing like any other seed's."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def rectangle(x: int, y: int, w: int, h: int) -> dict[str, Any]:
    """An object whose mask, box, area and polygon agree."""
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    mask = Mask.from_polygons([outline], HEIGHT, WIDTH)
    return {
        "phrases": [],
        "segmentation": mask.to_json(),
        "polygons": [[float(number) for number in outline]],
        "bbox": list(mask.bbox),
        "area": float(mask.area),
        "category": "thing",
        "category_id": 1,
        "iscrowd": False,
        "ref_id": None,
        "ann_id": None,
    }


def row(number: int) -> dict[str, Any]:
    """A sample with two objects about which nothing is to be said."""
    first, second = _THINGS[number]
    objects = [rectangle(4 + number, 5, 20, 15), rectangle(34, 22 + number, 18, 12)]
    for position, (item, name) in enumerate(zip(objects, (first, second), strict=True)):
        item |= {"phrases": [f"the {name}", f"{name} number {number}"], "category": name}
        item |= {"ref_id": 10 * number + position, "ann_id": 100 + 10 * number + position}
    return {
        "sample_id": f"sample-{number}",
        "image": {"bytes": encoded(picture(number)), "path": f"{number}.png"},
        "width": WIDTH,
        "height": HEIGHT,
        "source": "made",
        "source_image_id": f"image-{number}",
        "caption": f"A {first} stands out clearly in front of a {second} on a day of number {number}.",
        "question": f"Which of the things in the image is nearer, given that the {first} casts a shadow?",
        "answer": f"The {first} <LCL-1> is nearer, as its shadow falls onto the {second} <LCL-2>.",
        "objects": objects,
        "license": "CC0-1.0",
        "provenance": '{"caption": "test"}',
    }


def clean_rows() -> Rows:
    return {"train": [row(0), row(1), row(2)], "valid": [row(3), row(4)], "test": [row(5)]}


def write_rows(path: Path, rows: Mapping[str, list[Any]], shard_rows: int = 100, **manifest: Any) -> Path:
    """Write raw rows as a dataset whose manifest, counts and checksums are right, however wrong the rows are.

    A list may hold a pyarrow table in the place of its rows.
    """
    (path / "data").mkdir(parents=True)
    splits = {}
    counts: dict[str, dict[str, int]] = {}
    for split, members in rows.items():
        shards = []
        for start in range(0, max(len(members), 1), shard_rows):
            part = members[start : start + shard_rows]
            table = part[0] if part and isinstance(part[0], pa.Table) else pa.Table.from_pylist(part, schema=schema())
            file = f"data/{split}-{start:05d}.parquet"
            pq.write_table(table, path / file, row_group_size=2)
            shards.append(Shard(file=file, rows=table.num_rows, sha256=sha256_of(path / file)))
            lengths = table.column("objects").combine_chunks().value_lengths().to_pylist()
            sources = table.column("source").cast(pa.binary()).to_pylist()
            for source, length in zip(sources, lengths, strict=True):
                name = (source or b"").decode("utf-8", "surrogateescape")
                tally = counts.setdefault(name, {"samples": 0, "objects": 0})
                tally["samples"] += 1
                tally["objects"] += length or 0
        splits[split] = Split(samples=sum(shard.rows for shard in shards), shards=tuple(shards))
    values: dict[str, Any] = {
        "format_version": 1,
        "mmud_version": "0",
        "name": "made",
        "fingerprint": "",
        "images": "embed",
        "splits": splits,
        "counts": {
            "samples": sum(tally["samples"] for tally in counts.values()),
            "objects": sum(tally["objects"] for tally in counts.values()),
            "by_source": counts,
        },
        "sources": [],
    }
    made = Manifest(**{**values, **manifest})
    made.write(path)
    if "fingerprint" not in manifest:
        made.model_copy(update={"fingerprint": fingerprint_of(Dataset(path))}).write(path)
    return path


def broken_rows(breaking: Callable[[dict[str, Any]], Any], split: str = "train", number: int = 0) -> Rows:
    """The clean rows after one of them was broken."""
    rows = copy.deepcopy(clean_rows())
    breaking(rows[split][number])
    return rows

"""Broken folders: code -> a function that makes one in which this code alone is reported."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from validation_world import Rows, broken_rows, clean_rows, encoded, picture, row, write_rows

from mmud.dataset.schema import schema

Folder = Callable[[Path], Path]


def _edited_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    file = folder / "mmud.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    return folder


def _no_manifest(path: Path) -> Path:
    folder = write_rows(path, clean_rows())
    (folder / "mmud.json").unlink()
    return folder


def _broken_manifest(path: Path) -> Path:
    folder = write_rows(path, clean_rows())
    (folder / "mmud.json").write_text('{"format": "mmud"')
    return folder


def _shard(path: Path) -> Path:
    return path / "data" / "train-00000.parquet"


def _missing_shard(path: Path) -> Path:
    _shard(write_rows(path, clean_rows())).unlink()
    return path


def _edited_shard(path: Path) -> Path:
    write_rows(path, clean_rows())
    pq.write_table(pq.read_table(_shard(path)), _shard(path), compression="gzip")
    return path


def _cut_shard(path: Path) -> Path:
    write_rows(path, clean_rows())
    _shard(path).write_bytes(_shard(path).read_bytes()[:-100])
    return path


def _other_schema(path: Path) -> Path:
    write_rows(path, clean_rows())
    pq.write_table(pq.read_table(_shard(path)).drop_columns(["caption"]), _shard(path))
    return path


def _other_row_count(path: Path) -> Path:
    write_rows(path, clean_rows())

    def change(data: dict[str, Any]) -> None:
        data["splits"]["train"]["shards"][0]["rows"] = 2

    return _edited_manifest(path, change)


def _latin1(path: Path) -> Path:
    """A text column with a byte that is not UTF-8, as a writer without checks leaves it."""
    table = pa.Table.from_pylist(clean_rows()["train"], schema=schema())
    texts = [text.encode() for text in table.column("caption").to_pylist()]
    texts[1] = texts[1].replace(b"day", "naïve day".encode("latin-1"))
    column = pa.array(texts, pa.binary()).view(pa.string())
    broken = table.set_column(table.schema.get_field_index("caption"), schema().field("caption"), column)
    return write_rows(path, {**clean_rows(), "train": [broken]})


def _stray(path: Path) -> Path:
    write_rows(path, clean_rows())
    shutil.copy(_shard(path), path / "data" / "old-00000.parquet")
    return path


def _stored_otherwise(path: Path) -> Path:
    file = path.with_name("outside.png")
    file.write_bytes(encoded(picture(0)))
    return write_rows(path, broken_rows(lambda row: row.update(image={"bytes": None, "path": str(file)})))


def _linked(path: Path) -> Path:
    """A dataset of linked images, one of which is gone."""
    rows = clean_rows()
    for number, member in enumerate(member for members in rows.values() for member in members):
        file = path.with_name(f"{number}.png")
        file.write_bytes(member["image"]["bytes"])
        member["image"] = {"bytes": None, "path": str(file)}
    path.with_name("1.png").unlink()
    return write_rows(path, rows, images="link")


def bomb() -> bytes:
    """A PNG of 70 bytes that announces 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _bomb(path: Path) -> Path:
    return write_rows(path, broken_rows(lambda row: row.update(image={"bytes": bomb(), "path": "0.png"})))


def _changed(split: str, number: int, **changes: Any) -> Rows:
    return broken_rows(lambda row: row.update(changes), split, number)


def _with(split: str, **changes: Any) -> Folder:
    """The second sample of a split gets fields of the very first sample."""
    return lambda path: write_rows(path, _changed(split, 1, **changes))


def _near_duplicate(path: Path) -> Path:
    """The first image of train, made smaller and saved again, in valid."""
    smaller = picture(0).resize((64, 48), Image.Resampling.BILINEAR).convert("RGB")
    data = encoded(smaller, "JPEG", quality=60)
    return write_rows(path, _changed("valid", 0, image={"bytes": data, "path": "x.jpg"}))


def _larger_test(path: Path) -> Path:
    rows = clean_rows()
    return write_rows(path, {"train": rows["train"][:1], "test": [row(3), row(4)]})


_FIRST = row(0)

FOLDERS: dict[str, Folder] = {
    "MM102": _no_manifest,
    "MM103": _broken_manifest,
    "MM104": _missing_shard,
    "MM105": _edited_shard,
    "MM106": _cut_shard,
    "MM107": _other_schema,
    "MM110": _other_row_count,
    "MM114": _latin1,
    "MM115": lambda path: _edited_manifest(
        write_rows(path, clean_rows()), lambda data: data["counts"].update(objects=11)
    ),
    "MM116": lambda path: write_rows(path, clean_rows(), fingerprint="0" * 64),
    "MM117": _stray,
    "MM119": _stored_otherwise,
    "MM501": _linked,
    "MM503": _bomb,
    "MM601": _with("train", sample_id=_FIRST["sample_id"]),
    "MM602": _with("valid", sample_id=_FIRST["sample_id"]),
    "MM603": lambda path: write_rows(path, {**clean_rows(), "extra": []}),
    "MM604": _larger_test,
    "MM605": _with("valid", source_image_id=_FIRST["source_image_id"]),
    "MM606": _with("valid", image=_FIRST["image"]),
    "MM607": _near_duplicate,
    "MM608": _with("valid", caption=_FIRST["caption"].upper()),
    "MM609": _with("train", image=_FIRST["image"]),
    "MM610": _with("train", source_image_id=_FIRST["source_image_id"]),
}

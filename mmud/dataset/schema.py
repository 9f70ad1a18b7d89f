"""The columns of a shard, as pyarrow types and as Hugging Face ``datasets`` features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from mmud.dataset.arrow_buffers import struct, texts, whole_numbers
from mmud.dataset.object_rows import objects_array

COLUMNS = (
    "sample_id",
    "image",
    "width",
    "height",
    "source",
    "source_image_id",
    "caption",
    "question",
    "answer",
    "objects",
    "license",
    "provenance",
)
ANNOTATION_COLUMNS = tuple(name for name in COLUMNS if name != "image")
"""Every column but the image's bytes and path."""

OBJECT = pa.struct(
    [
        ("phrases", pa.list_(pa.string())),
        ("segmentation", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])),
        ("polygons", pa.list_(pa.list_(pa.float64()))),
        ("bbox", pa.list_(pa.float64())),
        ("area", pa.float64()),
        ("category", pa.string()),
        ("category_id", pa.int64()),
        ("iscrowd", pa.bool_()),
        ("ref_id", pa.int64()),
        ("ann_id", pa.int64()),
    ]
)


_LINK = {"bytes", "path"}


def _features(kind: pa.DataType) -> Any:
    """A pyarrow type in the notation of ``datasets`` (schema metadata key ``huggingface``)."""
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _features(kind.field(i).type) for i in range(kind.num_fields)}
    if pa.types.is_list(kind):
        return {"feature": _features(kind.value_type), "_type": "List"}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind)), "_type": "Value"}


@cache
def schema() -> pa.Schema:
    """The schema of every shard; its metadata lets ``datasets`` decode ``image`` as an image."""
    plain = pa.schema(
        [
            ("sample_id", pa.string()),
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("source", pa.string()),
            ("source_image_id", pa.string()),
            ("caption", pa.string()),
            ("question", pa.string()),
            ("answer", pa.string()),
            ("objects", pa.list_(OBJECT)),
            ("license", pa.string()),
            ("provenance", pa.string()),
        ]
    )
    features = {field.name: {"_type": "Image"} if field.name == "image" else _features(field.type) for field in plain}
    return plain.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def record_batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows as `mmud.records.Sample.to_row` gives them, as one record batch; objects may be `mmud.dataset.object_rows.ObjectRows`.

    It is what ``pa.RecordBatch.from_pylist`` makes of them, in half the time: the rows are walked column by column.
    """
    kinds = schema()
    columns = [_column(field, [row[field.name] for row in rows]) for field in kinds]
    return pa.RecordBatch.from_arrays(columns, schema=kinds)


def _column(field: pa.Field, cells: list[Any]) -> pa.Array:
    kind = field.type
    if field.name == "objects":
        return objects_array(cells, kind)
    if pa.types.is_string(kind):
        return texts(cells)
    if pa.types.is_integer(kind):
        return whole_numbers(cells, kind)
    if field.name == "image" and all(
        type(cell) is dict and cell.keys() == _LINK and cell["bytes"] is None for cell in cells
    ):
        return struct(kind, [pa.nulls(len(cells), pa.binary()), texts([cell["path"] for cell in cells])])
    return pa.array(cells, kind)

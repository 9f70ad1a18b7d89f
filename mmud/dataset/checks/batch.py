"""One batch of rows as the checks see it: plain values, masks decoded together, images read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pycocotools import _mask as coco

from mmud.annotations.masks import MAX_PIXELS, MAX_SIDE, Mask, areas
from mmud.dataset import codes as dataset_codes
from mmud.dataset.checks.base import Row, Scope, sample_place
from mmud.dataset.store import Batch, ShardFile, open_shard
from mmud.errors import Code, MmudError, Place

if TYPE_CHECKING:
    from mmud.dataset.checks.image_reading import ImageFacts
    from mmud.dataset.checks.outlines import Outlines


@dataclass(slots=True)
class ObjectMask:
    """What is known of an object's stored mask.

    Attributes:
        stored: the counts as stored.
        problem: why they cannot be read; then nothing else holds.
        mask: the mask, its counts canonical.
        fits: whether it has the sample's height and width.
        area: foreground pixels.
        bbox: the tight box ``x, y, width, height``.
    """

    stored: bytes
    problem: MmudError | None = None
    mask: Mask | None = None
    fits: bool = False
    area: int = 0
    bbox: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def usable(self) -> bool:
        """Whether there are pixels on the image's own grid, to compare other things with."""
        return self.fits and self.area > 0


def group_batches(shard: ShardFile, columns: Sequence[str], rows: int) -> Iterator[Batch]:
    """Stream a shard a few row groups at a time, so that memory depends on neither the shard's size nor the dataset's.

    Args:
        shard: the shard.
        columns: the columns to read.
        rows: at most so many rows a batch, unless a row group has more.

    Raises:
        MmudError: MM104, MM106 or MM107 when the shard is missing, unreadable or of another schema.
    """
    with open_shard(shard.path, shard.file) as parquet:
        sizes = [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
        group, row = 0, 0
        while group < len(sizes):
            stop, total = group + 1, sizes[group]
            while stop < len(sizes) and total + sizes[stop] <= rows:
                total += sizes[stop]
                stop += 1
            try:
                table = parquet.read_row_groups(list(range(group, stop)), columns=list(columns), use_threads=False)
            except (pa.ArrowException, OSError) as error:
                place = Place(split=shard.split, file=shard.file, row=row)
                raise MmudError(dataset_codes.SHARD_UNREADABLE, str(error), place) from error
            for part in table.combine_chunks().to_batches(max_chunksize=max(rows, 1)):
                yield Batch(shard.split, shard.file, row, part)
                row += part.num_rows
            group = stop


def plain_rows(table: pa.RecordBatch) -> tuple[list[Row], bool]:
    """The rows as plain values, and whether all text is UTF-8; bytes that are not become lone surrogates (U+DC80 to U+DCFF)."""
    try:
        return table.to_pylist(), True
    except UnicodeDecodeError:
        columns = {name: _lenient(column) for name, column in zip(table.schema.names, table.columns, strict=True)}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)], False


def _lenient(array: pa.Array) -> list[Any]:
    """`to_pylist` of an array whose strings may be anything."""
    kind = array.type
    if pa.types.is_struct(kind):
        names = [kind.field(position).name for position in range(kind.num_fields)]
        children = zip(*(_lenient(child) for child in array.flatten()), strict=True)
        present = array.is_valid().to_pylist()
        return [
            dict(zip(names, values, strict=True)) if valid else None
            for valid, values in zip(present, children, strict=True)
        ]
    if pa.types.is_list(kind):
        lengths = array.value_lengths().to_pylist()
        values = iter(_lenient(array.flatten()))
        return [None if length is None else [next(values) for _ in range(length)] for length in lengths]
    if pa.types.is_string(kind):
        raw = array.cast(pa.binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    plain: list[Any] = array.to_pylist()
    return plain


def objects_of(row: Row) -> list[dict[str, Any] | None]:
    """The row's objects, an empty list where there is none; single ones may be None."""
    return row["objects"] or []


def whole_size(row: Row) -> tuple[int, int] | None:
    """(height, width) of a row where both are within the bounds of images."""
    height, width = row["height"], row["width"]
    if height is None or width is None or not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        return None
    return (height, width) if height * width <= MAX_PIXELS else None


class RowBatch:
    """Consecutive rows of one shard, with what several checks need computed once.

    Args:
        batch: as the store streams it, with or without the column ``image``.
        scope: what is being validated.
    """

    def __init__(self, batch: Batch, scope: Scope) -> None:
        self.batch = batch
        self.scope = scope
        names = [name for name in batch.table.schema.names if name != "image"]
        self.rows, self.utf8 = plain_rows(batch.table.select(names))
        self._images = batch.table.column("image") if "image" in batch.table.schema.names else None

    def contexts(self) -> Iterator[tuple[Row, SampleContext]]:
        """Each row with its context."""
        for offset, row in enumerate(self.rows):
            yield row, SampleContext(self, offset, row)

    def image(self, offset: int) -> tuple[bytes | None, str | None]:
        """A row's image: bytes and path, either of which may be None."""
        if self._images is None:
            return None, None
        value = self._images[offset].as_py() or {}
        return value.get("bytes"), value.get("path")

    @cached_property
    def masks(self) -> list[list[ObjectMask | None]]:
        """For each row, for each object: its mask, or None where it has none that can be looked at (no counts, no size)."""
        return decode_masks(self.rows)

    @cached_property
    def outlines(self) -> Outlines:
        """The polygons of all rows, looked at together."""
        from mmud.dataset.checks.outlines import Outlines

        return Outlines(self.rows)


def decode_masks(rows: Sequence[Row]) -> list[list[ObjectMask | None]]:
    """Read the masks of many rows together; see `RowBatch.masks`."""
    found: list[list[ObjectMask | None]] = []
    texts: list[bytes] = []
    sizes: list[tuple[int, int]] = []
    readable: list[ObjectMask] = []
    for row in rows:
        image_size = whole_size(row)
        of_row: list[ObjectMask | None] = []
        for item in objects_of(row):
            segmentation = item["segmentation"] if item else None
            size = segmentation["size"] if segmentation else None
            counts = segmentation["counts"] if segmentation else None
            if counts is None or size is None or len(size) != 2 or None in size:
                of_row.append(None)
                continue
            entry = ObjectMask(counts.encode("utf-8", "surrogateescape"), fits=tuple(size) == image_size)
            of_row.append(entry)
            readable.append(entry)
            texts.append(entry.stored)
            sizes.append((size[0], size[1]))
        found.append(of_row)
    for entry, mask in zip(readable, Mask.from_many_counts(texts, sizes), strict=True):
        if isinstance(mask, MmudError):
            entry.problem = mask
            entry.fits = False
        else:
            # Merging one mask writes its runs out again in the shortest form.
            canonical = coco.merge([mask.to_coco()], 0)["counts"]
            entry.mask = Mask(mask.height, mask.width, canonical)
    _measure([entry for entry in readable if entry.mask is not None])
    return found


def _measure(entries: list[ObjectMask]) -> None:
    masks = [entry.mask for entry in entries if entry.mask is not None]
    if not masks:
        return
    boxes = coco.toBbox([mask.to_coco() for mask in masks]).tolist()
    for entry, area, box in zip(entries, areas(masks).tolist(), boxes, strict=True):
        entry.area = area
        entry.bbox = (box[0], box[1], box[2], box[3])


class SampleContext:
    """One row's place, masks and image."""

    __slots__ = ("_image", "_place", "batch", "offset", "row")

    def __init__(self, batch: RowBatch, offset: int, row: Row) -> None:
        self.batch = batch
        self.offset = offset
        self.row = row
        self._place: Place | None = None
        self._image: ImageFacts | None = None

    @property
    def scope(self) -> Scope:
        return self.batch.scope

    def wants(self, *codes: Code) -> bool:
        """Whether any of these codes was asked for."""
        return self.scope.wants(*codes)

    def place(self, object: int | None = None, field: str | None = None) -> Place:
        """The row's place, or that of one of its objects (from 1) or fields."""
        base = self._place
        if base is None:
            base = self._place = sample_place(self.batch.batch.place(self.offset), self.row["sample_id"])
        if object is None and field is None:
            return base
        return Place(base.sample, object, base.split, base.file, None, base.row, field)

    @property
    def masks(self) -> list[ObjectMask | None]:
        """The mask of each object; see `RowBatch.masks`."""
        return self.batch.masks[self.offset]

    @property
    def image(self) -> ImageFacts:
        """What the row's image file says of itself; read and decoded when first asked for."""
        if self._image is None:
            from mmud.dataset.checks.image_reading import read_image

            self._image = read_image(*self.batch.image(self.offset), self.scope.folder)
        return self._image

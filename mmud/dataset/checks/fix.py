"""Writing a dataset again with what can be mended mended: a new folder, or the same one replaced as a whole.

Everything that no rule touches is carried over as it is: shards without a change byte by byte, other columns of a changed shard
as Arrow holds them, and every other file of the folder. Each change is a line of ``mends.jsonl``.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmud import codes as common
from mmud.dataset import codes as dataset_codes
from mmud.dataset.checks.base import sample_place
from mmud.dataset.checks.batch import decode_masks, plain_rows
from mmud.dataset.checks.codes import structure
from mmud.dataset.checks.mends import MENDED_CODES, Change, mend_row
from mmud.dataset.checks.render import json_members
from mmud.dataset.checks.selection import selected_codes
from mmud.dataset.fingerprint import fingerprint_of
from mmud.dataset.manifest import MANIFEST_NAME, Manifest
from mmud.dataset.schema import ANNOTATION_COLUMNS
from mmud.dataset.store import Dataset, ShardFile, open_shard
from mmud.errors import MmudError, Place
from mmud.files import atomic_write, refuse_existing, require, sha256_of

LOG_NAME = "mends.jsonl"
_CODES = {code.id: code for code in MENDED_CODES}


class Mending:
    """What was mended, or would be.

    Attributes:
        folder: of the dataset that was read.
        output: of the dataset that was written; None after a dry run, or where there was nothing to change in place.
        counts: changes by code.
        rows: samples that changed.
        changed: shards that changed, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output: Path | None = None
        self.fingerprint: str | None = None
        self.counts: Counter[str] = Counter()
        self.rows = 0
        self.changed: list[ShardFile] = []
        descriptor, name = tempfile.mkstemp(prefix="mmud-mends-", suffix=".jsonl")
        os.close(descriptor)
        self.spool = Path(name)
        self._remove = weakref.finalize(self, self.spool.unlink, missing_ok=True)

    def changes(self) -> Iterator[dict[str, Any]]:
        """Every change in order: code, place, field, before, after."""
        with open(self.spool, encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def summary(self) -> dict[str, Any]:
        """Everything but the changes, JSON-compatible."""
        return {
            "dataset": str(self.folder),
            "output": None if self.output is None else str(self.output),
            "fingerprint": self.fingerprint,
            "samples_changed": self.rows,
            "codes": [
                {"code": id, "title": _CODES[id].title, "count": count} for id, count in sorted(self.counts.items())
            ],
        }

    def json_lines(self, dry_run: bool) -> Iterator[str]:
        """One JSON object: the summary, and every change."""
        head = {**self.summary(), "dry_run": dry_run}
        yield json.dumps(head, indent=2, ensure_ascii=False)[: -len("\n}")] + ',\n  "changes": ['
        yield from json_members(self.changes(), "    ")
        yield "  ]\n}"

    def text_lines(self, shown: int) -> Iterator[str]:
        """Grouped by code: the count and the first changes; then one line that sums up."""
        first: dict[str, list[dict[str, Any]]] = {}
        for change in self.changes() if shown else ():
            members = first.setdefault(change["code"], [])
            if len(members) < shown:
                members.append(change)
        for id, count in sorted(self.counts.items()):
            yield f"{id} {_CODES[id].title}: {count:,}"
            for change in first.get(id, ()):
                yield f"  {Place(**change['place'])}: {_short(change['before'])} -> {_short(change['after'])}"
            if 0 < shown < count:
                yield f"  … and {count - shown:,} more"
        verb = "changed" if self.output is not None else "to change"
        yield f"{sum(self.counts.values()):,} changes, {self.rows:,} samples {verb}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:40] + "…" + text[-18:]


@dataclass(slots=True)
class _Group:
    """The rows of one row group after mending: the columns that changed, with all their values."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    changes: list[tuple[int, str | None, Change]] = field(default_factory=list)
    """Row within the group, sample id, change."""


def fix(
    folder: str | Path,
    output: str | Path | None = None,
    *,
    in_place: bool = False,
    dry_run: bool = False,
    force: bool = False,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    log: Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Mending:
    """Mend a dataset by the rules of `mmud.dataset.checks.mends`.

    Args:
        folder: the dataset's folder.
        output: the folder to make.
        in_place: make it beside ``folder`` and let it take that name when it is whole.
        dry_run: find the changes and write nothing, but ``log``.
        force: replace ``output`` if it exists.
        select: mend these codes or families only.
        ignore: leave these codes or families alone.
        log: a further file for the changes, one a line.
        advance: told how many samples were looked at.

    Raises:
        MmudError: MM001 for a code that is never mended or when there is not exactly one place to write to; MM003 when the
            output exists; MM102 to MM107 when the dataset cannot be read; MM105 when a shard to be changed is not the one
            that the manifest lists; MM114 when a text to be written again is not UTF-8.
    """
    path = Path(folder)
    if in_place:
        _recover(path)
    require(path, "folder")
    wanted = selected_codes(_CODES, select, ignore)
    if not dry_run and (output is None) == (not in_place):
        raise MmudError(common.USAGE, "--fix writes a new dataset: name it with -o, or give --in-place instead")
    if output is not None and not in_place:
        refuse_existing(Path(output), force)
    mending = Mending(path)
    dataset = Dataset(path)
    with open(mending.spool, "w", encoding="utf-8") as spool:
        for shard in dataset.shards():
            _look(shard, wanted, mending, spool)
            if advance is not None:
                advance(shard.rows)
    if not dry_run:
        _write(dataset, path if in_place or output is None else Path(output), wanted, mending)
    if log is not None:
        with atomic_write(log) as stream, open(mending.spool, "rb") as changes:
            shutil.copyfileobj(changes, stream)
    return mending


def _look(shard: ShardFile, wanted: frozenset[str], mending: Mending, spool: IO[str]) -> None:
    """Note the changes of a shard."""
    start = 0
    with open_shard(shard.path, shard.file) as parquet:
        for number in range(parquet.num_row_groups):
            group = _mended(_read_group(parquet, number, shard, ANNOTATION_COLUMNS), wanted)
            for offset, sample_id, change in group.changes:
                base = Place(split=shard.split, file=shard.file, row=start + offset, object=change.object)
                place = sample_place(base, sample_id).to_dict()
                line = {"code": change.code.id, "place": {**place, "field": change.field}}
                spool.write(json.dumps({**line, "before": change.before, "after": change.after}) + "\n")
                mending.counts[change.code.id] += 1
            mending.rows += len({offset for offset, _, _ in group.changes})
            if group.changes and shard not in mending.changed:
                mending.changed.append(shard)
            start += parquet.metadata.row_group(number).num_rows


def _read_group(parquet: pq.ParquetFile, number: int, shard: ShardFile, columns: Iterable[str] | None) -> pa.Table:
    try:
        return parquet.read_row_group(number, columns=columns and list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise MmudError(dataset_codes.SHARD_UNREADABLE, str(error), Place(file=shard.file)) from error


def _mended(table: pa.Table, wanted: frozenset[str]) -> _Group:
    group = _Group()
    names = [name for name in ANNOTATION_COLUMNS if name in table.column_names]
    rows: list[dict[str, Any]] = []
    for batch in table.select(names).to_batches():
        rows += plain_rows(batch)[0]
    for offset, (row, masks) in enumerate(zip(rows, decode_masks(rows), strict=True)):
        for change in mend_row(row, masks, wanted):
            group.changes.append((offset, row["sample_id"], change))
    touched = {"objects" if change.object is not None else change.field for _, _, change in group.changes}
    group.columns = {name: [row[name] for row in rows] for name in sorted(touched)}
    return group


def _write(dataset: Dataset, target: Path, wanted: frozenset[str], mending: Mending) -> None:
    in_place = target == dataset.path
    if in_place and not mending.changed:
        return
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    changed = {shard.file: shard for shard in mending.changed}
    try:
        # Nothing writes into a file that is there, so the folder that is to be replaced may lend its files.
        _carry_over(dataset.path, partial, {MANIFEST_NAME, *changed}, link=in_place)
        sums = {}
        for file, shard in changed.items():
            _check_sum(dataset, shard)
            _write_shard(shard, partial / file, wanted)
            sums[file] = sha256_of(partial / file)
        if mending.changed:
            with atomic_write(partial / LOG_NAME) as stream:
                for source in (dataset.path / LOG_NAME, mending.spool):
                    if source.exists():
                        stream.write(source.read_bytes())
        mending.fingerprint = _write_manifest(dataset.manifest, partial, sums)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _take_name(partial, target)
    mending.output = target


def _carry_over(folder: Path, partial: Path, leave: set[str], link: bool) -> None:
    """Copy (or, on one file system, link) every file of a folder but some."""
    for source in sorted(folder.rglob("*")):
        name = source.relative_to(folder)
        target = partial / name
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(source))
        elif source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif name.as_posix() not in leave:
            target.parent.mkdir(parents=True, exist_ok=True)
            if link and name.as_posix() != LOG_NAME:
                os.link(source, target)
            else:
                shutil.copy2(source, target)


def _check_sum(dataset: Dataset, shard: ShardFile) -> None:
    listed = {part.file: part.sha256 for split in dataset.manifest.splits.values() for part in split.shards}
    if sha256_of(shard.path) != listed[shard.file]:
        hint = "Find out why the file differs first: writing it again would give it a good checksum."
        raise MmudError(
            dataset_codes.SHARD_CHECKSUM, "the shard is not the one of the manifest", Place(file=shard.file), hint
        )


def _write_shard(shard: ShardFile, target: Path, wanted: frozenset[str]) -> None:
    """Write a shard again, row group by row group; columns that did not change are never turned into Python values."""
    with open_shard(shard.path, shard.file) as parquet:
        schema = parquet.schema_arrow
        with (
            atomic_write(target) as stream,
            pq.ParquetWriter(stream, schema, compression="zstd", compression_level=3) as writer,
        ):
            for number in range(parquet.num_row_groups):
                table = _read_group(parquet, number, shard, None)
                for name, values in _mended(table, wanted).columns.items():
                    position = table.schema.get_field_index(name)
                    try:
                        column = pa.array(values, type=schema.field(name).type)
                    except UnicodeEncodeError as error:
                        message = f"column {name} cannot be written again: {error}"
                        raise MmudError(structure.NOT_UTF8, message, Place(file=shard.file)) from error
                    table = table.set_column(position, schema.field(name), column)
                writer.write_table(table, row_group_size=max(table.num_rows, 1))


def _write_manifest(manifest: Manifest, partial: Path, sums: dict[str, str]) -> str:
    """Write the manifest with new checksums; returns the fingerprint. The recipe no longer makes these bytes, so it goes."""
    splits = {
        name: split.model_copy(
            update={
                "shards": tuple(
                    shard.model_copy(update={"sha256": sums.get(shard.file, shard.sha256)}) for shard in split.shards
                )
            }
        )
        for name, split in manifest.splits.items()
    }
    changed = manifest.model_copy(update={"splits": splits, "recipe": None} if sums else {})
    changed.write(partial)
    if sums:
        changed = changed.model_copy(update={"fingerprint": fingerprint_of(Dataset(partial))})
        changed.write(partial)
    return changed.fingerprint


def _replaced(target: Path) -> Path:
    return target.with_name(target.name + ".replaced")


def _take_name(partial: Path, target: Path) -> None:
    """Let a finished folder take its name; one that has the name steps aside first, and is removed last."""
    aside = _replaced(target)
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(target, aside)
    os.replace(partial, target)
    shutil.rmtree(aside, ignore_errors=True)


def _recover(folder: Path) -> None:
    """After a kill between two renames the folder's name is free: give it back to the folder that stepped aside."""
    if not folder.exists() and (_replaced(folder) / MANIFEST_NAME).exists():
        os.replace(_replaced(folder), folder)

"""Writing the new version: the dataset's own shards again, in their order, with the drafts in them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmud.annotations.drafting.answers import AnswerFile, answer_key
from mmud.annotations.drafting.base import Annotator, Draft, DraftTask, LeftOut
from mmud.annotations.drafting.budget import Budget, Meter, Prices
from mmud.annotations.drafting.engine import Asked
from mmud.annotations.provenance import now, with_origin
from mmud.dataset.annotating.planning import AnnotatePlan, AnnotateRequest
from mmud.dataset.annotating.report import AnnotateReport
from mmud.dataset.build import FINDINGS_NAME
from mmud.dataset.schema import COLUMNS
from mmud.dataset.store import Dataset, ShardFile
from mmud.dataset.writer import NOTES_FOLDER, DatasetWriter, Part, write_shard
from mmud.errors import Finding, Place, catalogue
from mmud.files import atomic_write, write_json
from mmud.records import Sample

ANNOTATION_NAME = "annotation.json"
_BEGUN_NAME = "begun.json"
_ROWS = 32


class NewVersion:
    """One new version of a dataset.

    Args:
        dataset: the old one.
        output: the folder to make.
        annotator: who drafts, or drafted.
        request, plan: what is drafted.
        kept: the file of answers; None for an annotator that keeps none and drafts while this writes.
        asked: what asking came to.
        force: replace a folder that is there.
    """

    def __init__(
        self,
        dataset: Dataset,
        output: Path,
        annotator: Annotator,
        request: AnnotateRequest,
        plan: AnnotatePlan,
        kept: AnswerFile | None,
        asked: Asked,
        force: bool,
    ) -> None:
        self._dataset = dataset
        self._annotator = annotator
        self._request = request
        self._plan = plan
        self._kept = kept
        self._asked = asked
        self._made_with = {task.value: annotator.identity(task) for task in request.tasks}
        # Shards of an earlier try are of use only when the same drafts were there for them.
        there = {"kept": kept is not None and _digest(plan, asked)}
        what = {"annotate": request.to_dict(), "by": self._made_with, "dataset": dataset.fingerprint, **there}
        self._writer = DatasetWriter(output, what, dataset.manifest.images, force)
        self._begun = self._begin()

    def _begin(self) -> str:
        """When writing began: the time of drafts that are made while writing, the same after a kill."""
        file = self._writer.partial / NOTES_FOLDER / _BEGUN_NAME
        try:
            return str(json.loads(file.read_bytes())["begun"])
        except (OSError, ValueError, KeyError, TypeError):
            begun = now()
            write_json(file, {"begun": begun})
            return begun

    def write(self, report: AnnotateReport, prices: Prices, advance: Callable[[int], None]) -> Dataset:
        """Write all shards and give the folder its name; the report learns of what was drafted and left out."""
        shards: dict[str, int] = {}
        position = 0
        for shard in self._dataset.shards():
            index = shards.get(shard.split, 0)
            if not self._writer.done(shard.split, index):
                notes: list[dict[str, Any]] = []
                rows = self._rows(shard, position, notes, advance)
                path, watch = self._writer.part_path(shard.split, index), self._writer.watch(shard.split, index)
                part = Part(shard.split, index, *write_shard(path, rows, self._writer.images, watch))
                # Before the shard counts as finished: after a kill its notes are there too.
                write_json(self._notes_file(shard.split, index), notes)
                self._writer.add(part)
            else:
                advance(shard.rows)
            shards[shard.split] = index + 1
            position += shard.rows
        self._collect(shards, report)
        text = json.dumps(self._summary(report, prices), indent=2, ensure_ascii=False) + "\n"
        manifest = self._dataset.manifest
        return self._writer.finish(shards, manifest.sources, files={ANNOTATION_NAME: text})

    def _notes_file(self, split: str, index: int) -> Path:
        return self._writer.partial / NOTES_FOLDER / f"{split}-{index:05d}.json"

    def _rows(
        self, shard: ShardFile, position: int, notes: list[dict[str, Any]], advance: Callable[[int], None]
    ) -> Iterator[dict[str, Any]]:
        for batch in self._dataset.shard_batches(shard, COLUMNS, _ROWS):
            for offset, row in enumerate(batch.table.to_pylist()):
                tasks = self._plan.tasks(position)
                position += 1
                if tasks:
                    place = batch.place(offset, row["sample_id"])
                    yield self._drafted(row, place, tasks, notes)
                else:
                    yield row
            advance(batch.table.num_rows)

    def _drafted(
        self, row: dict[str, Any], place: Place, tasks: tuple[DraftTask, ...], notes: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """The row with its drafts; what could not be drafted is noted and stays as it was."""
        sample = Sample.from_row(row, place)
        provenance = sample.provenance
        labels: dict[str, str] = {}
        for task in tasks:
            try:
                found = self._find(sample, task)
            except LeftOut as error:
                notes.append({"task": task.value, "finding": error.finding.to_dict()})
                continue
            if found is None:
                continue
            draft, origin = found
            labels |= {name: draft.labels[name] for name in task.fields}
            provenance = with_origin(provenance, task.fields, origin)
            notes.append({"task": task.value})
        changed = sample.model_copy(update={**labels, "provenance": provenance}).to_row()
        return {**row, **{name: changed[name] for name in (*labels, "provenance")}}

    def _find(self, sample: Sample, task: DraftTask) -> tuple[Draft, dict[str, Any]] | None:
        """The draft, and who made it how and when; None for one that was never asked for."""
        origin: dict[str, Any] = {"annotator": self._annotator.name, "version": self._annotator.version}
        if self._kept is None:
            draft, prompt, time = self._annotator.draft(sample, task, Meter(Budget())), "", self._begun
        else:
            unread = self._asked.unread.get((sample.sample_id, task))
            key = b"" if unread else answer_key(self._annotator, sample, task)
            left = unread or self._asked.left_out.get(key)
            if left is not None:
                # An equal sample may have been asked on behalf of this one: the place is this one's.
                raise LeftOut(left.code, left.message, Place(sample=sample.sample_id), left.hint)
            kept = self._kept.get(key)
            if kept is None:
                return None
            draft, prompt, time = kept.draft, kept.prompt, kept.time
        origin |= {"model": draft.model} if draft.model else {}
        origin |= {"prompt": prompt} if prompt else {}
        origin |= {"repaired": True} if draft.repaired else {}
        return draft, {**origin, "time": time}

    def _collect(self, shards: dict[str, int], report: AnnotateReport) -> None:
        """Counts and findings of all shards; findings of the old version come first in the new one's file."""
        known = catalogue()
        old = self._dataset.path / FINDINGS_NAME
        with atomic_write(self._writer.partial / FINDINGS_NAME) as out:
            if old.is_file():
                with open(old, "rb") as stream:
                    shutil.copyfileobj(stream, out)
            for split, count in shards.items():
                for index in range(count):
                    for entry in json.loads(self._notes_file(split, index).read_bytes()):
                        row = entry.get("finding")
                        if row is None:
                            report.drafted[DraftTask(entry["task"])] += 1
                            continue
                        report.left_out.append(Finding(known[row["code"]], Place(**row["place"]), row["message"]))
                        out.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8"))

    def _summary(self, report: AnnotateReport, prices: Prices) -> dict[str, Any]:
        """``annotation.json``: how the drafts were made, with what earlier annotating did."""
        earlier = self._dataset.path / ANNOTATION_NAME
        try:
            before = json.loads(earlier.read_bytes())
        except (OSError, ValueError):
            before = None
        said = report.to_dict()
        return {
            "format": "mmud-annotation",
            "format_version": 1,
            "annotator": self._annotator.name,
            "made_with": self._made_with,
            "request": self._request.to_dict(),
            "partial": self._request.limit is not None or self._asked.failure is not None,
            "dataset": {"name": self._dataset.name, "fingerprint": self._dataset.fingerprint},
            **{name: said[name] for name in ("wanted", "drafted", "left_out", "half_pairs", "usage", "cost")},
            "prices": {"in": prices.prompt, "out": prices.completion},
            "before": before,
        }


def _digest(plan: AnnotatePlan, asked: Asked) -> str:
    """Which drafts are there: what was left out or never asked decides the shards, besides what was wanted."""
    left = sorted([f"{sample}/{task.value}" for sample, task in asked.unread] + [key.hex() for key in asked.left_out])
    given = sum(asked.kept.values()) + sum(asked.found.values())
    text = json.dumps([left, given, plan.flags.tobytes().hex()])
    return hashlib.sha256(text.encode()).hexdigest()

"""The participants' half of a benchmark: what each task gives, and none of the labels.

One file a task, because one task's input is another's label: the caption is given for generation and asked for in captioning, and
the image is given for captioning and asked for in generation. Sample ids, the number of objects and their phrases stay, so that a
submission's masks can be counted and matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from mmud.annotations.asking import question_of, with_categories
from mmud.dataset.asking import asks_by_category
from mmud.dataset.exporters import codes
from mmud.dataset.exporters.base import Exporter, Item, Option
from mmud.dataset.exporters.native import chunks, refuse_strange_splits
from mmud.dataset.exporters.streams import write_line
from mmud.dataset.writer import SHARD_ROWS, DatasetWriter
from mmud.errors import Finding, Place
from mmud.files import atomic_write, write_json
from mmud.records import MaskedObject, Sample, Task

MANIFEST_NAME = "questions.json"
FORMAT_VERSION = 1

_WITHHELD = "withheld: a label, or a way to look one up"
_UNASKED = "not given by any of the chosen tasks"

GIVEN: Mapping[Task, Mapping[str, str]] = {
    Task.REFERRING_SEGMENTATION: {
        "given": "image, and for each object its phrases, or its category where no object of the split has a phrase",
        "wanted": "one mask for each object, in order; null for no target, and for an object without phrases",
    },
    Task.REASONING_SEGMENTATION: {
        "given": "image and question",
        "wanted": "an answer with <LCL-i> tags counted from 1, and a mask for each tag",
    },
    Task.CAPTIONING: {"given": "image", "wanted": "a long caption"},
    Task.GENERATION: {"given": "caption", "wanted": "an image"},
}
"""What a task's file holds and what a submission is to hold."""


class QuestionsExporter(Exporter):
    """``questions.json``, ``SPLIT/TASK.jsonl``, ``images/``, and ``dataset/``: an MMUD dataset without its labels."""

    name: ClassVar[str] = "questions"
    title: ClassVar[str] = "the participants' half: each task's questions, no labels"
    cannot_hold: ClassVar[Mapping[str, str]] = {
        "answers": _WITHHELD,
        "tags": _WITHHELD,
        "masks": _WITHHELD,
        "polygons": _WITHHELD,
        "boxes": _WITHHELD,
        "areas": _WITHHELD,
        "categories": f"{_WITHHELD}, unless a split has no phrases: its objects are asked for by category",
        "category ids": _WITHHELD,
        "crowd flags": _WITHHELD,
        "ref ids": _WITHHELD,
        "annotation ids": _WITHHELD,
        "source image ids": _WITHHELD,
        "image paths": "withheld: a source's file name says where its labels are; images are named by sample",
        "provenance": "withheld: it may quote labels",
        "captions of samples": f"{_WITHHELD}, unless generation is a chosen task",
        "phrases of samples": _UNASKED,
        "questions of samples": _UNASKED,
    }
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)
    default_tasks: ClassVar[tuple[Task, ...]] = tuple(Task)
    default_shard_size: ClassVar[int | None] = SHARD_ROWS["embed"]
    options: ClassVar[Mapping[str, Option]] = {
        "dataset": Option("also write dataset/, which `mmud predict` reads like any other", "yes", ("yes", "no")),
    }

    def reads_images(self) -> bool:
        # The image is generation's label: questions of that task alone go without.
        return super().reads_images() and self.job.tasks != (Task.GENERATION,)

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        if Task.GENERATION not in self.job.tasks:
            yield "captions of samples", bool(sample.caption)
        if Task.REFERRING_SEGMENTATION not in self.job.tasks:
            yield "phrases of samples", sum(len(item.phrases) for item in sample.objects)
        if Task.REASONING_SEGMENTATION not in self.job.tasks:
            yield "questions of samples", bool(sample.question)

    def begin(self) -> None:
        tasks = self.job.tasks
        if Task.GENERATION in tasks and len(tasks) > 1:
            others = ", ".join(task for task in tasks if task is not Task.GENERATION)
            message = f"the questions of generation hold what {others} ask for, and the other way round"
            self.job.findings.append(Finding(codes.CAPTIONS_LEAK, Place(), message))
        self._asked: dict[str, dict[str, Any]] = {}
        self._shards: dict[str, int] = {}
        self._writer: DatasetWriter | None = None
        if self.job.options["dataset"] == "yes":
            refuse_strange_splits(self.job)
            plan = {"questions": self.job.dataset.fingerprint}
            self._writer = DatasetWriter(self.job.folder / "dataset", plan, "embed")

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        folder = self.job.split_stem(split)
        asked = dict.fromkeys(map(str, self.job.tasks), 0)
        # The rule of `mmud evaluate`, over the whole split however few samples are exported.
        by_category = asks_by_category(self.job.dataset, split)
        rows = self._rows(split, folder, items, asked, by_category)
        if self._writer is None:
            for _ in rows:
                pass
        else:
            for index, chunk in enumerate(chunks(rows, self.job.shard_size)):
                self._writer.write_part(split, index, chunk)
                self._shards[split] = index + 1
            if split not in self._shards:
                self._writer.write_part(split, 0, [])
                self._shards[split] = 1
        self._asked[split] = {"folder": folder, "questions": asked, "by_category": by_category}

    def _rows(
        self, split: str, folder: str, items: Iterator[Item], asked: dict[str, int], by_category: bool
    ) -> Iterator[dict[str, Any]]:
        """Write each sample's questions on the way, and pass it on without its labels."""
        with ExitStack() as stack:
            files = {
                task: stack.enter_context(atomic_write(self.job.folder / folder / f"{task}.jsonl"))
                for task in self.job.tasks
            }
            for item in items:
                image = None
                if item.image is not None:
                    image = f"images/{self.job.image_name(item.without_path(), 'images')}"
                    self.job.save_image(item, image, split)
                for task, stream in files.items():
                    question = question_of(item.sample, task, by_category)
                    if question is None:
                        continue
                    shown = {} if task is Task.GENERATION else {"image": image}
                    write_line(stream, {"sample_id": item.sample.sample_id, **shown, **question})
                    asked[task] += 1
                    self.job.counts[f"{task} questions"] += 1
                row = self._blind(with_categories(item.sample) if by_category else item.sample).to_row()
                if item.image is not None and image is not None:
                    row["image"] = {"bytes": item.image.data, "path": image.removeprefix("images/")}
                yield row

    def _blind(self, sample: Sample) -> Sample:
        """The sample without its labels. The caption stays only where generation is the one task asked."""
        tasks = self.job.tasks
        objects = sample.objects if Task.REFERRING_SEGMENTATION in tasks else ()
        return Sample(
            sample_id=sample.sample_id,
            width=sample.width,
            height=sample.height,
            source=sample.source,
            license=sample.license,
            caption=sample.caption if tasks == (Task.GENERATION,) else "",
            question=sample.question if Task.REASONING_SEGMENTATION in tasks else "",
            objects=tuple(MaskedObject(phrases=item.phrases) for item in objects),
        )

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.finish(self._shards, [], name=f"{self.job.dataset.name}-questions")
        manifest = {
            "format": "mmud-questions",
            "format_version": FORMAT_VERSION,
            "dataset": self.job.dataset.name,
            "dataset_fingerprint": self.job.dataset.fingerprint,
            "tasks": {task: {"file": f"{task}.jsonl", **GIVEN[task]} for task in self.job.tasks},
            "splits": self._asked,
            "leaks": [finding.message for finding in self.job.findings if finding.code is codes.CAPTIONS_LEAK],
        }
        write_json(self.job.folder / MANIFEST_NAME, manifest)

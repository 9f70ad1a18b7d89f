"""Joining the parts of one prediction, made by several processes or machines, into one submission without padding or gaps."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmud.baselines import codes
from mmud.baselines.inputs import Inputs
from mmud.baselines.predicting import STATE_NAME, PredictReport, clear_predictions, read_json
from mmud.baselines.task_log import TaskLog
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators.predictions import SUBMISSION_NAME, image_problem, read_lines, task_file
from mmud.files import atomic_write, refuse_existing, write_json
from mmud.records import Task


def merge_parts(parts: Sequence[Path], inputs: Inputs, folder: Path, *, force: bool = False) -> PredictReport:
    """Join parts; the task files are those that one process would have written.

    Args:
        parts: folders that ``mmud predict --shard i/n`` wrote, each once, in any order.
        inputs: what was asked, for the order of the lines.
        folder: of the joined predictions.
        force: replace predictions that are there.

    Raises:
        MmudError: MM948 when the parts do not belong together or leave something out.
    """
    said = [_submission(part) for part in parts]
    plan = _common_plan(parts, said, inputs)
    if force:
        clear_predictions(folder)
    refuse_existing(folder, force)
    report = PredictReport(folder)
    try:
        for task in Task:
            if any((part / task_file(task)).exists() for part in parts):
                report.tasks[task.value] = _merge_task(parts, inputs, folder, task, plan["limit"])
    except MmudError:
        clear_predictions(folder)
        raise
    systems = [about.get("system", {}) for about in said]
    rates = [system.get("throughput", {}) for system in systems]
    for task_name in report.tasks:
        # Parts ran side by side: their rates add up.
        report.throughput[task_name] = float(f"{sum(rate.get(task_name, 0.0) for rate in rates):.4g}")
    system = {**systems[0], "throughput": report.throughput, "processes": len(parts)}
    counts = {task: _tags_of(parts, systems, task) for task in report.tasks}
    told = {task: count for task, count in counts.items() if count is not None}
    # Not those of the first part alone.
    system.pop("tags_emitted", None)
    if told:
        system["tags_emitted"] = told
    write_json(folder / SUBMISSION_NAME, {**said[0], "system": system, "prediction": plan})
    return report


def _tags_of(parts: Sequence[Path], systems: Sequence[dict[str, Any]], task: str) -> dict[str, int] | None:
    """The tags of a task that were wanted and said; None where a part with answers to it does not tell."""
    answered = [system for part, system in zip(parts, systems, strict=True) if (part / task_file(Task(task))).exists()]
    counts = [system.get("tags_emitted", {}).get(task) for system in answered]
    if not all(counts):
        return None
    return {name: sum(count[name] for count in counts) for name in ("wanted", "emitted")}


def _submission(part: Path) -> dict[str, Any]:
    place = Place(file=str(part))
    if (part / STATE_NAME).exists():
        raise MmudError(codes.SHARDS_DIFFER, f"{part} is not finished", place)
    if not (part / SUBMISSION_NAME).exists():
        raise MmudError(codes.SHARDS_DIFFER, f"{part} holds no predictions of `mmud predict`", place)
    found = read_json(part / SUBMISSION_NAME)
    if not isinstance(found.get("prediction"), dict):
        raise MmudError(codes.SHARDS_DIFFER, f"{part} does not say how it was made", place)
    return found


def _common_plan(parts: Sequence[Path], said: Sequence[dict[str, Any]], inputs: Inputs) -> dict[str, Any]:
    """What all parts share.

    Raises:
        MmudError: MM948 when they differ in more than their shard, or are not all there.
    """
    plans = [dict(about["prediction"]) for about in said]
    shards = [tuple(plan.pop("shard")) for plan in plans]
    for part, plan in zip(parts, plans, strict=True):
        if plan != plans[0]:
            differs = ", ".join(key for key in plans[0] if plan.get(key) != plans[0][key])
            raise MmudError(codes.SHARDS_DIFFER, f"{part} and {parts[0]} differ in {differs}", Place(file=str(part)))
    wanted = [(index, len(parts)) for index in range(1, len(parts) + 1)]
    if sorted(shards) != wanted:
        have = ", ".join(f"{index}/{of}" for index, of in sorted(shards))
        raise MmudError(codes.SHARDS_DIFFER, f"these are the parts {have}, not each of 1 to {shards[0][1]} once")
    if (plans[0]["dataset_fingerprint"], plans[0]["split"]) != (inputs.fingerprint, inputs.split):
        raise MmudError(codes.SHARDS_DIFFER, "the parts were made for another dataset or split")
    return {**plans[0], "shard": [1, 1]}


def _merge_task(parts: Sequence[Path], inputs: Inputs, folder: Path, task: Task, limit: int | None) -> int:
    order = [
        sample.sample_id
        for position, sample in inputs.samples(task, images=False, labels=False)
        if limit is None or position < limit
    ]
    with TaskLog(folder, task) as log:
        for part in parts:
            if not (part / task_file(task)).exists():
                continue
            for _, row in read_lines(part / task_file(task), task_file(task), _raise):
                if not isinstance(row.get("sample_id"), str) or row["sample_id"] in log:
                    message = f"{task_file(task)} has a line without a sample, or a second one for it"
                    raise MmudError(codes.SHARDS_DIFFER, message, Place(file=str(part)))
                image = row.get("image")
                if task is Task.GENERATION and isinstance(image, str):
                    _copy_image(part, folder, image)
                log.append(row)
        missing = [sample for sample in order if sample not in log]
        if missing or len(log) != len(order):
            message = f"{task.value}: {len(order)} samples are asked for, the parts hold {len(log)}"
            raise MmudError(codes.SHARDS_DIFFER, message, Place(sample=missing[0] if missing else None))
        log.finish(order)
    return len(order)


def _copy_image(part: Path, folder: Path, image: str) -> None:
    problem = image_problem(part, image)
    if problem is not None:
        raise MmudError(codes.SHARDS_DIFFER, problem, Place(file=str(part)))
    with open(part / image, "rb") as source, atomic_write(folder / image) as target:
        shutil.copyfileobj(source, target)


def _raise(finding: Finding) -> None:
    raise MmudError(finding.code, finding.message, finding.place)

"""From a baseline and inputs to a folder of predictions: the same files that any outsider would hand in.

Each task's lines are logged as they come and become a file when the task is done; ``submission.json`` comes last and says that
the whole is done. The same request goes on where it was interrupted, and ends in the same task files.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.baselines.base import Baseline, Output, ProgressFactory, silent
from mmud.baselines.inputs import DatasetInputs, Inputs
from mmud.baselines.task_log import TaskLog, log_file, remove_logs
from mmud.baselines.versions import versions
from mmud.dataset.exporters.images import sniff
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.evaluators.collecting import Shard
from mmud.evaluators.predictions import SUBMISSION_NAME, task_file
from mmud.files import atomic_write, remove_leftovers, write_json
from mmud.records import Sample, Task

STATE_NAME = ".predicting.json"
IMAGE_FOLDER = "images"
FORMAT_VERSION = 1
_ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "bmp": ".bmp"}


@dataclass(frozen=True)
class Request:
    """What is to be predicted.

    Attributes:
        tasks: those asked for; None for all that the baseline does and the inputs have.
        shard: every ``of``-th sample of the split, counted by position.
        limit: only the first samples of the split; the submission is marked as partial.
        name, authors: for ``submission.json``; the baseline's own name when left out.
        run: of a fitted baseline: what ``run.json`` says of the fitting.
    """

    tasks: tuple[Task, ...] | None = None
    shard: Shard = field(default_factory=Shard)
    limit: int | None = None
    name: str = ""
    authors: tuple[str, ...] = ()
    run: Mapping[str, Any] | None = None

    def holds(self, position: int) -> bool:
        return self.shard.holds(position) and (self.limit is None or position < self.limit)


WHOLE = Request()


@dataclass
class PredictReport:
    """What was done.

    Attributes:
        folder: of the predictions.
        tasks: task -> number of predictions in its file.
        predicted: task -> how many of those this process made.
        throughput: task -> samples a second, reading and writing included.
        skipped: task -> why it has no file.
    """

    folder: Path
    tasks: dict[str, int] = field(default_factory=dict)
    predicted: dict[str, int] = field(default_factory=dict)
    throughput: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "folder": str(self.folder)}


def predict_into(
    folder: Path,
    baseline: Baseline,
    inputs: Inputs,
    request: Request = WHOLE,
    *,
    force: bool = False,
    resume: bool = False,
    progress: ProgressFactory = silent,
    note: Callable[[str], None] = lambda text: None,
) -> PredictReport:
    """Write a baseline's predictions.

    An unfinished folder of the same request is gone on with.

    Args:
        folder: of the predictions.
        baseline: loaded, where it was fitted.
        inputs: what is asked.
        request: which part of it.
        force: replace predictions that are there.
        resume: a finished folder of the same request is no error: it is reported as it is.
        progress, note: for a person.

    Raises:
        MmudError: MM003 or MM943 when the folder holds something else, MM944 when the baseline answers wrongly, MM945 and MM946
            when a task cannot be done; and whatever the baseline raises: what it said before is kept.
    """
    tasks = _tasks(baseline, request)
    plan = _plan(baseline, inputs, request, tasks)
    finished = _begin(folder, plan, force, resume)
    if finished is not None:
        note(f"{folder} is finished already")
        return finished
    state = _State(folder, plan)
    for task in tasks:
        _predict_task(folder, baseline, inputs, request, task, state, progress)
    _finish(folder, baseline, inputs, request, state)
    return state.report


def count_asked(baseline: Baseline, inputs: Inputs, request: Request = WHOLE) -> dict[str, int]:
    """How many predictions each task asks for; nothing is written.

    Raises:
        MmudError: MM945 and MM946 when a task cannot be done.
    """
    found = {}
    for task in _tasks(baseline, request):
        asked = inputs.samples(task, images=False, labels=baseline.reads_labels)
        found[task.value] = sum(request.holds(position) for position, _ in asked)
    return found


def _tasks(baseline: Baseline, request: Request) -> list[Task]:
    wanted = baseline.tasks if request.tasks is None else request.tasks
    cannot = [task for task in wanted if task not in baseline.tasks]
    if cannot:
        able = ", ".join(baseline.tasks)
        raise MmudError(
            codes.TASK_NOT_DONE, f"{baseline.name} does not do {', '.join(cannot)}", hint=f"It does {able}."
        )
    return [task for task in Task if task in wanted]


def _plan(baseline: Baseline, inputs: Inputs, request: Request, tasks: Sequence[Task]) -> dict[str, Any]:
    """What makes two requests the same."""
    return {
        "baseline": baseline.name,
        "options": baseline.options.lasting(),
        "seed": baseline.seed,
        "run": None if request.run is None else dict(request.run),
        "split": inputs.split,
        "dataset_fingerprint": inputs.fingerprint,
        "tasks": [str(task) for task in tasks],
        "shard": [request.shard.index, request.shard.of],
        "limit": request.limit,
        "name": request.name or baseline.name,
    }


class _State:
    """``.predicting.json``: the plan, and of tasks that are done the measured rates and the tags that were wanted and said."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.file = folder / STATE_NAME
        self.plan = plan
        self.report = PredictReport(folder)
        self.tags: dict[str, dict[str, int]] = {}
        if self.file.exists():
            kept = json.loads(self.file.read_bytes())
            self.report.throughput.update(kept["throughput"])
            self.tags.update(kept.get("tags_emitted", {}))
        self.save()

    def save(self) -> None:
        kept = {"plan": self.plan, "throughput": self.report.throughput, "tags_emitted": self.tags}
        write_json(self.file, kept)


def _begin(folder: Path, plan: Mapping[str, Any], force: bool, resume: bool) -> PredictReport | None:
    """Make the folder ready; the report of a folder that is finished and may stay."""
    if force:
        clear_predictions(folder)
    for place in (folder, folder / IMAGE_FOLDER):
        remove_leftovers(place)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if (folder / STATE_NAME).exists():
        _refuse_other(folder, read_json(folder / STATE_NAME).get("plan"), plan)
        return None
    if not (folder / SUBMISSION_NAME).exists() or not resume:
        raise MmudError(general_codes.OUTPUT_EXISTS, f"{folder} exists already", Place(file=str(folder)))
    said = read_json(folder / SUBMISSION_NAME)
    _refuse_other(folder, said.get("prediction"), plan)
    report = PredictReport(folder, throughput=said.get("system", {}).get("throughput", {}))
    for task in Task:
        if (folder / task_file(task)).exists():
            with open(folder / task_file(task), "rb") as stream:
                report.tasks[task.value] = sum(1 for _ in stream)
    return report


def _refuse_other(folder: Path, found: Any, plan: Mapping[str, Any]) -> None:
    if found == plan:
        return
    other = found if isinstance(found, dict) else {}
    differs = [f"{key} {other.get(key)!r}, now {value!r}" for key, value in plan.items() if other.get(key) != value]
    raise MmudError(codes.OTHER_REQUEST, f"{folder} was begun with {'; '.join(differs)}", Place(file=str(folder)))


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object that this package wrote.

    Raises:
        MmudError: MM943 when it is none.
    """
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise MmudError(codes.OTHER_REQUEST, f"cannot be read: {error}", Place(file=str(file))) from error
    if not isinstance(found, dict):
        raise MmudError(codes.OTHER_REQUEST, "holds no JSON object", Place(file=str(file)))
    return found


def clear_predictions(folder: Path) -> None:
    """Remove a folder's predictions and nothing else; a folder that holds none is left as it is.

    Raises:
        MmudError: MM003 when the folder holds other things instead.
    """
    files = [folder / name for name in (STATE_NAME, SUBMISSION_NAME, *map(task_file, Task))]
    ours = any(file.exists() for file in [*files, *(log_file(folder, task) for task in Task)])
    if not ours:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            message = f"{folder} holds other things than predictions; --force does not remove those"
            raise MmudError(general_codes.OUTPUT_EXISTS, message, Place(file=str(folder)))
        return
    for file in files:
        file.unlink(missing_ok=True)
    remove_logs(folder)
    shutil.rmtree(folder / IMAGE_FOLDER, ignore_errors=True)


def _predict_task(
    folder: Path,
    baseline: Baseline,
    inputs: Inputs,
    request: Request,
    task: Task,
    state: _State,
    progress: ProgressFactory,
) -> None:
    labels = baseline.reads_labels
    order = [
        (position, sample.sample_id)
        for position, sample in inputs.samples(task, images=False, labels=labels)
        if request.holds(position)
    ]
    if not order:
        state.report.skipped[task.value] = "nothing is asked"
        return
    state.report.tasks[task.value] = len(order)
    state.report.predicted[task.value] = 0
    if (folder / task_file(task)).exists():
        return
    with TaskLog(folder, task) as log, progress(task.value, len(order)) as bar:
        bar.advance(len(log))
        waiting = {sample: position for position, sample in order if sample not in log}
        stream = (
            sample
            for _, sample in inputs.samples(task, images=baseline.reads_images, labels=labels)
            if sample.sample_id in waiting
        )
        made, start = len(waiting), time.perf_counter()
        # The stream is read while answers come in, so it must not shrink with them.
        unanswered = dict(waiting)
        for output in baseline.predict(stream, task):
            _write(folder, log, output, task, unanswered)
            state.report.predicted[task.value] += 1
            bar.advance()
        if unanswered:
            message = f"{baseline.name} left out {len(unanswered)} of {made} samples"
            raise MmudError(codes.ANSWERS_WRONG, message, Place(sample=next(iter(unanswered))))
        seconds = time.perf_counter() - start
        if log.tags is not None:
            # Before the log goes: a kill in between must not lose what was counted.
            state.tags[task.value] = dict(zip(("wanted", "emitted"), log.tags, strict=True))
            state.save()
        log.finish([sample for _, sample in order])
    if made:
        state.report.throughput[task.value] = float(f"{made / max(seconds, 1e-9):.4g}")
    state.save()


def _write(folder: Path, log: TaskLog, output: Output, task: Task, unanswered: dict[str, int]) -> None:
    """Log one output; its image goes to the disk first, so that no line names an image that is not there."""
    prediction = output.prediction
    place = Place(sample=prediction.sample_id)
    if prediction.task is not task or prediction.sample_id not in unanswered:
        message = f"an answer to {prediction.task} that was not asked for, or a second one"
        raise MmudError(codes.ANSWERS_WRONG, message, place)
    position = unanswered.pop(prediction.sample_id)
    if task is Task.GENERATION and output.image is not None:
        ending = _ENDINGS.get(sniff(output.image) or "")
        if ending is None:
            raise MmudError(codes.ANSWERS_WRONG, "an image that is no PNG, JPEG, WebP or BMP file", place)
        image = f"{IMAGE_FOLDER}/{position:06d}{ending}"
        with atomic_write(folder / image) as stream:
            stream.write(output.image)
        prediction = prediction.model_copy(update={"image": image})
    if task is Task.GENERATION and prediction.image is None and prediction.feature is None:
        raise MmudError(codes.ANSWERS_WRONG, "neither an image nor a feature", place)
    log.append(prediction.to_row(), output.tags)


def _finish(folder: Path, baseline: Baseline, inputs: Inputs, request: Request, state: _State) -> None:
    if not state.report.tasks:
        raise MmudError(codes.TASK_NOT_DONE, f"{inputs.split} asks for nothing that {baseline.name} does")
    about = baseline.describe()
    trainable = about.trainable_parameters
    system: dict[str, Any] = {
        "baseline": baseline.name,
        "parameters": about.parameters,
        "trainable_parameters": dict(trainable) if isinstance(trainable, Mapping) else trainable,
        "needs": list(about.needs),
        "reads_labels": baseline.reads_labels,
        "throughput": state.report.throughput,
        "tags_emitted": state.tags or None,
        "versions": versions(),
        **(about.details or {}),
    }
    submission: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "name": request.name or baseline.name,
        "authors": list(request.authors),
        "split": inputs.split,
        "dataset_fingerprint": inputs.fingerprint,
        "system": {key: value for key, value in system.items() if value is not None},
        "prediction": dict(state.plan),
    }
    if request.limit is not None:
        submission["partial"] = True
    write_json(folder / SUBMISSION_NAME, submission)
    (folder / STATE_NAME).unlink()


def batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    """Lists of at most ``size`` samples, for baselines that answer several at once."""
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def write_predictions(
    folder: Path,
    dataset: Dataset,
    baseline: Baseline,
    *,
    split: str = "test",
    tasks: Iterable[Task] | None = None,
    name: str = "",
    force: bool = False,
) -> Path:
    """A baseline's predictions for a dataset that is open already; see `predict_into`."""
    request = Request(tasks=None if tasks is None else tuple(tasks), name=name)
    predict_into(folder, baseline, DatasetInputs(dataset, split), request, force=force)
    return folder

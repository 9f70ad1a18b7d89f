"""A run: a baseline that was fitted, with everything needed to repeat it.

::

    RUN/run.json       baseline, options, seed, dataset, split, versions, status, sizes
        model/         what the baseline saves; it alone is read for predicting
        work/          checkpoints, logs and caches of the fitting
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.baselines.base import BASELINES, Baseline, FitRun, ProgressFactory, silent
from mmud.baselines.versions import versions
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.files import remove_leftovers, write_json

RUN_NAME = "run.json"
MODEL_FOLDER = "model"
WORK_FOLDER = "work"
VALID_SPLITS = ("valid", "val", "validation")


class RunInfo(BaseModel):
    """``run.json``.

    Attributes:
        baseline: as it was asked for: a name in the registry, or PACKAGE:NAME.
        options: complete, with defaults.
        seed: of the fitting.
        dataset: name, path as it was given, fingerprint.
        split, limit: what was learned from.
        status: "running" until everything is written.
        versions: of the packages that can change a result.
        command: that repeats it.
        seconds: that fitting took, all processes together where it was interrupted.
        description: sizes and needs, as the baseline says.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    format: Literal["mmud-run"] = "mmud-run"
    format_version: int = 1
    baseline: str
    options: dict[str, Any] = Field(default_factory=dict)
    seed: int
    dataset: dict[str, str]
    split: str = "train"
    limit: int | None = None
    status: Literal["running", "done"] = "running"
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0
    description: dict[str, Any] = Field(default_factory=dict)

    def same_request(self) -> dict[str, Any]:
        """What makes two runs the same."""
        return {
            "baseline": self.baseline,
            "options": self.options,
            "seed": self.seed,
            "dataset_fingerprint": self.dataset.get("fingerprint"),
            "split": self.split,
            "limit": self.limit,
        }


@dataclass(frozen=True)
class FitRequest:
    """What is to be fitted.

    Attributes:
        baseline: name in the registry.
        options: by name, as a person wrote them.
        seed, split, limit: as `FitRun` has them.
    """

    baseline: str
    options: Mapping[str, Any]
    seed: int = 0
    split: str = "train"
    limit: int | None = None


def is_run(path: Path) -> bool:
    return (path / RUN_NAME).is_file()


def read_run(folder: Path) -> RunInfo:
    """Read ``run.json``.

    Raises:
        MmudError: MM940 when it is not there or cannot be read.
    """
    file = folder / RUN_NAME
    place = Place(file=str(file))
    try:
        return RunInfo.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise MmudError(codes.NOT_A_RUN, f"{folder} has no {RUN_NAME}", place) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise MmudError(codes.NOT_A_RUN, f"{RUN_NAME}: {field}: {first['msg']}", place) from error
    except OSError as error:
        raise MmudError(codes.NOT_A_RUN, f"{RUN_NAME} cannot be read: {error}", place) from error


def make_baseline(name: str, options: Mapping[str, Any], seed: int) -> Baseline:
    """A baseline by name, not yet fitted.

    Raises:
        MmudError: MM004 to MM007 when there is none or it cannot be imported, MM905 for a wrong option.
    """
    return BASELINES.get(name)(options, seed)


def load_run(folder: Path, options: Mapping[str, Any] | None = None, seed: int = 0) -> tuple[Baseline, RunInfo]:
    """The fitted baseline of a run, ready to predict.

    Args:
        folder: of the run.
        options: that replace those of the fitting, for predicting.
        seed: of predicting.

    Raises:
        MmudError: MM940 for another folder, MM941 for an unfinished run, MM904 when the model is damaged.
    """
    info = read_run(folder)
    if info.status != "done":
        hint = f"Go on with: {info.command}" if info.command else None
        raise MmudError(codes.RUN_UNFINISHED, f"{folder} is not finished", Place(file=str(folder)), hint)
    baseline = make_baseline(info.baseline, {**info.options, **(options or {})}, seed)
    baseline.load(folder / MODEL_FOLDER)
    return baseline, info


def fit_into(
    folder: Path,
    dataset: Dataset,
    request: FitRequest,
    *,
    force: bool = False,
    resume: bool = False,
    command: str = "",
    progress: ProgressFactory = silent,
    note: Callable[[str], None] = lambda text: None,
) -> RunInfo:
    """Fit a baseline into a run folder. An unfinished run of the same request is gone on with.

    Args:
        folder: of the run.
        dataset: to learn from.
        request: the baseline and how.
        force: replace a run that is there.
        resume: a finished run of the same request is no error.
        command: that repeats it, for ``run.json``.
        progress, note: for a person.

    Raises:
        MmudError: MM942 for a baseline that learns nothing, MM003 or MM943 when the folder holds something else, and whatever
            fitting raises.
    """
    baseline = make_baseline(request.baseline, request.options, request.seed)
    if not baseline.needs_fitting:
        hint = f"Use it at once: mmud predict {request.baseline} --data DIR -o PREDICTIONS"
        raise MmudError(codes.FITTING, f"{request.baseline} learns nothing", hint=hint)
    dataset.length(request.split)
    info = RunInfo(
        baseline=request.baseline,
        options=baseline.options.lasting(),
        seed=request.seed,
        dataset={"name": dataset.name, "path": str(dataset.path), "fingerprint": dataset.fingerprint},
        split=request.split,
        limit=request.limit,
        command=command,
        versions=versions(),
    )
    earlier = _begin(folder, info, force)
    if earlier is not None and earlier.status == "done":
        if not resume:
            raise MmudError(general_codes.OUTPUT_EXISTS, f"{folder} is finished", Place(file=str(folder)))
        note(f"{folder} is finished already")
        return earlier
    info = info.model_copy(update={"seconds": 0.0 if earlier is None else earlier.seconds})
    _fit(folder, baseline, dataset, info, progress, note)
    return read_run(folder)


def _begin(folder: Path, info: RunInfo, force: bool) -> RunInfo | None:
    """Make the folder ready; what an earlier run of the same request says."""
    remove_leftovers(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not is_run(folder):
        message = f"{folder} exists already, and is no run"
        hint = "Name another output: --force replaces a run, and nothing else."
        raise MmudError(general_codes.OUTPUT_EXISTS, message, Place(file=str(folder)), hint)
    if force:
        for name in (MODEL_FOLDER, WORK_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / RUN_NAME).unlink()
        return None
    earlier = read_run(folder)
    found, wanted = earlier.same_request(), info.same_request()
    if found != wanted:
        differs = [f"{key} {found[key]!r}, now {wanted[key]!r}" for key in wanted if found[key] != wanted[key]]
        raise MmudError(codes.OTHER_REQUEST, f"{folder} was begun with {'; '.join(differs)}", Place(file=str(folder)))
    return earlier


def _fit(
    folder: Path,
    baseline: Baseline,
    dataset: Dataset,
    info: RunInfo,
    progress: ProgressFactory,
    note: Callable[[str], None],
) -> None:
    write_json(folder / RUN_NAME, info.model_dump(mode="json"))
    run = FitRun(
        folder=folder / WORK_FOLDER,
        split=info.split,
        valid_split=next((name for name in VALID_SPLITS if name in dataset.splits and name != info.split), None),
        seed=info.seed,
        limit=info.limit,
        command=info.command,
        progress=progress,
        note=note,
    )
    run.folder.mkdir(exist_ok=True)
    start = time.perf_counter()
    try:
        baseline.fit(dataset, run)
        model = folder / MODEL_FOLDER
        partial = folder / f".{MODEL_FOLDER}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        baseline.save(partial)
        shutil.rmtree(model, ignore_errors=True)
        partial.rename(model)
    finally:
        spent = {"seconds": round(info.seconds + time.perf_counter() - start, 3)}
        info = info.model_copy(update=spent)
        write_json(folder / RUN_NAME, info.model_dump(mode="json"))
    about = baseline.describe()
    trainable = about.trainable_parameters
    description = {
        "parameters": about.parameters,
        "trainable_parameters": dict(trainable) if isinstance(trainable, Mapping) else trainable,
        "needs": list(about.needs),
        **(about.details or {}),
    }
    done = {"status": "done", "versions": versions(), "description": description}
    write_json(folder / RUN_NAME, info.model_copy(update=done).model_dump(mode="json"))

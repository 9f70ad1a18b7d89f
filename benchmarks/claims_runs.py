"""The runs that the claims are computed from: each trained and scored once, its result one line of a file; gone on with.

::

    OUT/runs.jsonl              one result a line: what was run, on what, parameters, scores, seconds
        runs/KEY                the run folder of `mmud train`, without its checkpoints
        reference-SPLIT.npz     the real images' features, which generation is scored against

A line counts only for the very same run on the same data and the same frozen parts, so that a folder may hold many measurements.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from claims_statistics import PARTS, four_task_score

LINES_NAME = "runs.jsonl"
VALID, TEST = "valid", "test"
CALIBRATION_STEPS, CALIBRATION_SAMPLES = 4, 8
BUDGET = ("steps", "batch", "warmup", "validations", "valid_limit")
"""Options that all runs of a measurement share."""


SOURCES = ("annotations", "baselines", "evaluators")
"""Folders of the package whose code decides what a run's result is."""


class OutOfTime(Exception):
    """The minutes that were given are over; the same command goes on."""


class NoComparison(Exception):
    """What was measured allows no comparison."""


@dataclass(frozen=True)
class Run:
    """What is trained: a baseline by name, with its options and a seed."""

    baseline: str
    options: Mapping[str, Any]
    seed: int = 0

    def text(self) -> str:
        """For a person: what is special about it."""
        shown = {name: value for name, value in self.options.items() if name not in BUDGET}
        return " ".join([self.baseline, *(f"{name}={value}" for name, value in shown.items()), f"seed={self.seed}"])


@dataclass(frozen=True)
class Scored:
    """What came of a run on one split.

    Attributes:
        figures: by the names of `PARTS`.
        parameters: trained parameters by part.
        seconds: of training, where it was not done before, prediction and scoring.
        step_seconds, sample_seconds: of a training step, and of the predictions for one sample.
        tags: task -> how many tags were wanted and emitted.
    """

    figures: Mapping[str, float]
    parameters: Mapping[str, int]
    seconds: float
    step_seconds: float
    sample_seconds: float
    tags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        return four_task_score(self.figures)

    @property
    def adapter(self) -> int:
        return self.parameters["adapter"]

    @property
    def trained(self) -> int:
        return sum(self.parameters.values())


class Measure(Protocol):
    """Trains a run, unless that is done, and scores it on a split; from ``limit`` samples where that is given."""

    def __call__(self, run: Run, split: str, folder: Path, limit: int | None = None) -> Scored: ...


def digest_of_sources(root: Path, names: Sequence[str]) -> str:
    """SHA-256 of Python files and of those in folders, by name and content, wherever ``root`` lies."""
    from mmud.files import sha256_of

    files = sorted(
        file for name in names for file in ((root / name).rglob("*.py") if (root / name).is_dir() else [root / name])
    )
    return hashlib.sha256(
        "".join(f"{file.relative_to(root)} {sha256_of(file)}\n" for file in files).encode()
    ).hexdigest()


class Lines:
    """Results on disk, one JSON object a line. A line that was cut off by a kill is passed over, and written again."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Iterator[dict[str, Any]]:
        if not self.file.exists():
            return
        for line in self.file.read_bytes().splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found

    def append(self, row: Mapping[str, Any]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        whole = not self.file.exists() or self.file.read_bytes()[-1:] in (b"", b"\n")
        data = ("" if whole else "\n") + json.dumps(row, sort_keys=True) + "\n"
        with open(self.file, "ab") as stream:
            stream.write(data.encode())
            stream.flush()
            os.fsync(stream.fileno())


class Runs:
    """Runs that are measured when they are asked for, unless a line holds their result.

    Args:
        folder: of the results.
        context: everything besides the run that its weights depend on; JSON-compatible.
        measure: does the work.
        samples: of each split that are predicted; None for all.
        minutes: begin nothing after so many; None for no bound.
        say: to a person.
    """

    def __init__(
        self,
        folder: Path,
        context: Mapping[str, Any],
        measure: Measure,
        samples: int | None = None,
        minutes: float | None = None,
        say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
    ) -> None:
        self.folder = folder
        self.context = dict(context)
        self.say = say
        self.samples = samples
        self._measure = measure
        self._lines = Lines(folder / LINES_NAME)
        self._known = {
            (row["key"], row["split"], row["samples"]): Scored(**row["result"])
            for row in self._lines.read()
            if row.get("context") == self.context
        }
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._waiting = 0
        self._took: list[float] = []

    def key(self, run: Run) -> str:
        said = json.dumps([run.baseline, dict(run.options), run.seed, self.context], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def known(self, run: Run, split: str) -> Scored | None:
        return self._known.get((self.key(run), split, self.samples))

    def scored(self, run: Run, split: str) -> Scored:
        """The result of a run on a split; measured now where no line has it.

        Raises:
            OutOfTime: when it would have to be measured and the minutes are over.
        """
        found = self.known(run, split)
        if found is not None:
            return found
        self.check_time()
        new = self._is_new(run)
        found = self._measure(run, split, self.folder / "runs" / self.key(run), self.samples)
        self._keep(run, split, self.samples, found)
        left = ""
        if new:
            self._took.append(found.seconds)
            self._waiting = max(self._waiting - 1, 0)
            left = f"; about {clock(self._waiting * sum(self._took) / len(self._took))} left"
        self.say(f"  {run.text()} on {split}: {found.score:.4f}; {found.seconds:.0f} s{left}")
        return found

    def check_time(self) -> None:
        """Before anything that takes long.

        Raises:
            OutOfTime: when the minutes are over.
        """
        if self._end is not None and time.monotonic() > self._end:
            raise OutOfTime

    def only_known(self) -> Runs:
        """The same results, to which nothing is added: asking for another one raises `OutOfTime`."""
        return Runs(self.folder, self.context, self._measure, self.samples, minutes=-1.0, say=self.say)

    def _is_new(self, run: Run) -> bool:
        return all(self.known(run, split) is None for split in (VALID, TEST))

    def _keep(self, run: Run, split: str, samples: int | None, found: Scored) -> None:
        key = self.key(run)
        said = {"baseline": run.baseline, "options": dict(run.options), "seed": run.seed}
        row = {"key": key, "split": split, "samples": samples, "run": said, "context": self.context}
        self._lines.append({**row, "result": vars(found), "score": found.score})
        self._known[key, split, samples] = found

    # -- time --------------------------------------------------------------------------------------------------------------

    def announce(self, title: str, runs: Sequence[Run], predictions: int, samples: int) -> float:
        """Say what a block will take, by a few steps on this machine; the seconds.

        Args:
            title: of the block.
            runs: all of them; where a choice is yet to be made, stand-ins of the same size.
            predictions: how often a split is predicted in all.
            samples: in a split.
        """
        new = [run for run in runs if self._is_new(run)]
        seconds = 0.0
        if new:
            a_step, a_sample = self._rates(new[0])
            steps = sum(run.options["steps"] for run in new)
            seconds = steps * a_step + predictions * len(new) / len(runs) * samples * a_sample
        self._waiting, self._took = len(new), []
        self.say(f"{title}: {len(runs)} runs, {len(new)} of them to be done; expected time about {clock(seconds)}")
        return seconds

    def _rates(self, like: Run) -> tuple[float, float]:
        """Seconds of a training step and of the predictions for a sample; measured once, and kept as any result."""
        short = {"steps": CALIBRATION_STEPS, "warmup": 1, "validations": 1, "valid_limit": 1}
        run = Run("neural-tuning", {"batch": like.options["batch"], **short})
        found = self._known.get((self.key(run), VALID, CALIBRATION_SAMPLES))
        if found is None:
            self.say("A few steps first, to tell how long it will take (and the frozen features of all images).")
            # Another process may be at the same: each has a folder of its own, which is removed.
            folder = self.folder / "runs" / f"{self.key(run)}-{os.getpid()}"
            found = self._measure(run, VALID, folder, CALIBRATION_SAMPLES)
            self._keep(run, VALID, CALIBRATION_SAMPLES, found)
            shutil.rmtree(folder, ignore_errors=True)
        return found.step_seconds, found.sample_seconds


def clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


@dataclass
class Harness:
    """Trains with `mmud train`, predicts with `mmud predict` and scores with `mmud evaluate`, as an outsider would.

    Attributes:
        data: folder of the dataset.
        settings: options of all runs, such as other backbones.
        folder: for what runs share.
    """

    data: Path
    settings: Mapping[str, Any]
    folder: Path

    def __post_init__(self) -> None:
        import torch

        from mmud.baselines.neural_tuning.backbones import load_parts
        from mmud.baselines.neural_tuning.options import NeuralTuningOptions, settings_of
        from mmud.dataset.store import Dataset

        self.dataset = Dataset(self.data)
        self.dataset.length(VALID)
        options = NeuralTuningOptions(**self.settings)
        self._parts = load_parts(
            settings_of(options, "stn").backbones,
            feature=options.feature,
            feature_weights=options.feature_weights,
            dtype=torch.float32,
            offline=options.offline,
        )

    @property
    def layers(self) -> int:
        """Of the language model."""
        from mmud.baselines.neural_tuning.layouts import decoder_layers

        return len(decoder_layers(self._parts.language_model))

    def length(self, samples: int | None, split: str = TEST) -> int:
        """How many samples of a split are predicted."""
        length = self.dataset.length(split)
        return length if samples is None else min(length, samples)

    def context(self) -> dict[str, Any]:
        """What a run depends on besides itself: data, frozen parts, settings, sources and versions of what computes."""
        import mmud
        from mmud.baselines.neural_tuning.options import NeuralTuningOptions, settings_of
        from mmud.baselines.versions import versions

        config = settings_of(NeuralTuningOptions(**self.settings), "stn").model_dump_json()
        kept = {name: version for name, version in versions().items() if name in ("mmud", "torch", "transformers")}
        return {
            "dataset": self.dataset.fingerprint,
            "frozen_parts": self._parts.digests,
            "settings": dict(self.settings),
            # The options of a run are changes to a preset, and presets change from release to release.
            "config": hashlib.sha256(config.encode()).hexdigest()[:16],
            "sources": digest_of_sources(Path(mmud.__file__).parent, SOURCES),
            "versions": kept,
        }

    def fitted(self, run: Run, folder: Path) -> dict[str, Any]:
        """Train, or go on with training; what ``train.json`` says."""
        from mmud.baselines.run_folder import MODEL_FOLDER, WORK_FOLDER, FitRequest, fit_into

        folder.parent.mkdir(parents=True, exist_ok=True)
        fit_into(
            folder, self.dataset, FitRequest(run.baseline, {**self.settings, **run.options}, run.seed), resume=True
        )
        # The checkpoints are ten times the size of the model, and the run is finished.
        shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
        said: dict[str, Any] = json.loads((folder / MODEL_FOLDER / "train.json").read_bytes())
        return said

    def __call__(self, run: Run, split: str, folder: Path, limit: int | None = None) -> Scored:
        from mmud.baselines.inputs import DatasetInputs
        from mmud.baselines.predicting import Request, predict_into
        from mmud.baselines.run_folder import load_run
        from mmud.evaluators.evaluation import evaluate
        from mmud.evaluators.predictions import SUBMISSION_NAME

        begun = time.perf_counter()
        said = self.fitted(run, folder)
        baseline, _ = load_run(folder)
        out = folder / f"predictions-{split}"
        started = time.perf_counter()
        predict_into(out, baseline, DatasetInputs(self.dataset, split), Request(limit=limit), resume=True)
        predicting = time.perf_counter() - started
        system = json.loads((out / SUBMISSION_NAME).read_bytes())["system"]
        evaluation = evaluate(
            out,
            self.dataset,
            split=split,
            metrics=sorted({metric for _, metric, _ in PARTS.values()}),
            limit=limit,
            replicates=0,
            extras={"generation": {"reference_features": str(self.reference(split))}},
        )
        figures = {name: _value(evaluation.value(task, metric), name) for name, (task, metric, _) in PARTS.items()}
        _removed(out)
        return Scored(
            figures,
            said["parameters"]["trainable"],
            seconds=round(time.perf_counter() - begun, 1),
            step_seconds=said["seconds"] / max(said["steps"], 1),
            sample_seconds=predicting / self.length(limit, split),
            tags=system.get("tags_emitted", {}),
        )

    def reference(self, split: str) -> Path:
        """The real images' features, in the space that ``<GLB>`` predicts: made once for these parts."""
        import numpy as np
        import torch

        from mmud.baselines.neural_tuning.features import pixels_of
        from mmud.files import atomic_write

        named = hashlib.sha256(json.dumps(self.context(), sort_keys=True).encode()).hexdigest()[:8]
        file = self.folder / f"reference-{split}-{named}.npz"
        if not file.exists():
            names, rows = [], []
            for sample in self.dataset.samples(split, images=True):
                names.append(sample.sample_id)
                rows.append(self._parts.feature.encode([pixels_of(sample)]))
            with atomic_write(file) as stream:
                np.savez(stream, sample_ids=np.array(names), features=torch.cat(rows).numpy())
        return file


def _removed(folder: Path) -> None:
    """Remove predictions under another name: a kill half-way must not leave a part that nobody can go on with."""
    rest = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(rest, ignore_errors=True)
    folder.rename(rest)
    shutil.rmtree(rest)


def _value(value: float | None, name: str) -> float:
    if value is None:
        raise NoComparison(f"the evaluation has no {name}: the split lacks labels of that task")
    return value

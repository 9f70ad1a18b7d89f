"""The evaluator of generated images: features of each image and of its reference, kept in rows. Wraps `generation`."""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as evaluator_codes
from mmud.evaluators.base import UNITS, Case, Evaluator, Figures, Numbers, Options, Sums
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import (
    Extractor,
    ExtractorIdentity,
    ExtractorOptions,
    ImageSource,
    open_extractor,
)
from mmud.evaluators.generation.features import size_findings
from mmud.evaluators.generation.metrics import METRICS, PAIRED, default_metrics, measure, reported_name
from mmud.evaluators.generation.resampling import LinearisedEstimate
from mmud.evaluators.predictions import read_lines
from mmud.files import require
from mmud.records import Prediction, Sample, Task

SUBMITTED = "features"
_SET_UP_WITH = ("weights", "mode", "accept_hash", "device", "model")
_CLIP_ROWS = ("clip_score", "clip_similarity")


def read_reference_features(path: Path) -> Mapping[str, Any]:
    """The real images' features by sample.

    Args:
        path: ``.npz`` with ``sample_ids`` (n,) and ``features`` (n, d), as features of the official release are exported; or JSON
            lines of ``{"sample_id", "feature"}``, as ``generation.jsonl`` has them.

    Raises:
        MmudError: MM002 when there is no such file, MM825 when it is of neither form.
    """
    return _read_arrays(require(path)) if path.suffix == ".npz" else _read_feature_lines(require(path))


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, features = arrays["sample_ids"].tolist(), arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        message = f"no arrays sample_ids and features: {error}"
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, message, Place(file=str(path))) from error
    if features.ndim != 2 or len(names) != len(features):
        message = f"{len(names)} sample_ids and features of shape {features.shape}"
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, message, Place(file=str(path)))
    return dict(zip(map(str, names), features, strict=True))


def _read_feature_lines(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    problems: list[Finding] = []
    for line, row in read_lines(path, str(path), problems.append):
        name, feature = row.get("sample_id"), row.get("feature")
        if not isinstance(name, str) or not isinstance(feature, list):
            message = "a row has sample_id and feature, a list of numbers"
            raise MmudError(evaluator_codes.INPUT_UNREADABLE, message, Place(file=str(path), line=line))
        found[name] = feature
    if problems:
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, problems[0].message, problems[0].place)
    return found


class GenerationEvaluator(Evaluator):
    """Fréchet and kernel distances between generated and real images, and the error of their features, sample by sample.

    Options (``extras["generation"]``): ``extractor``, and what it is set up with (``weights``, ``mode``, ``accept_hash``,
    ``device``, ``model``); ``reference_features``, a file of the real images' features, for the extractor ``features``.
    """

    name: ClassVar[str] = "generation"
    tasks: ClassVar[tuple[Task, ...]] = (Task.GENERATION,)
    metrics = tuple(METRICS.values())

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self.settings = dict(self.options.extras.get(self.name, {}))
        reference = self.settings.get("reference_features")
        self._extractor_name = self.settings.get("extractor") or (SUBMITTED if reference else None)
        self._reference_file = None if reference is None else Path(reference)
        self._reference: Mapping[str, Any] | None = None
        self._extractor: Extractor | None = None
        self._identity: ExtractorIdentity | None = None

    @property
    def needs_images(self) -> bool:
        return self._extractor_name not in (None, SUBMITTED)

    def why_not(self) -> str | None:
        if self._extractor_name is None:
            return "no extractor was named: give --extractor, or --reference-features with the real images' features"
        if self._extractor_name == SUBMITTED and self._reference_file is None:
            return "the extractor `features` needs --reference-features with the real images' features"
        return None

    @property
    def extractor(self) -> Extractor:
        if self._extractor is None:
            assert self._extractor_name is not None
            known = {key: self.settings[key] for key in _SET_UP_WITH if self.settings.get(key)}
            self._extractor = open_extractor(self._extractor_name, ExtractorOptions(**known))
        return self._extractor

    def state(self, task: Task) -> dict[str, Any]:
        return {"extractor": self.extractor.identity.to_dict()} if self.why_not() is None else {}

    def restore(self, task: Task, state: Mapping[str, Any]) -> None:
        self._identity = ExtractorIdentity(**state["extractor"])

    def row_type(self) -> pa.DataType:
        vector = pa.list_(pa.float32())
        return pa.struct([("predicted", vector), ("reference", vector), *((name, pa.float64()) for name in _CLIP_ROWS)])

    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        return self.rows([Case(sample, prediction)])[0]

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        predicted = self.extractor.extract(
            [ImageSource(case.sample.sample_id, path=case.image, feature=case.prediction.feature) for case in cases]
        )
        reference = self.extractor.extract([self._reference_source(case.sample) for case in cases])
        rows: list[dict[str, Any]] = [
            {"predicted": a, "reference": b, **dict.fromkeys(_CLIP_ROWS)}
            for a, b in zip(predicted, reference, strict=True)
        ]
        for name, values in self._clip_rows(cases, predicted).items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[name] = value
        return rows

    def _reference_source(self, sample: Sample) -> ImageSource:
        if self._extractor_name != SUBMITTED:
            return ImageSource(sample.sample_id, data=sample.image_bytes())
        if self._reference is None:
            assert self._reference_file is not None
            self._reference = read_reference_features(self._reference_file)
        return ImageSource(sample.sample_id, feature=self._reference.get(sample.sample_id))

    def _clip_rows(self, cases: Sequence[Case], predicted: NDArray[np.float32]) -> dict[str, Numbers]:
        """CLIP scores of image and caption, where the extractor reads text and they were asked for."""
        wanted = self.options.metrics or frozenset()
        embed = getattr(self.extractor, "embed_texts", None)
        if embed is None or not wanted & set(_CLIP_ROWS):
            return {}
        from mmud.evaluators.generation.clip_scores import clip_score_rows, clip_similarity_rows

        captions = [case.sample.caption for case in cases]
        prompted, _ = embed(captions)
        plain, _ = embed(captions, prompt="")
        return {
            "clip_score": clip_score_rows(predicted, prompted),
            "clip_similarity": clip_similarity_rows(predicted, plain),
        }

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        identity = self._identity or self.extractor.identity
        columns: dict[str, NDArray[Any]] = {UNITS: np.ones(len(rows), dtype=np.int64)}
        estimates: dict[str, LinearisedEstimate | None] = {}
        fields: dict[str, dict[str, object]] = {}
        findings: tuple[Finding, ...] = ()
        if len(rows) >= 2:
            predicted, reference = _matrix(rows.field("predicted")), _matrix(rows.field("reference"))
            findings = tuple(size_findings(len(predicted), len(reference), predicted.shape[1]))
            for name in self._wanted(identity):
                reported = reported_name(name, identity)
                measured = measure(name, predicted, reference, True, True)
                estimates[reported] = measured.estimate
                fields[reported] = {**identity.signature_fields(), "pairs": True, **measured.fields}
        else:
            message = f"{len(rows)} image is too few for a distance between sets"
            findings = (Finding(codes.TOO_FEW_SAMPLES, Place(), message),)
        # A mean over samples is a function of sums; a distance between sets is none.
        values = {name: None if one is None else one.value for name, one in estimates.items() if name not in PAIRED}
        for name, estimate in estimates.items():
            if estimate is not None:
                # One number a sample whose mean is the figure, so that two systems' numbers can be swapped.
                both = estimate.influence_a + (0.0 if estimate.influence_b is None else estimate.influence_b)
                columns[name] = estimate.value + both
        bounds = {name: one.lower_bound for name, one in estimates.items() if one is not None}
        self._add_clip_rows(rows, columns, fields, identity)
        return Figures(
            columns=columns,
            owner=np.arange(len(rows)),
            reduce=partial(_reduced, {name: bounds.get(name) for name in fields}),
            counts=dict.fromkeys(fields, UNITS),
            fields=fields,
            values=values,
            findings=findings,
        )

    def _wanted(self, identity: ExtractorIdentity) -> list[str]:
        """The metrics of two sets to be computed: those asked for, or the extractor's own."""
        chosen = default_metrics(identity, True)
        if self.options.metrics is None:
            return list(chosen)
        known = dict.fromkeys(itertools.chain(chosen, ("cmmd", "kid_subsets")))
        return [name for name in known if reported_name(name, identity) in self.options.metrics]

    def _add_clip_rows(
        self,
        rows: pa.StructArray,
        columns: dict[str, NDArray[Any]],
        fields: dict[str, dict[str, object]],
        identity: ExtractorIdentity,
    ) -> None:
        prompts = {"clip_score": "A photo depicts", "clip_similarity": "none"}
        for name in _CLIP_ROWS:
            if len(rows) and not rows.field(name).null_count:
                columns[name] = rows.field(name).to_numpy(zero_copy_only=False)
                fields[name] = {**identity.signature_fields(), "prompt": prompts[name], "reduction": "mean"}

    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        return _reduced({name: None for name in sums if name != UNITS}, sums)


def _reduced(lower_bounds: Mapping[str, float | None], sums: Sums) -> Mapping[str, Any]:
    """Means of one number a sample, cut off where a metric cannot go lower."""
    units = np.where(sums[UNITS] > 0, sums[UNITS], np.nan)
    means = {name: sums[name] / units for name in lower_bounds if name in sums}
    return {
        name: mean if (bound := lower_bounds[name]) is None else np.maximum(mean, bound) for name, mean in means.items()
    }


def _matrix(column: pa.ListArray) -> Numbers:
    flat = column.flatten().to_numpy(zero_copy_only=False)
    matrix: Numbers = flat.reshape(len(column), -1).astype(np.float64)
    return matrix

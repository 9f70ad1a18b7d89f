"""The evaluator of generated images: features of each image and of its reference, kept in rows. Wraps `generation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as evaluation_codes
from mmud.evaluators.base import UNITS, Case, Evaluator, Figures, Numbers, Options, Sums
from mmud.evaluators.clip_rows import CLIP_FIELDS, add_clip_figures, clip_rows, present
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import (
    Extractor,
    ExtractorIdentity,
    ExtractorOptions,
    ImageSource,
    class_probabilities,
    open_extractor,
    require_text_side,
)
from mmud.evaluators.generation.features import size_findings
from mmud.evaluators.generation.inception_score import SPLITS, inception_score
from mmud.evaluators.generation.metrics import (
    ALL,
    METRICS,
    PAIRED,
    TEXT_METRICS,
    default_metrics,
    measure,
    metrics_of_sets,
    reported_name,
)
from mmud.evaluators.generation.reference_cache import ReferenceCache
from mmud.evaluators.generation.resampling import LinearisedEstimate
from mmud.evaluators.reference_features import read_reference_features
from mmud.images import ImageLimits
from mmud.records import Prediction, Sample, Task

SUBMITTED = "features"
_SET_UP_WITH = ("weights", "mode", "accept_hash", "device", "model")
_PROBABILITIES = "probabilities"


class GenerationEvaluator(Evaluator):
    """Fréchet and kernel distances between generated and real images, and the error of their features, sample by sample.

    Options (``extras["generation"]``): ``extractor``, and what it is set up with (``weights``, ``mode``, ``accept_hash``,
    ``device``, ``model``, ``exif``: whether images are turned by their EXIF tag); ``reference_features``, a file of the real
    images' features, for the extractor ``features``; ``cache``: False extracts the real images' features anew.

    A metric that is asked for by name and that the extractor cannot give is refused (MM872), as in `score_images`; rows that
    lack it are MM821.
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
        self._dataset: tuple[str, str] | None = None
        self._cache: ReferenceCache | None = None
        self._findings: list[Finding] = []

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
            known["limits"] = ImageLimits(exif_orientation=bool(self.settings.get("exif", False)))
            self._extractor = open_extractor(self._extractor_name, ExtractorOptions(**known))
        return self._extractor

    def state(self, task: Task) -> dict[str, Any]:
        return {"extractor": self.extractor.identity.to_dict()} if self.why_not() is None else {}

    def restore(self, task: Task, state: Mapping[str, Any]) -> None:
        self._identity = ExtractorIdentity(**state["extractor"])

    def begin(self, fingerprint: str, split: str) -> None:
        self._dataset = (fingerprint, split)

    def finish(self) -> Sequence[Finding]:
        kept = [] if self._cache is None else self._cache.save()
        found, self._findings = list(dict.fromkeys([*self._findings, *kept])), []
        return found

    def row_type(self) -> pa.DataType:
        vector = pa.list_(pa.float32())
        vectors = [("predicted", vector), ("reference", vector), (_PROBABILITIES, vector)]
        return pa.struct([*vectors, *CLIP_FIELDS])

    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        return self.rows([Case(sample, prediction)])[0]

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        sources = [
            ImageSource(case.sample.sample_id, path=case.image, feature=case.prediction.feature) for case in cases
        ]
        self._check_named()
        predicted = self.extractor.extract(sources)
        columns: dict[str, Sequence[Any]] = {
            "predicted": list(predicted),
            "reference": list(self.real_features([case.sample for case in cases])),
            **self._clip_rows(cases, predicted),
        }
        classes = getattr(self.extractor, "probabilities", None)
        if classes is not None and "inception_score" in (self.options.metrics or ()):
            columns[_PROBABILITIES] = list(classes(sources))
        absent = [field.name for field in self.row_type() if field.name not in columns]
        return [
            {**dict(zip(columns, values, strict=True)), **dict.fromkeys(absent)}
            for values in zip(*columns.values(), strict=True)
        ]

    def _named(self) -> frozenset[str]:
        """The metrics that were asked for one by one; none where all there are, or the usual ones, were."""
        wanted = self.options.metrics or frozenset()
        return frozenset() if wanted.issuperset(METRICS) else wanted & METRICS.keys()

    def _check_named(self) -> None:
        """MM872 before any image is looked at, where the extractor cannot give what was named."""
        named = self._named()
        if "inception_score" in named:
            class_probabilities(self.extractor)
        if named & set(TEXT_METRICS):
            require_text_side(self.extractor)
        if "fid" in named:
            reported_name("fid", self.extractor.identity)

    def real_features(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """Features of samples' own images, shape (samples, dimension)."""
        return self._reference_rows([self._reference_source(sample) for sample in samples])

    def _reference_rows(self, sources: Sequence[ImageSource]) -> NDArray[np.float32]:
        """Features of real images, from the cache where weights have a hash: a name alone does not say what made them."""
        if self.extractor.identity.weights is None or self._dataset is None or not self.settings.get("cache", True):
            return self.extractor.extract(sources)
        if self._cache is None:
            self._cache = ReferenceCache(self.extractor, *self._dataset)
        return self._cache.extract(sources)

    def _reference_source(self, sample: Sample) -> ImageSource:
        if self._extractor_name != SUBMITTED:
            return ImageSource(sample.sample_id, data=sample.image_bytes())
        if self._reference is None:
            assert self._reference_file is not None
            self._reference = read_reference_features(self._reference_file)
        return ImageSource(sample.sample_id, feature=self._reference.get(sample.sample_id))

    def _clip_rows(self, cases: Sequence[Case], predicted: NDArray[np.float32]) -> dict[str, list[Any]]:
        """CLIP scores of image and caption, and tokens cut off, where the extractor reads text and they were asked for."""
        wanted = self.options.metrics or frozenset()
        if not hasattr(self.extractor, "embed_texts") or not wanted & set(TEXT_METRICS):
            return {}
        found, findings = clip_rows(self.extractor, predicted, [case.sample.caption for case in cases])
        self._findings.extend(findings)
        return found

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        identity = self._identity or self.extractor.identity
        self._check_kept(rows)
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
        if present(rows, _PROBABILITIES):
            findings += _add_inception_score(rows, estimates, fields, identity)
        # A mean over samples is a function of sums; a distance between sets is none.
        values = {name: None if one is None else one.value for name, one in estimates.items() if name not in PAIRED}
        for name, estimate in estimates.items():
            if estimate is not None:
                # One number a sample whose mean is the figure, so that two systems' numbers can be swapped.
                both = estimate.influence_a + (0.0 if estimate.influence_b is None else estimate.influence_b)
                columns[name] = estimate.value + both
        bounds = {name: one.lower_bound for name, one in estimates.items() if one is not None}
        findings += add_clip_figures(rows, columns, fields, identity)
        return Figures(
            columns=columns,
            owner=np.arange(len(rows)),
            reduce=partial(_reduced, {name: bounds.get(name) for name in fields}),
            counts=dict.fromkeys(fields, UNITS),
            fields=fields,
            values=values,
            findings=findings,
        )

    def _check_kept(self, rows: pa.StructArray) -> None:
        kept = {"inception_score": _PROBABILITIES} | {name: name for name in TEXT_METRICS}
        lost = sorted(name for name in self._named() & kept.keys() if not present(rows, kept[name]))
        if lost and len(rows):
            message = f"the rows were made without {', '.join(lost)}; name it in --metrics when they are made"
            raise MmudError(evaluation_codes.ROWS_LACK, message)

    def _wanted(self, identity: ExtractorIdentity) -> list[str]:
        """The metrics of two sets to be computed: those asked for, or the extractor's own."""
        if self.options.metrics is None:
            return list(default_metrics(identity, True))
        known = metrics_of_sets([ALL], identity, True)
        return [name for name in known if reported_name(name, identity) in self.options.metrics]

    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        return _reduced({name: None for name in sums if name != UNITS}, sums)


def _add_inception_score(
    rows: pa.StructArray,
    estimates: dict[str, LinearisedEstimate | None],
    fields: dict[str, dict[str, object]],
    identity: ExtractorIdentity,
) -> tuple[Finding, ...]:
    """The Inception Score of the generated images; a finding where they are fewer than its splits."""
    if len(rows) < SPLITS:
        message = f"{len(rows)} images are too few for an Inception Score in {SPLITS} splits"
        return (Finding(codes.TOO_FEW_SAMPLES, Place(), message),)
    classes = _matrix(rows.field(_PROBABILITIES))
    result = inception_score(classes)
    estimates["inception_score"] = result.estimate
    described = {"classes": classes.shape[1], "splits": result.splits, "split_seed": result.seed}
    fields["inception_score"] = {**identity.signature_fields(), **described}
    return ()


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

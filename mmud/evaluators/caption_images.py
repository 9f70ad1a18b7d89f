"""The evaluator of captions against their images: CLIP scores of what a system says about the real image, no reference needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import Finding
from mmud.evaluators.base import UNITS, Case, Evaluator, Figures, Options, Sums
from mmud.evaluators.clip_rows import CLIP_FIELDS, add_clip_figures, clip_rows
from mmud.evaluators.generation.extractors import ExtractorIdentity, require_text_side
from mmud.evaluators.generation.metrics import METRICS, TEXT_METRICS
from mmud.evaluators.images import SUBMITTED, GenerationEvaluator
from mmud.records import Prediction, Sample, Task


class CaptionImageEvaluator(Evaluator):
    """CLIPScore of predicted captions, by the extractor that ``extras["generation"]`` names; only where it is asked for.

    A score that is asked for by name is MM816 without a network, and MM872 where the network reads no text. With all metrics
    asked for, it is left out there. Features of real images come from the cache that generation uses.
    """

    name: ClassVar[str] = "caption_images"
    tasks: ClassVar[tuple[Task, ...]] = (Task.CAPTIONING,)
    metrics = tuple(METRICS[name] for name in TEXT_METRICS)

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        wanted = self.options.metrics or frozenset()
        self._asked = bool(wanted & set(TEXT_METRICS))
        self._named = self._asked and not wanted.issuperset(METRICS)
        self._images = GenerationEvaluator(self.options)
        self._identity: ExtractorIdentity | None = None
        self._findings: list[Finding] = []

    @property
    def _has_network(self) -> bool:
        return self._images.settings.get("extractor") not in (None, SUBMITTED)

    @cached_property
    def _active(self) -> bool:
        if not self._asked or not self._has_network:
            return False
        return self._named or hasattr(self._images.extractor, "embed_texts")

    @property
    def needs_images(self) -> bool:
        return self._active

    def why_not(self) -> str | None:
        if self._named and not self._has_network:
            return "CLIP scores of captions need a network that reads text: give --extractor clip and --weights"
        return None

    def applies(self, sample: Sample, task: Task) -> bool:
        return self._active

    def begin(self, fingerprint: str, split: str) -> None:
        self._images.begin(fingerprint, split)

    def finish(self) -> Sequence[Finding]:
        found = list(dict.fromkeys([*self._findings, *self._images.finish()]))
        self._findings = []
        return found

    def state(self, task: Task) -> dict[str, Any]:
        return {"extractor": self._images.extractor.identity.to_dict()} if self._active else {}

    def restore(self, task: Task, state: Mapping[str, Any]) -> None:
        self._identity = ExtractorIdentity(**state["extractor"])

    def row_type(self) -> pa.DataType:
        return pa.struct(list(CLIP_FIELDS))

    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        return self.rows([Case(sample, prediction)])[0]

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        require_text_side(self._images.extractor)
        images = self._images.real_features([case.sample for case in cases])
        columns, findings = clip_rows(self._images.extractor, images, [case.prediction.caption for case in cases])
        self._findings.extend(findings)
        absent = [name for name, _ in CLIP_FIELDS if name not in columns]
        return [
            {**dict(zip(columns, values, strict=True)), **dict.fromkeys(absent)}
            for values in zip(*columns.values(), strict=True)
        ]

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        columns: dict[str, NDArray[Any]] = {UNITS: np.ones(len(rows), dtype=np.int64)}
        fields: dict[str, dict[str, object]] = {}
        findings = add_clip_figures(rows, columns, fields, self._identity or self._images.extractor.identity)
        return Figures(
            columns=columns,
            owner=np.arange(len(rows)),
            reduce=partial(_means, tuple(fields)),
            counts=dict.fromkeys(fields, UNITS),
            fields=fields,
            findings=findings,
        )

    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        return _means([name for name in TEXT_METRICS if name in sums], sums)


def _means(names: Sequence[str], sums: Sums) -> Mapping[str, Any]:
    units = np.where(sums[UNITS] > 0, sums[UNITS], np.nan)
    return {name: sums[name] / units for name in names}

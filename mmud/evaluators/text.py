"""The evaluators of text: captions, and the answers of reasoning. Both wrap `mmud.evaluators.captions`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from mmud.annotations import tags
from mmud.errors import Finding, Place
from mmud.evaluators import codes
from mmud.evaluators.base import Case, Evaluator, Figures, Sums
from mmud.evaluators.captions.columns import CaptionColumns
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.metrics import (
    CIDER_METRICS,
    METRICS,
    METRICS_FROM_SUMS,
    METRICS_FROM_TEXT,
    metric_from_sums,
    reduce_columns,
    signature_fields,
)
from mmud.evaluators.captions.score import score_captions
from mmud.evaluators.captions.tokenizer import TOKENIZER_NAME
from mmud.records import Prediction, Sample, Task

_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("text", pa.string()),
    ("cider_d", pa.float64()),
    ("cider", pa.float64()),
    ("rouge_l", pa.float64()),
    ("bleu_matches", pa.list_(pa.int64())),
    ("bleu_totals", pa.list_(pa.int64())),
    ("candidate_words", pa.int64()),
    ("closest_reference_words", pa.int64()),
    ("reference_words", pa.int64()),
    ("references", pa.int64()),
    ("distinct", pa.list_(pa.int64())),
)
_IMAGES = "images"


class TextEvaluator(Evaluator):
    """CIDEr, BLEU, ROUGE-L, lengths and distinct-n of one text against one reference.

    The document frequencies of CIDEr are those of the whole split, so that a shard, a slice or a single sample is weighed as
    the whole is; the signature names them by their hash.
    """

    metrics = tuple(METRICS.values())

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._references: dict[str, str] = {}
        self._frequencies: DocumentFrequencies | None = None
        self._state: dict[str, Any] = {}

    @abstractmethod
    def reference(self, sample: Sample) -> str:
        """The text that is compared with."""

    @abstractmethod
    def candidate(self, prediction: Prediction) -> str:
        """The text that was predicted."""

    def observe(self, task: Task, sample: Sample) -> None:
        self._references[sample.sample_id] = self.reference(sample)

    @property
    def frequencies(self) -> DocumentFrequencies:
        """Of the split's references, counted once all of them were seen."""
        if self._frequencies is None:
            self._frequencies = DocumentFrequencies.from_references(
                {name: [text] for name, text in self._references.items()}
            )
        return self._frequencies

    def state(self, task: Task) -> dict[str, Any]:
        return {
            "frequencies": self.frequencies.name,
            "documents": self.frequencies.documents,
            "tokenizer": TOKENIZER_NAME,
        }

    def restore(self, task: Task, state: Mapping[str, Any]) -> None:
        self._state = dict(state)

    def row_type(self) -> pa.DataType:
        return pa.struct(list(_FIELDS))

    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        return self.rows([Case(sample, prediction)])[0]

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        scores = score_captions(
            {case.sample.sample_id: [self.reference(case.sample)] for case in cases},
            {case.sample.sample_id: self.candidate(case.prediction) for case in cases},
            frequencies=self.frequencies,
            cider=self.frequencies.documents > 1,
        )
        names = [name for name, _ in _FIELDS]
        columns = [getattr(scores.columns, name) for name in names]
        listed = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
        return [dict(zip(names, values, strict=True)) for values in zip(*listed, strict=True)]

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        columns = _columns_of(rows)
        with_cider = bool(len(columns)) and not bool(np.isnan(columns.cider_d).any())
        names = [name for name in METRICS if with_cider or name not in CIDER_METRICS]
        from_sums = tuple(name for name in names if name in METRICS_FROM_SUMS)
        numbers = {name: column for name, column in columns.numbers().items() if with_cider or "cider" not in name}
        whole = reduce_columns(columns) if len(columns) else {}
        return Figures(
            columns=numbers,
            owner=np.arange(len(rows)),
            reduce=partial(_reduced, from_sums),
            counts=dict.fromkeys(names, _IMAGES),
            fields={name: self._signature(name, columns) for name in names},
            values={name: whole.get(name) for name in METRICS_FROM_TEXT},
            findings=()
            if with_cider
            else (Finding(codes.CIDER_LEFT_OUT, Place(), f"{task.value}: CIDEr needs two texts or more"),),
        )

    def _signature(self, name: str, columns: CaptionColumns) -> dict[str, object]:
        counts = columns.references
        references = "1" if not len(counts) else str(int(counts.max()))
        tokenizer = str(self._state.get("tokenizer", TOKENIZER_NAME))
        return signature_fields(name, references, tokenizer, str(self._state.get("frequencies", "self")))

    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        return _reduced(METRICS_FROM_SUMS, sums)


def _reduced(names: Sequence[str], sums: Sums) -> Mapping[str, Any]:
    return {name: metric_from_sums(name, sums) for name in names}


def _columns_of(rows: pa.StructArray) -> CaptionColumns:
    """Rows as the columns that they were made from."""
    arrays: dict[str, Any] = {}
    for name, kind in _FIELDS:
        column = rows.field(name)
        if pa.types.is_list(kind):
            width = len(column[0]) if len(column) else 1
            arrays[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), width)
        elif pa.types.is_string(kind):
            arrays[name] = tuple(column.to_pylist())
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    return CaptionColumns(ids=tuple(map(str, range(len(rows)))), **arrays)


class CaptionEvaluator(TextEvaluator):
    """Captions against the sample's caption."""

    name: ClassVar[str] = "captions"
    tasks: ClassVar[tuple[Task, ...]] = (Task.CAPTIONING,)

    def reference(self, sample: Sample) -> str:
        return sample.caption

    def candidate(self, prediction: Prediction) -> str:
        return prediction.caption


class AnswerEvaluator(TextEvaluator):
    """The text of answers, both without their tags."""

    name: ClassVar[str] = "answers"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REASONING_SEGMENTATION,)

    def reference(self, sample: Sample) -> str:
        return tags.remove(sample.answer)

    def candidate(self, prediction: Prediction) -> str:
        return tags.remove(prediction.answer)

"""What the tests of sources share: a source read to its end, and JSON written in all its strayings."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.dataset.sources.base import ConvertedRow, Item, Source
from mmud.errors import Finding, MmudError
from mmud.records import Sample


@dataclass
class Drained:
    """Everything that a source gave."""

    items: list[Item]
    samples: list[Sample]
    findings: list[Finding]
    file_findings: list[Finding]

    @property
    def codes(self) -> Counter[str]:
        """Of the samples' findings."""
        return Counter(finding.code.id for finding in self.findings)

    @property
    def file_codes(self) -> Counter[str]:
        return Counter(finding.code.id for finding in self.file_findings)

    def by_id(self) -> dict[str, Sample]:
        return {sample.sample_id: sample for sample in self.samples}


def drained(source: Source) -> Drained:
    """List and convert everything, and check what every source promises."""
    items = list(source.items())
    assert len({item.key for item in items}) == len(items), "keys are unique"
    assert [item.key for item in source.items()] == [item.key for item in items], "the order is fixed"
    converted = [source.convert(item) for item in items]
    samples = [one.sample for one in converted]
    for one, many in zip(converted, source.convert_many(items), strict=True):
        # Many at once are what each is alone.
        assert not isinstance(many, MmudError)
        assert many.findings == one.findings
        row = many.row if isinstance(many, ConvertedRow) else many.sample.to_row()
        row = {**row, "objects": list(row["objects"])}
        assert repr(row) == repr(one.sample.to_row()), "to the type of each number"
    for item, sample in zip(items, samples, strict=True):
        assert sample.sample_id == item.key
        # Samples that were put together without validation are what validation gives, and have encodable rows.
        assert Sample.model_validate(sample.model_dump()) == sample
        json.dumps(sample.to_row()["objects"]).encode()
    again = type(source).from_options(source.options())
    assert again.options() == source.options(), "options make the same source"
    json.dumps(source.options())
    json.dumps(source.describe())
    return Drained(items, samples, [finding for one in converted for finding in one.findings], source.findings())


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path

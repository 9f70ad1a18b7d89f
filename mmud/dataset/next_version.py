"""The next version of a dataset: the same splits and images, its samples changed or left out. The dataset is never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import Sample


def first_samples(dataset: Dataset, limit: int | None = None) -> Iterator[Sample]:
    """The first samples of a dataset, without images; all of them without a limit."""
    return islice(dataset.samples(), limit)


def write_next_version(
    dataset: Dataset,
    output: Path,
    samples: Callable[[str], Iterator[Sample]],
    *,
    name: str,
    title: str,
    made_from: Mapping[str, str] | None = None,
    files: Mapping[str, str],
    force: bool,
) -> Dataset:
    """Write it.

    Args:
        dataset: the version before.
        output: the folder to make.
        samples: from a split to its samples, images included.
        name, title: of what was done, as the manifest and the card say them.
        made_from: file name -> SHA-256 of what else went in.
        files: more files, name -> text; read when every sample is written.
        force: replace the folder if it is there.

    Raises:
        MmudError: as `write_dataset`.
    """
    step: dict[str, Any] = {
        "name": name,
        "title": title,
        "license": "",
        "homepage": "",
        "citation": "",
        "files": dict(made_from or {}),
        "fingerprints": [dataset.fingerprint],
    }
    return write_dataset(
        output,
        {split: samples(split) for split in dataset.splits},
        images=dataset.manifest.images,
        sources=[*dataset.manifest.sources, step],
        files=files,
        force=force,
    )

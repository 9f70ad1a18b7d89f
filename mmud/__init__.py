"""MMUD: build, validate, export and score a dataset whose every image is labelled for four tasks.

What is listed here is the public face; it is imported when it is first used, so that ``import mmud`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Dataset": "mmud.dataset.store",
    "Mask": "mmud.annotations.masks",
    "MaskedObject": "mmud.records",
    "MmudError": "mmud.errors",
    "Prediction": "mmud.records",
    "Recipe": "mmud.dataset.recipe",
    "Sample": "mmud.records",
    "Task": "mmud.records",
    "build": "mmud.dataset.build",
    "compare": "mmud.evaluators.comparison:compare_rows",
    "evaluate": "mmud.evaluators.evaluation",
    "load_dataset": "mmud.dataset.store",
    "validate": "mmud.dataset.checks.engine",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 (the names are those of a literal above)

if TYPE_CHECKING:
    from mmud.annotations.masks import Mask as Mask
    from mmud.dataset.build import build as build
    from mmud.dataset.checks.engine import validate as validate
    from mmud.dataset.recipe import Recipe as Recipe
    from mmud.dataset.store import Dataset as Dataset
    from mmud.dataset.store import load_dataset as load_dataset
    from mmud.errors import MmudError as MmudError
    from mmud.evaluators.comparison import compare_rows as compare  # noqa: F401
    from mmud.evaluators.evaluation import evaluate as evaluate
    from mmud.records import MaskedObject as MaskedObject
    from mmud.records import Prediction as Prediction
    from mmud.records import Sample as Sample
    from mmud.records import Task as Task


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])

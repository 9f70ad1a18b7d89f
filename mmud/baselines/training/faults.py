"""Faults of a training step, told in words: memory that is not enough, numbers that are no numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from mmud.baselines.training import codes
from mmud.errors import MmudError, first_line

_MEMORY_WORDS = ("can't allocate memory", "out of memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough; torch has a class for it on accelerators and none on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)


@contextmanager
def memory_explained(what: str, advice: str | None = None) -> Iterator[None]:
    """Turn what torch raises when memory is not enough into an error that says what to do.

    Args:
        what: was being done, for the message.
        advice: instead of the code's remedy.

    Raises:
        MmudError: MM920.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MmudError(codes.OUT_OF_MEMORY, f"{what}: {first_line(error)}", hint=advice) from error


def require_finite(values: Mapping[str, float], step: int, last: int | None) -> None:
    """Stop a training whose numbers left the finite ones.

    Args:
        values: losses or norms by name.
        step: that was to be taken, counting from 1.
        last: step of the newest checkpoint; None where there is none.

    Raises:
        MmudError: MM921, naming the first value that is not finite.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            kept = "no checkpoint was written yet" if last is None else f"the checkpoint of step {last} is good"
            raise MmudError(codes.LOSS_NOT_FINITE, f"{name} is {value} in step {step}; {kept}")

"""What a pickle interpreter holds: its stack, its memo, and how much of both may be alive at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.window import Refusal, Window

GlobalName = tuple[str, str]
"""(module, name)"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one reading.

    Attributes:
        file_bytes: of the whole file.
        held_bytes: of the part of the file whose values are alive at once.
        held_objects: containers and memo slots alive at once.
    """

    file_bytes: int
    held_bytes: int
    held_objects: int


class Reference:
    """An allowed global on the stack: its name alone, never the thing itself."""

    __slots__ = ("name",)

    def __init__(self, name: GlobalName) -> None:
        self.name = name


class Buildable(ABC):
    """A stand-in, made by an allowed call, that is told the rest afterwards (opcode BUILD)."""

    __slots__ = ()

    @abstractmethod
    def build(self, state: Any) -> None:
        """Take the state.

        Raises:
            Refusal: MM702 when it is not what belongs here.
        """


class State:
    """Stack, marks and memo.

    Args:
        stream: at the pickle's first byte.
        size: bytes from there to the end of the file.
        limits: bounds.
        allowed: global -> what a call of it makes.
        persistent: what a persistent id makes; such ids are refused when left out.
        wanted: the memo slots that the pickle comes back to; the others are forgotten in `release`.
        packed: whether lists of floats may stay packed, as `mmud.dataset.sources.pickles.floats.PackedFloats`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        size: int,
        limits: Limits,
        allowed: Mapping[GlobalName, Callable[..., Any]],
        persistent: Callable[[Any], Any] | None = None,
        wanted: NDArray[np.int64] | None = None,
        packed: bool = False,
    ) -> None:
        self.window = Window(stream)
        self.size = size
        self.limits = limits
        self.allowed = allowed
        self.persistent = persistent
        self.packed = packed
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.slots = 0
        """Memo slots filled so far."""
        self.made = 0
        """Containers made since the last release."""
        self.root: list[Any] | None = None
        """The list whose elements are handed out; it stays empty itself."""
        self.pending: list[Any] = []
        """Elements of the root that came one by one."""
        self.result: Any = None
        self.headed = False
        """Whether the pickle began with a protocol number."""
        self.references = 0
        """Globals looked up."""
        self._wanted = wanted
        self._kept: dict[int, Any] = {}
        self._kept_weight = 0
        self._released_at = 0

    # -- what is alive ---------------------------------------------------------------------------------------------------

    def check_bounds(self) -> None:
        """Called for each window of the file.

        Raises:
            Refusal: MM703 when more is alive than allowed.
        """
        held = self.window.base + self.window.end - self._released_at
        # A window is read ahead, so it may run over the bound by its own length.
        if held > self.limits.held_bytes + len(self.window.data):
            raise Refusal(codes.PICKLE_TOO_LARGE, f"more than {self.limits.held_bytes:,} bytes belong together")
        if self.made + len(self.memo) + self._kept_weight > self.limits.held_objects:
            raise Refusal(codes.PICKLE_TOO_LARGE, f"more than {self.limits.held_objects:,} objects are alive at once")

    def release(self) -> None:
        """Forget the memo, but for the slots that the pickle comes back to: what was handed out may go.

        Raises:
            Refusal: MM703 when too much would have to be kept.
        """
        if self._wanted is None or not self.memo:
            return
        first, last = np.searchsorted(self._wanted, [min(self.memo), max(self.memo) + 1])
        for slot in [*range(256), *self._wanted[first:last].tolist()]:
            if slot in self.memo:
                value = self.memo[slot]
                if value is not self.root:
                    self._kept_weight += weight(value, self.limits.held_objects)
                    if self._kept_weight > self.limits.held_objects:
                        raise Refusal(codes.PICKLE_TOO_LARGE, "records refer back to too many others")
                self._kept[slot] = value
        self.memo.clear()
        self.made = 0
        self._released_at = self.window.offset

    def fetch(self, slot: int) -> None:
        """Push what a memo slot holds."""
        if slot in self.memo:
            self.stack.append(self.memo[slot])
        elif slot in self._kept:
            self.stack.append(self._kept[slot])
        else:
            raise Refusal(codes.PICKLE_MALFORMED, f"memo slot {slot} is fetched and was never filled")

    def store(self, slot: int) -> None:
        """Put the top of the stack into a memo slot."""
        if slot > self.size:
            raise Refusal(codes.PICKLE_TOO_LARGE, f"memo slot {slot} in a file of {self.size:,} bytes")
        if slot not in self.memo:
            self.slots += 1
        self.memo[slot] = self.stack[-1]

    # -- pieces ----------------------------------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        """The next bytes of the file."""
        if count > self.limits.held_bytes:
            raise Refusal(codes.PICKLE_TOO_LARGE, f"one value claims {count:,} bytes")
        return self.window.take(count)

    def line(self) -> bytes:
        """The next line of the file, without its line feed."""
        return self.window.line(self.limits.held_bytes)

    def popped_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def look_up(self, module: Any, name: Any) -> None:
        """Push a reference to an allowed global.

        Raises:
            Refusal: MM701 for every other.
        """
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refusal(codes.PICKLE_MALFORMED, "the name of a global is no text")
        if (module, name) not in self.allowed:
            raise Refusal(codes.PICKLE_FORBIDDEN, f"the pickle asks for {f'{module}.{name}'[:120]!a}")
        self.references += 1
        self.stack.append(Reference((module, name)))

    def call(self, function: Any, arguments: Any) -> None:
        """Push what an allowed call makes."""
        if type(function) is not Reference or type(arguments) is not tuple:
            raise Refusal(codes.PICKLE_FORBIDDEN, "the pickle calls something that is no allowed function")
        self.made += 1
        self.stack.append(self.allowed[function.name](*arguments))


def weight(value: Any, most: int) -> int:
    """Objects below a value, until they are more than ``most``; every path counts, so that sharing hides nothing."""
    total, waiting = 1, [value]
    while waiting and total <= most:
        item = waiting.pop()
        kind = type(item)
        children = [*item, *item.values()] if kind is dict else item if kind in (list, tuple) else ()
        total += len(children)
        waiting.extend(child for child in children if type(child) in (list, tuple, dict))
    return total

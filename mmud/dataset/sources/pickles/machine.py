"""The interpreter's loop.

Python's own unpickler, restricted through ``find_class``, is not enough for files from strangers: six bytes that name a high memo
slot make it claim and touch tens of gigabytes, extension codes that were resolved before bypass ``find_class``, and its memo
keeps every object of the file alive. This one knows each opcode, makes plain values only, counts what it holds, and hands out
the elements of a top-level list as they are finished.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.floats import count_floats, float_list, read_floats
from mmud.dataset.sources.pickles.opcodes import HANDLERS
from mmud.dataset.sources.pickles.state import State
from mmud.dataset.sources.pickles.window import Refusal
from mmud.errors import MmudError, Place

BATCH = 1000
"""Elements handed out at a time, where they come one by one; picklers of the binary protocols write as many in one piece."""

_length = struct.Struct("<I").unpack_from

Batch = list[Any]


def run_whole(state: State, place: Place) -> Any:
    """The value that a pickle holds.

    Raises:
        MmudError: MM701 forbidden, MM702 malformed, MM703 beyond the bounds.
    """
    state.root = []  # a list that the pickle cannot name: nothing is handed out in parts
    for _ in _guarded(state, place):
        pass
    return state.result


def run_elements(state: State, place: Place) -> Iterator[Batch]:
    """The elements of the list that a pickle holds, in batches; each may be let go of before the next is asked for.

    Raises:
        MmudError: as `run_whole`, and MM704 when the pickle holds no list.
    """
    yield from _guarded(state, place)
    if state.root is None or state.result is not state.root:
        raise MmudError(codes.PICKLE_CONTENT, "the pickle holds no list", place)


def _guarded(state: State, place: Place) -> Iterator[Batch]:
    try:
        yield from _run(state)
    except Refusal as refusal:
        message = f"{refusal.message}, near byte {state.window.offset:,}"
        raise MmudError(refusal.code, message, place) from None
    except MemoryError as error:
        raise MmudError(codes.PICKLE_TOO_LARGE, "memory ran out", place) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error) as error:
        # Whatever a hostile order of opcodes does to stack and memo ends here.
        message = f"{type(error).__name__}: {str(error)[:120]}, near byte {state.window.offset:,}"
        raise MmudError(codes.PICKLE_MALFORMED, message, place) from error


def _run(state: State) -> Iterator[Batch]:
    """The opcodes that annotation files consist of, inline; every other through its handler."""
    window, memo, marks, stack = state.window, state.memo, state.marks, state.stack
    data, position, soft_end = window.data, window.position, window.soft_end
    slots, made = state.slots, state.made
    while True:
        if position >= soft_end:
            window.position, state.made = position, made
            window.refill()
            state.check_bounds()
            data, position, soft_end = window.data, window.position, window.soft_end
        opcode = data[position]
        position += 1
        if opcode == 0x5D:  # EMPTY_LIST
            made += 1
            values: Any = []
            if state.root is None and not stack and not marks:
                state.root = values
            elif (
                # MEMOIZE, MARK, floats, APPENDS: a polygon or a box, most of a file, in one piece.
                data[position : position + 3] == b"\x94(G"
                and (found := float_list(data, position + 2, window.end, state.packed)) is not None
            ):
                memo[slots], position = found
                stack.append(memo[slots])
                slots += 1
                continue
            stack.append(values)
            if data[position] == 0x94:
                memo[slots] = values
                slots += 1
                position += 1
                if data[position] == 0x28:
                    made += 1
                    marks.append(stack)
                    stack = []
                    position += 1
        elif opcode == 0x8C:  # SHORT_BINUNICODE
            end = position + 1 + data[position]
            text = data[position + 1 : end].decode("utf-8", "surrogatepass")
            stack.append(text)
            position = end
            if data[end] == 0x94:
                memo[slots] = text
                slots += 1
                position += 1
        elif opcode == 0x28:  # MARK
            made += 1
            marks.append(stack)
            stack = []
        elif opcode == 0x65:  # APPENDS
            items, stack = stack, marks.pop()
            target = stack[-1]
            if target is state.root:
                window.position, state.made = position, made
                state.release()
                made = state.made
                yield items
            elif type(target) is list:
                target += items
            else:
                raise Refusal(codes.PICKLE_MALFORMED, "elements are added to something that is no list")
        elif opcode == 0x4B:  # BININT1
            stack.append(data[position])
            position += 1
        elif opcode == 0x94:  # MEMOIZE
            memo[slots] = stack[-1]
            slots += 1
        elif opcode == 0x68 and data[position] in memo:  # BINGET
            stack.append(memo[data[position]])
            position += 1
        elif opcode == 0x4D:  # BININT2
            stack.append(data[position] | data[position + 1] << 8)
            position += 2
        elif (
            opcode == 0x58 and (end := position + 4 + _length(data, position)[0]) <= soft_end
        ):  # BINUNICODE in the window
            stack.append(data[position + 4 : end].decode("utf-8", "surrogatepass"))
            position = end
        elif opcode == 0x74:  # TUPLE
            items, stack = stack, marks.pop()
            stack.append(tuple(items))
        elif opcode == 0x47:  # BINFLOAT
            count = count_floats(data, position - 1, window.end)
            stack += read_floats(data, position - 1, count)
            position += 9 * count - 1
        else:
            window.position, state.stack, state.slots, state.made = position, stack, slots, made
            stop = HANDLERS[opcode](state)
            if state.pending and (stop or len(state.pending) >= BATCH):
                state.release()
                yield state.pending
                state.pending = []
            if stop:
                return
            data, position, soft_end = window.data, window.position, window.soft_end
            stack, slots, made = state.stack, state.slots, state.made

"""The rarer opcodes, one function each. The standard library's ``pickletools`` documents what each of them does."""

from __future__ import annotations

import codecs
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.state import Buildable, State
from mmud.dataset.sources.pickles.window import Refusal

Handler = Callable[[State], bool | None]
"""Does what its opcode says; True when the pickle is finished."""

LONGEST_NUMBER = 512
"""Bytes or digits of one whole number: far more than an annotation needs, and cheap to convert."""

_UINT16 = struct.Struct("<H")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_UINT64 = struct.Struct("<Q")
_INTEGER = re.compile(rb"[+-]?\d{1,512}")
_DECIMAL = re.compile(rb"[+-]?(?:\d[\d.]{0,400}(?:[eE][+-]?\d{1,4})?|\.\d{1,400}(?:[eE][+-]?\d{1,4})?|inf|nan)")


def _unknown(state: State) -> bool:
    window = state.window
    if window.position > window.end:
        raise Refusal(codes.PICKLE_MALFORMED, "the file ends before the pickle does")
    raise Refusal(codes.PICKLE_MALFORMED, f"unknown opcode {window.data[window.position - 1]:#04x}")


def _forbidden(state: State) -> bool:
    opcode = state.window.data[state.window.position - 1]
    raise Refusal(codes.PICKLE_FORBIDDEN, f"opcode {opcode:#04x} makes other things than plain data")


HANDLERS: list[Handler] = [_unknown] * 256
for _opcode in (
    pickle.INST + pickle.OBJ + pickle.NEWOBJ + pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4
) + (pickle.EMPTY_SET + pickle.ADDITEMS + pickle.FROZENSET + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER):
    HANDLERS[_opcode] = _forbidden


def _on(opcode: bytes) -> Callable[[Handler], Handler]:
    def register(function: Handler) -> Handler:
        HANDLERS[opcode[0]] = function
        return function

    return register


def _push(opcode: bytes, read: Callable[[State], Any]) -> None:
    """An opcode that pushes one value."""

    def handler(state: State) -> None:
        state.stack.append(read(state))

    HANDLERS[opcode[0]] = handler


# -- numbers, text, bytes ----------------------------------------------------------------------------------------------------


def _uint8(state: State) -> int:
    return state.take(1)[0]


def _uint16(state: State) -> int:
    return int(_UINT16.unpack(state.take(2))[0])


def _int32(state: State) -> int:
    return int(_INT32.unpack(state.take(4))[0])


def _uint32(state: State) -> int:
    return int(_UINT32.unpack(state.take(4))[0])


def _uint64(state: State) -> int:
    return int(_UINT64.unpack(state.take(8))[0])


def _integer(digits: bytes) -> int:
    if not _INTEGER.fullmatch(digits):
        raise Refusal(codes.PICKLE_MALFORMED, f"{digits[:20]!r} is no whole number")
    return int(digits)


def _int_line(state: State) -> int | bool:
    digits = state.line()
    return {b"00": False, b"01": True}[digits] if digits in (b"00", b"01") else _integer(digits)


def _float_line(state: State) -> float:
    digits = state.line()
    if not _DECIMAL.fullmatch(digits):
        raise Refusal(codes.PICKLE_MALFORMED, f"{digits[:20]!r} is no number")
    return float(digits)


def _long(state: State, count: int) -> int:
    if count > LONGEST_NUMBER:
        raise Refusal(codes.PICKLE_TOO_LARGE, f"a whole number of {count:,} bytes")
    return int.from_bytes(state.take(count), "little", signed=True)


def _text(data: bytes) -> str:
    # Halves of surrogate pairs come through, as they do in Python: who stores the text has to look.
    return data.decode("utf-8", "surrogatepass")


def _old_text(data: bytes) -> str:
    """A string of Python 2: bytes that were meant as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _quoted(state: State) -> str:
    line = state.line()
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise Refusal(codes.PICKLE_MALFORMED, "a string without its quotes")
    return _old_text(codecs.escape_decode(line[1:-1])[0])


for _opcode_bytes, _read in {
    pickle.NONE: lambda state: None,
    pickle.NEWTRUE: lambda state: True,
    pickle.NEWFALSE: lambda state: False,
    pickle.EMPTY_TUPLE: lambda state: (),
    pickle.BININT1: _uint8,
    pickle.BININT2: _uint16,
    pickle.BININT: _int32,
    pickle.INT: _int_line,
    pickle.LONG: lambda state: _integer(state.line().removesuffix(b"L")),
    pickle.LONG1: lambda state: _long(state, _uint8(state)),
    pickle.LONG4: lambda state: _long(state, _uint32(state)),
    pickle.FLOAT: _float_line,
    pickle.BINUNICODE: lambda state: _text(state.take(_uint32(state))),
    pickle.BINUNICODE8: lambda state: _text(state.take(_uint64(state))),
    pickle.UNICODE: lambda state: state.line().decode("raw-unicode-escape"),
    pickle.SHORT_BINBYTES: lambda state: state.take(_uint8(state)),
    pickle.BINBYTES: lambda state: state.take(_uint32(state)),
    pickle.BINBYTES8: lambda state: state.take(_uint64(state)),
    pickle.BYTEARRAY8: lambda state: state.take(_uint64(state)),
    pickle.SHORT_BINSTRING: lambda state: _old_text(state.take(_uint8(state))),
    pickle.BINSTRING: lambda state: _old_text(state.take(_uint32(state))),
    pickle.STRING: _quoted,
}.items():
    _push(_opcode_bytes, _read)


# -- containers --------------------------------------------------------------------------------------------------------------


@_on(pickle.EMPTY_DICT)
def _empty_dict(state: State) -> None:
    state.made += 1
    state.stack.append({})


@_on(pickle.TUPLE)
def _tuple(state: State) -> None:
    items = state.popped_mark()
    state.stack.append(tuple(items))


def _short_tuple(count: int) -> Callable[[State], None]:
    def handler(state: State) -> None:
        state.made += 1
        if len(state.stack) < count:
            raise Refusal(codes.PICKLE_MALFORMED, "a tuple of more values than there are")
        state.stack[-count:] = [tuple(state.stack[-count:])]

    return handler


_on(pickle.TUPLE1)(_short_tuple(1))
_on(pickle.TUPLE2)(_short_tuple(2))
_on(pickle.TUPLE3)(_short_tuple(3))


@_on(pickle.LIST)
def _list(state: State) -> None:
    items = state.popped_mark()
    if state.root is None and not state.stack and not state.marks:
        state.root = []
        state.pending.extend(items)
        items = state.root
    state.stack.append(items)


@_on(pickle.DICT)
def _dict(state: State) -> None:
    items = state.popped_mark()
    state.stack.append(dict(zip(items[::2], items[1::2], strict=True)))


@_on(pickle.APPEND)
def _append(state: State) -> None:
    value = state.stack.pop()
    target = state.stack[-1]
    if target is state.root:
        state.pending.append(value)
    elif type(target) is list:
        target.append(value)
    else:
        raise Refusal(codes.PICKLE_MALFORMED, "an element is added to something that is no list")


def _set(state: State, items: list[Any]) -> None:
    target = state.stack[-1]
    if type(target) is not dict:
        raise Refusal(codes.PICKLE_MALFORMED, "an entry is added to something that is no dictionary")
    target.update(zip(items[::2], items[1::2], strict=True))


@_on(pickle.SETITEM)
def _set_item(state: State) -> None:
    value = state.stack.pop()
    key = state.stack.pop()
    _set(state, [key, value])


@_on(pickle.SETITEMS)
def _set_items(state: State) -> None:
    _set(state, state.popped_mark())


# -- stack and memo ----------------------------------------------------------------------------------------------------------


@_on(pickle.POP)
def _pop(state: State) -> None:
    if state.stack:
        state.stack.pop()
    else:
        state.popped_mark()


@_on(pickle.POP_MARK)
def _pop_mark(state: State) -> None:
    state.popped_mark()


@_on(pickle.DUP)
def _dup(state: State) -> None:
    state.stack.append(state.stack[-1])


@_on(pickle.GET)
def _get(state: State) -> None:
    if state.headed:
        raise Refusal(codes.PICKLE_MALFORMED, "an opcode of protocol 0 in a pickle of a later one")
    state.fetch(_integer(state.line()))


@_on(pickle.BINGET)
def _binary_get(state: State) -> None:
    state.fetch(_uint8(state))


@_on(pickle.LONG_BINGET)
def _long_binary_get(state: State) -> None:
    state.fetch(_uint32(state))


@_on(pickle.PUT)
def _put(state: State) -> None:
    state.store(_integer(state.line()))


@_on(pickle.BINPUT)
def _binary_put(state: State) -> None:
    state.store(_uint8(state))


@_on(pickle.LONG_BINPUT)
def _long_binary_put(state: State) -> None:
    state.store(_uint32(state))


# -- globals and calls -------------------------------------------------------------------------------------------------------


@_on(pickle.GLOBAL)
def _global(state: State) -> None:
    module = _text(state.line())
    state.look_up(module, _text(state.line()))


@_on(pickle.STACK_GLOBAL)
def _stack_global(state: State) -> None:
    name = state.stack.pop()
    state.look_up(state.stack.pop(), name)


@_on(pickle.REDUCE)
def _reduce(state: State) -> None:
    arguments = state.stack.pop()
    state.call(state.stack.pop(), arguments)


@_on(pickle.BUILD)
def _build(state: State) -> None:
    value = state.stack.pop()
    target = state.stack[-1]
    if not isinstance(target, Buildable):
        raise Refusal(codes.PICKLE_FORBIDDEN, "the pickle sets the attributes of an object")
    target.build(value)


def _persistent(state: State, name: Any) -> None:
    if state.persistent is None:
        raise Refusal(codes.PICKLE_FORBIDDEN, "the pickle refers to an object outside it (a persistent id)")
    state.stack.append(state.persistent(name))


@_on(pickle.PERSID)
def _text_persistent(state: State) -> None:
    _persistent(state, _text(state.line()))


@_on(pickle.BINPERSID)
def _binary_persistent(state: State) -> None:
    _persistent(state, state.stack.pop())


# -- frame of the file -------------------------------------------------------------------------------------------------------


@_on(pickle.PROTO)
def _protocol(state: State) -> None:
    version = _uint8(state)
    if version > pickle.HIGHEST_PROTOCOL:
        raise Refusal(codes.PICKLE_MALFORMED, f"protocol {version} is unknown")
    state.headed = True


@_on(pickle.FRAME)
def _frame(state: State) -> None:
    # Frames help who reads ahead; the window does so anyway, so a frame's length is of no use here.
    _uint64(state)


@_on(pickle.STOP)
def _stop(state: State) -> bool:
    state.result = state.stack.pop()
    return True

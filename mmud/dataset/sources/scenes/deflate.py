"""A small deflate encoder whose output depends on nothing but its input.

zlib promises that what it writes can be read, not that two builds write the same: zlib-ng and the zlib of a processor's maker
choose other matches at one level. Where file checksums have to agree between machines, the encoder has to be ours. This one knows
repeated bytes only (matches of distance 1), which is what filtered rows of drawings are made of, with a Huffman code per block.
Format: RFC 1951, and RFC 1950 for the wrapper.
"""

from __future__ import annotations

import heapq
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

#: Input bytes a block: bounds the memory, and lets the code follow the data.
_BLOCK: Final = 1 << 18
_END: Final = 256
_LONGEST: Final = 258
#: The order in which the lengths of the code-length code are stored (RFC 1951, 3.2.7).
_LENGTH_ORDER: Final = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


def _match_tables() -> tuple[Ints, Ints, Ints]:
    """For match lengths 0 to 258: symbol, extra bits, number of extra bits (RFC 1951, 3.2.5)."""
    symbol, extra, count = (np.zeros(_LONGEST + 1, dtype=np.int64) for _ in range(3))
    start, code = 3, 257
    while code < 285:
        bits = max(0, (code - 261) // 4)
        for offset in range(min(1 << bits, _LONGEST + 1 - start)):
            symbol[start + offset], extra[start + offset], count[start + offset] = code, offset, bits
        start, code = start + (1 << bits), code + 1
    symbol[_LONGEST], extra[_LONGEST], count[_LONGEST] = 285, 0, 0
    return symbol, extra, count


_SYMBOL, _EXTRA, _EXTRA_COUNT = _match_tables()


def code_lengths(frequencies: list[int], longest: int) -> list[int]:
    """Huffman code lengths in bits, none above ``longest``; 0 for what does not occur.

    Ties are broken by position, so the code is a function of the frequencies. Where a code would be too long, the frequencies are
    halved (rounded up) until it is not: a little longer than the best code, and always valid.
    """
    while True:
        heap: list[tuple[int, int, tuple[int, ...]]] = [
            (count, position, (position,)) for position, count in enumerate(frequencies) if count
        ]
        lengths = [0] * len(frequencies)
        if len(heap) == 1:
            lengths[heap[0][1]] = 1
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            members = first[2] + second[2]
            for position in members:
                lengths[position] += 1
            heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), members))
        if max(lengths) <= longest:
            return lengths
        frequencies = [(count + 1) // 2 for count in frequencies]


def canonical_codes(lengths: list[int]) -> Ints:
    """The code of each symbol (RFC 1951, 3.2.2), its bits reversed so that it can be written from the lowest bit on."""
    codes = np.zeros(len(lengths), dtype=np.int64)
    code = 0
    for length in range(1, max(lengths) + 1):
        code <<= 1
        for symbol, own in enumerate(lengths):
            if own == length:
                codes[symbol] = int(f"{code:0{length}b}"[::-1], 2)
                code += 1
    return codes


def _tokens(data: Bytes) -> tuple[Ints, Ints, Ints, Ints]:
    """Literals and matches of distance 1: symbol, extra bits, number of extra bits, and whether it is a match."""
    starts = np.concatenate([[0], np.flatnonzero(data[1:] != data[:-1]) + 1])
    runs = np.diff(np.concatenate([starts, [len(data)]]))
    literal = data[starts].astype(np.int64)
    short = runs < 4
    rest = np.where(short, 0, runs - 1)
    full, tail = rest // _LONGEST, rest % _LONGEST
    matched = tail >= 3
    # A run is: literals (all of a short one, the first byte of a long one), longest matches, one shorter match,
    # left-over literals.
    counts = np.stack([np.where(short, runs, 1), full, matched, np.where(matched, 0, tail)], axis=1).ravel()
    last = np.where(matched, tail, 0)
    zero = np.zeros_like(runs)
    symbols = np.stack([literal, zero + 285, _SYMBOL[last], literal], axis=1).ravel()
    extras = np.stack([zero, zero, _EXTRA[last], zero], axis=1).ravel()
    widths = np.stack([zero, zero, _EXTRA_COUNT[last], zero], axis=1).ravel()
    symbols, extras, widths = np.repeat(symbols, counts), np.repeat(extras, counts), np.repeat(widths, counts)
    return symbols, extras, widths, (symbols > _END).astype(np.int64)


def _bits(values: Ints, widths: Ints) -> Bytes:
    """Each value's lowest bits, lowest first, as one array of 0 and 1."""
    ends = np.cumsum(widths)
    position = np.arange(int(ends[-1]), dtype=np.int64) - np.repeat(ends - widths, widths)
    bits: Bytes = ((np.repeat(values, widths) >> position) & 1).astype(np.uint8)
    return bits


def _header(lengths: list[int], final: bool) -> Bytes:
    """The head of a block with its own code; ``lengths`` are those of the literal and match symbols."""
    # One distance code of one bit: distance 1, the only one in use.
    stored = [*lengths, 1]
    frequencies = [0] * 19
    for length in stored:
        frequencies[length] += 1
    own = code_lengths(frequencies, 7)
    codes = canonical_codes(own)
    ordered = [own[symbol] for symbol in _LENGTH_ORDER]
    while len(ordered) > 4 and ordered[-1] == 0:
        ordered.pop()
    values = [
        int(final),
        2,
        len(lengths) - 257,
        0,
        len(ordered) - 4,
        *ordered,
        *(int(codes[length]) for length in stored),
    ]
    widths = [1, 2, 5, 5, 4, *([3] * len(ordered)), *(own[length] for length in stored)]
    return _bits(np.array(values, dtype=np.int64), np.array(widths, dtype=np.int64))


def _block(data: Bytes, final: bool) -> Bytes:
    symbols, extras, extra_widths, is_match = _tokens(data)
    frequencies = np.bincount(symbols, minlength=286)
    frequencies[_END] = 1
    while len(frequencies) > 257 and frequencies[-1] == 0:
        frequencies = frequencies[:-1]
    lengths = code_lengths(frequencies.tolist(), 15)
    codes, table = canonical_codes(lengths), np.array(lengths, dtype=np.int64)
    width = table[symbols]
    # Code, then extra bits, then for a match the distance code, which is the single bit 0.
    values = codes[symbols] | (extras << width)
    body = _bits(values, width + extra_widths + is_match)
    end = _bits(codes[_END : _END + 1], table[_END : _END + 1])
    return np.concatenate([_header(lengths, final), body, end])


def compress(data: bytes) -> bytes:
    """``data``, which is not empty, as a zlib stream that any zlib reads."""
    array = np.frombuffer(data, dtype=np.uint8)
    parts = [b"\x78\x01"]
    carry: Bytes = np.zeros(0, dtype=np.uint8)
    for start in range(0, len(array), _BLOCK):
        final = start + _BLOCK >= len(array)
        bits = np.concatenate([carry, _block(array[start : start + _BLOCK], final)])
        whole = len(bits) if final else len(bits) // 8 * 8
        parts.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        carry = bits[whole:]
    parts.append(zlib.adler32(data).to_bytes(4, "big"))
    return b"".join(parts)

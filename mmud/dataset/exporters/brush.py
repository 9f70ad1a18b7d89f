"""Label Studio's run-length encoding of brush masks.

The format is that of the npm package ``@thi.ng/rle-pack``: a stream of bits, most significant first, with the number of values
(32 bits), the bits of a value less one (5), four run-length widths in bits, less one (4 each), and then the runs. A run is a bit
1, the number of its width (2), its length less one in that width, and the value. The values are the image's red, green, blue and
opacity, pixel by pixel, row by row; the mask is where the opacity is 255.
"""

from __future__ import annotations

import numpy as np

from mmud.annotations.masks import Mask

_WIDTHS = (3, 4, 8, 16)
_VALUE_BITS = 8
_CHANNELS = 4
_LONGEST = 1 << _WIDTHS[-1]


def brush_rle(mask: Mask) -> list[int]:
    """The mask as Label Studio's ``rle``: a list of bytes."""
    values = mask.decode().ravel()
    starts = np.concatenate(([0], np.flatnonzero(np.diff(values)) + 1))
    lengths = np.diff(np.append(starts, len(values))) * _CHANNELS
    head = [f"{len(values) * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    runs = []
    for length, value in zip(lengths.tolist(), values[starts].tolist(), strict=True):
        while length > 0:
            part = min(length, _LONGEST)
            runs.append(_run(part, 255 * value))
            length -= part
    bits = "".join(head + runs)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def _run(length: int, value: int) -> str:
    kind = next(index for index, width in enumerate(_WIDTHS) if length <= 1 << width)
    return f"1{kind:02b}{length - 1:0{_WIDTHS[kind]}b}{value:0{_VALUE_BITS}b}"


def brush_mask(data: bytes, height: int, width: int) -> Mask:
    """The mask of a brush, whoever wrote it.

    Args:
        data: Label Studio's ``rle``.
        height, width: of the image, in pixels.

    Returns:
        The pixels whose opacity is over one half.

    Raises:
        ValueError: when the data end early, hold another number of values, or values of another width.
    """
    bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
    position = 0

    def read(count: int) -> int:
        nonlocal position
        if position + count > len(bits):
            raise ValueError("the brush ends early")
        position += count
        return int(bits[position - count : position], 2)

    total, value_bits = read(32), read(5) + 1
    if total != height * width * _CHANNELS:
        raise ValueError(f"the brush holds {total} values, {height} x {width} pixels have {height * width * _CHANNELS}")
    if value_bits > _VALUE_BITS:
        raise ValueError(f"the brush has values of {value_bits} bits")
    widths = [read(4) + 1 for _ in range(4)]
    lengths: list[int] = []
    values: list[int] = []
    done = 0
    while done < total:
        repeated = read(1)
        length = read(widths[read(2)]) + 1
        done += length
        if repeated:
            lengths.append(length)
            values.append(read(value_bits))
        else:
            lengths += [1] * length
            values += [read(value_bits) for _ in range(length)]
    if done != total:
        raise ValueError("the brush holds more values than it says")
    pixels = np.repeat(np.array(values, dtype=np.uint8), lengths)[_CHANNELS - 1 :: _CHANNELS]
    return Mask.from_array((pixels > 127).reshape(height, width))

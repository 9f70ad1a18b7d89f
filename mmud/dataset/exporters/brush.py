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

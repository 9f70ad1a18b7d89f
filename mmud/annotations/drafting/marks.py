"""Set-of-marks: numbered boxes drawn on an image, so that a model can tell which object is meant.

The idea is Yang et al., "Set-of-Mark Prompting Unleashes Extraordinary Visual Grounding in GPT-4V" (arXiv 2310.11441).
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from mmud.records import Sample

COLOURS = (
    (230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (0, 128, 128),
    (170, 110, 40), (128, 0, 0), (0, 0, 128), (128, 128, 0),
)  # fmt: skip
"""Of the boxes, in turn; dark enough for a white number."""


def draw_marks(image: Image.Image, sample: Sample, numbers: Sequence[int]) -> Image.Image:
    """A copy of the image with a box and a number for each of these objects.

    Args:
        image: RGB, at any scale of the sample's image.
        sample: whose objects they are; boxes are in pixels of ``sample.width`` x ``sample.height``.
        numbers: of the objects, from 1. Smaller boxes are drawn last, so that their numbers stay visible.
    """
    marked = image.copy()
    draw = ImageDraw.Draw(marked)
    size = max(12, max(image.size) // 36)
    font = ImageFont.load_default(size)
    line = max(2, size // 8)
    scale_x, scale_y = image.width / sample.width, image.height / sample.height
    boxes = {number: sample.objects[number - 1].bbox for number in numbers}
    for number in sorted(numbers, key=lambda number: -boxes[number][2] * boxes[number][3]):
        x, y, width, height = boxes[number]
        left, top = _inside(x * scale_x, image.width), _inside(y * scale_y, image.height)
        right, bottom = _inside((x + width) * scale_x, image.width), _inside((y + height) * scale_y, image.height)
        colour = COLOURS[(number - 1) % len(COLOURS)]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=line)
        _, _, text_width, text_height = draw.textbbox((0, 0), str(number), font=font)
        label_x = min(left, image.width - text_width - 2 * line)
        label_y = min(top, image.height - text_height - 2 * line)
        draw.rectangle((label_x, label_y, label_x + text_width + 2 * line, label_y + text_height + 2 * line), colour)
        draw.text((label_x + line, label_y + line), str(number), (255, 255, 255), font)
    return marked


def _inside(value: float, side: int) -> float:
    """A coordinate inside the image; boxes of strangers may reach beyond it."""
    return min(max(value, 0.0), side - 1.0)

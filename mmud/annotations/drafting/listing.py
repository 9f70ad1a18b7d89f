"""A sample's objects in words, numbered as their tags count them."""

from __future__ import annotations

from mmud.records import MaskedObject, Sample

MOST_PHRASES = 3
_LONGEST_PHRASE = 80


def listed_objects(sample: Sample, most: int) -> list[int]:
    """The numbers of the objects that a model is told about, ascending: all of them, or the ``most`` largest.

    Crowds are left out: what a tag points at is one object.
    """
    single = [number for number, item in enumerate(sample.objects, start=1) if not item.iscrowd]
    largest = sorted(single, key=lambda number: (-area_of(sample.objects[number - 1]), number))
    return sorted(largest[:most])


def area_of(item: MaskedObject) -> float:
    """In pixels: the source's area, or the box's where there is none."""
    return item.area if item.area > 0 else item.bbox[2] * item.bbox[3]


def list_objects(sample: Sample, numbers: list[int]) -> str:
    """One line an object: its tag, what it is called, and its box in percent of the image's sides."""
    return "\n".join(_line(number, sample.objects[number - 1], sample) for number in numbers) or "(none)"


def _line(number: int, item: MaskedObject, sample: Sample) -> str:
    names = [item.category] if item.category else []
    names += [f'"{_short(phrase)}"' for phrase in item.phrases[:MOST_PHRASES] if phrase.strip()]
    x, y, width, height = item.bbox
    box = [100 * x / sample.width, 100 * y / sample.height, 100 * (x + width) / sample.width]
    box.append(100 * (y + height) / sample.height)
    left, top, right, bottom = (min(100, max(0, round(value))) for value in box)
    name = ", ".join(" ".join(name.split()) for name in names) or "object"
    return f"<LCL-{number}> {name}; left {left} %, top {top} %, right {right} %, bottom {bottom} %"


def _short(phrase: str) -> str:
    plain = " ".join(phrase.replace('"', "'").split())
    return plain if len(plain) <= _LONGEST_PHRASE else plain[:_LONGEST_PHRASE] + "…"

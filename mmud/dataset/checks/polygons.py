"""MM2xx: the source's polygons, alone and against the mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmud.annotations import codes as annotation_codes
from mmud.annotations.masks import Mask, areas, intersections_and_unions
from mmud.dataset.checks.base import Check, Row
from mmud.dataset.checks.batch import ObjectMask, SampleContext, objects_of, whole_size
from mmud.dataset.checks.codes import masks as codes
from mmud.dataset.checks.masks import FREE_PIXELS, OUTSIDE_PIXELS, perimeter
from mmud.dataset.checks.outlines import draw
from mmud.errors import Code, Finding

SPECK_AREA = 1.0
"""A polygon that encloses less, in square pixels, is a speck."""

OUTLINE_PIXELS = 1.0
"""Polygons and mask may differ by so many pixels for each pixel of the perimeter of the mask's box: tools that count pixels
from centres or fill borders differ by half a pixel along the outline, which is longer than the box."""

_MAX_LENGTH = 1_000_000.0
"""Polygons with a longer outline, in pixels, are not drawn: compiled code walks and stores every pixel of an edge."""

Problem = tuple[Code, str]
Key = tuple[int, int, int]


class PolygonCheck(Check):
    """Polygons: well-formed, inside the image, simple, and what the mask was drawn from."""

    codes = (
        annotation_codes.POLYGON_INVALID,
        codes.POLYGON_CROSSES,
        codes.POLYGONS_DISAGREE,
        codes.PARTS_OVERLAP,
        codes.SEVERAL_PARTS,
        codes.POLYGON_JOINED,
        codes.POLYGON_SPECK,
        codes.POLYGON_OUTSIDE,
    )

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        size = whole_size(row)
        for number, (item, mask) in enumerate(zip(objects_of(row), context.masks, strict=True)):
            if not item or not item["polygons"]:
                continue
            for code, message in self._object_problems(number, item, mask, size, context):
                yield Finding(code, context.place(number + 1, "polygons"), message)

    def _object_problems(
        self,
        number: int,
        item: dict[str, Any],
        mask: ObjectMask | None,
        size: tuple[int, int] | None,
        context: SampleContext,
    ) -> Iterator[Problem]:
        outlines = context.batch.outlines
        parts = len(item["polygons"])
        keys = [(context.offset, number, part) for part in range(parts)]
        good = [key for key in keys if key in outlines.points]
        yield from (
            (annotation_codes.POLYGON_INVALID, outlines.malformed[key]) for key in keys if key in outlines.malformed
        )
        yield from self._shapes(good, size, context)
        drawn = [key for key in keys if key not in outlines.points or not self._is_speck(key, context)]
        several = len(drawn) > 1
        length = sum(outlines.length[key] for key in good)
        drawable = size is not None and len(good) == parts and length <= _MAX_LENGTH
        parts_drawn = draw([outlines.points[key] for key in good], *size) if drawable and size is not None else []
        shared = _shared_pixels(parts_drawn) if several and parts_drawn else 0
        if shared > FREE_PIXELS:
            yield codes.PARTS_OVERLAP, f"the parts share {shared} pixels"
        elif several:
            yield codes.SEVERAL_PARTS, f"the object is drawn with {len(drawn)} polygons"
        if parts_drawn and mask is not None and mask.usable and mask.mask is not None:
            yield from _disagreement(Mask.union(parts_drawn), mask.mask)

    @staticmethod
    def _is_speck(key: Key, context: SampleContext) -> bool:
        outlines = context.batch.outlines
        return key not in outlines.crossing and outlines.enclosed[key] < SPECK_AREA

    def _shapes(self, keys: list[Key], size: tuple[int, int] | None, context: SampleContext) -> Iterator[Problem]:
        outlines = context.batch.outlines
        for key in keys:
            part = f"polygon {key[2] + 1}"
            if key in outlines.crossing:
                yield codes.POLYGON_CROSSES, f"{part} crosses itself"
            if key in outlines.retraced:
                yield codes.POLYGON_JOINED, f"{part} walks an edge in both directions"
            if self._is_speck(key, context):
                yield codes.POLYGON_SPECK, f"{part} encloses {outlines.enclosed[key]:.3g} square pixels"
            if size is not None:
                left, top, right, bottom = outlines.extent[key]
                beyond = max(-left, -top, right - size[1], bottom - size[0])
                if beyond > OUTSIDE_PIXELS:
                    yield codes.POLYGON_OUTSIDE, f"{part} reaches {beyond:.6g} pixels outside the image"


def _shared_pixels(masks: list[Mask]) -> int:
    """How many pixels several masks hold more than once, counted as often as they do."""
    return int(areas(masks).sum()) - Mask.union(masks).area


def _disagreement(drawn: Mask, mask: Mask) -> Iterator[Problem]:
    if drawn.counts == mask.counts:
        return
    shared, union = (int(pixels[0]) for pixels in intersections_and_unions([drawn], [mask]))
    if union - shared > FREE_PIXELS + OUTLINE_PIXELS * perimeter(mask.bbox):
        message = f"polygons and mask differ in {union - shared} pixels, they share {shared}"
        yield codes.POLYGONS_DISAGREE, message

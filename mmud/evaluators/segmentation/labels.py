"""True masks as protocols see them: parts joined by their rule, drawn or resized to their resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmud.annotations.masks import Mask
from mmud.evaluators.protocols import Join, View
from mmud.evaluators.segmentation.pixels import join, union, without
from mmud.evaluators.segmentation.resize import resize_nearest

Polygons = tuple[tuple[float, ...], ...]


@dataclass(slots=True)
class Label:
    """What one object covers.

    Attributes:
        mask: all of it, at the image's own size.
        polygons: the source's polygons, which some protocols draw in their own way; None where there are none.
        parts: the parts, where the source gave several encodings; empty where it did not.
    """

    mask: Mask
    polygons: Polygons | None = None
    parts: tuple[Mask, ...] = ()

    def split(self) -> Sequence[Mask]:
        """The parts that the source gave, or the whole as one."""
        if self.parts:
            return self.parts
        # COCO has polygons of two points, which enclose nothing.
        polygons = [polygon for polygon in self.polygons or () if len(polygon) >= 6]
        if len(polygons) > 1:
            return [Mask.from_polygons([polygon], *self.mask.size) for polygon in polygons]
        return (self.mask,)


def label_masks(
    groups: Sequence[Sequence[Label]], view: View, ignored: Sequence[Mask | None] | None = None
) -> list[Mask]:
    """The true mask of each group of objects (one object, or all those of an expression), as a view shows it.

    Args:
        groups: n groups, each of at least one label.
        view: how they are drawn.
        ignored: n masks of pixels that are left out, or None.
    """
    drawn = [_drawn(group, view) for group in groups]
    return predicted_masks(drawn, view, ignored)


def predicted_masks(masks: Sequence[Mask], view: View, ignored: Sequence[Mask | None] | None = None) -> list[Mask]:
    """Predicted masks as a view shows them."""
    if view.resolution is None:
        return less_ignored(masks, view, ignored)
    return resize_nearest(masks, view.resolution)


def less_ignored(masks: Sequence[Mask], view: View, ignored: Sequence[Mask | None] | None) -> list[Mask]:
    """Masks without the pixels that are to be ignored, where the view leaves them out."""
    if ignored is None or not view.ignore or view.resolution is not None:
        return list(masks)
    return [mask if away is None else without(mask, away) for mask, away in zip(masks, ignored, strict=True)]


def _drawn(group: Sequence[Label], view: View) -> Mask:
    if view.objects is Join.ONCE and len(group) > 1:
        return join([part for label in group for part in label.split()], Join.ONCE)
    wholes = [label.mask if view.parts is Join.UNION else join(label.split(), view.parts) for label in group]
    return union(wholes)

"""Pixels, masks and shapes: against analytic areas, Pillow's rasteriser, and the pixels that painting really changes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmud.dataset.sources.scenes import shapes
from mmud.dataset.sources.scenes.config import ScenesConfig, preset
from mmud.dataset.sources.scenes.drawing import Background, object_tones, paint
from mmud.dataset.sources.scenes.layout import Attributes, Layout, Placed
from mmud.dataset.sources.scenes.textures import background_pattern
from mmud.dataset.sources.scenes.vocabulary import BACKGROUNDS, COLORS, SHAPES, SIZES, TEXTURES, TINTS
from mmud.dataset.sources.scenes.world import Scene, generate

CONFIGS = (ScenesConfig(seed=3), preset("hard", seed=4), ScenesConfig(seed=5, width=97, height=61, max_objects=6))


def shoelace(corners: tuple[tuple[int, int], ...]) -> float:
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2


def lens(first: float, second: float, distance: float) -> float:
    """Area common to two discs (the textbook formula)."""
    a = (distance**2 + first**2 - second**2) / (2 * distance)
    b = distance - a
    return (
        first**2 * math.acos(a / first)
        + second**2 * math.acos(b / second)
        - distance * math.sqrt(max(0.0, first**2 - a**2))
    )


ANALYTIC = {
    **{name: shoelace(corners) for name, corners in shapes._POLYGONS.items()},
    "circle": math.pi * 860**2,
    "ring": math.pi * (1050**2 - 560**2),
    "crescent": math.pi * 1150**2 - lens(1150, 900, 540),
}
PERIMETER = {
    **{
        name: sum(math.dist(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True))
        for name, corners in shapes._POLYGONS.items()
    },
    "circle": 2 * math.pi * 860,
    "ring": 2 * math.pi * (1050 + 560),
    "crescent": 2 * math.pi * 1150,
}


@pytest.mark.parametrize("shape", sorted(ANALYTIC))
@pytest.mark.parametrize("tilt", [-12, 0, 4])
@pytest.mark.parametrize("diameter", [40, 150, 400, 700])
def test_coverage_adds_up_to_the_area(shape: str, tilt: int, diameter: int) -> None:
    covered = shapes.template(shape, diameter, tilt).coverage.sum() / 16
    # Sampling errs at the outline only, and there by less than a quarter of the distance between sample points on the whole.
    slack = PERIMETER[shape] * diameter / 2000 / shapes.samples_a_side(diameter) / 4
    assert covered == pytest.approx(ANALYTIC[shape] * (diameter / 2000) ** 2, abs=slack)


@pytest.mark.parametrize("shape", sorted(shapes._POLYGONS))
def test_polygons_agree_with_pillow(shape: str) -> None:
    diameter, zoom = 120, 8
    template = shapes.template(shape, diameter, 0)
    side = 2 * (diameter * 1320 // 2000 + 1)
    big = Image.new("1", (side * zoom, side * zoom))
    middle = side * zoom / 2
    points = [
        (middle + x * diameter * zoom / 2000, middle + y * diameter * zoom / 2000) for x, y in shapes._POLYGONS[shape]
    ]
    ImageDraw.Draw(big).polygon(points, fill=1)
    theirs = np.asarray(big).reshape(side, zoom, side, zoom).mean(axis=(1, 3)) >= 0.5
    # The template is cut to what it touches: find where it lies.
    height, width = template.mask.shape
    best = 0.0
    for top in range(side - height + 1):
        for left in range(side - width + 1):
            if abs(top - (side - height) // 2) > 20:
                continue
            ours = np.zeros_like(theirs)
            ours[top : top + height, left : left + width] = template.mask
            best = max(best, float((ours & theirs).sum() / (ours | theirs).sum()))
    assert best > 0.98


@pytest.mark.parametrize("diameter", [19, 29, 43, 120])
def test_sizes_are_seen_in_areas(diameter: int) -> None:
    """Every shape of the next size covers more than every shape of this one, tilts and jitter included."""
    this = [shapes.template(shape, diameter + diameter // 24, tilt).area for shape in SHAPES for tilt in shapes.TILTS]
    larger = diameter * 3 // 2
    following = [shapes.template(shape, larger - larger // 24, tilt).area for shape in SHAPES for tilt in shapes.TILTS]
    assert min(following) > max(this)


@pytest.mark.parametrize("side", [48, 64, 128, 200, 256])
def test_each_size_word_covers_clearly_more_than_the_one_before(side: int) -> None:
    config = ScenesConfig(width=side, height=side, max_objects=6)
    ranges = []
    for size in SIZES:
        nominal = config.diameter(size)
        areas = [
            shapes.template(shape, nominal + step * (nominal // 24), tilt).area
            for shape in SHAPES
            for tilt in shapes.TILTS
            for step in (-1, 0, 1)
        ]
        ranges.append((min(areas), max(areas)))
    for (_, most), (least, _) in itertools.pairwise(ranges):
        assert least > 1.3 * most


def test_shapes_can_be_told_apart() -> None:
    """No two outlines of one size overlap by more than three quarters, wherever one is put on the other."""
    side = 140
    for first in SHAPES:
        for second in SHAPES:
            if first >= second:
                continue
            best = 0.0
            mask = shapes.template(first, 100, 0).mask
            frame = np.zeros((2 * side, 2 * side), dtype=bool)
            frame[side - mask.shape[0] // 2 :][: mask.shape[0], side - mask.shape[1] // 2 :][:, : mask.shape[1]] = mask
            for tilt in (-8, 0, 8):
                other = shapes.template(second, 100, tilt).mask
                for dy in range(-20, 21, 4):
                    for dx in range(-20, 21, 4):
                        moved = np.zeros_like(frame)
                        top, left = side - other.shape[0] // 2 + dy, side - other.shape[1] // 2 + dx
                        moved[top : top + other.shape[0], left : left + other.shape[1]] = other
                        best = max(best, (frame & moved).sum() / (frame | moved).sum())
            # The hexagon comes closest to the circle: they share all but the hexagon's corners.
            assert best < (0.97 if {first, second} == {"circle", "hexagon"} else 0.9), (first, second, best)


@pytest.mark.parametrize("config", CONFIGS, ids=["normal", "hard", "odd size"])
def test_masks_are_exactly_the_pixels_painted(config: ScenesConfig) -> None:
    """With hard edges, giving one object another colour changes the pixels of its mask and no others."""
    for index in range(25):
        scene = generate(replace(config, antialias=False), index)
        for thing in scene.objects:
            images = []
            for color in ("red", "blue"):
                placed = list(scene.layout.objects)
                looks = placed[thing.depth].attributes._replace(color=color)
                placed[thing.depth] = replace(placed[thing.depth], attributes=looks)
                images.append(paint(Layout(tuple(placed), scene.layout.owner), scene.background, scene.config))
            changed = (images[0] != images[1]).any(axis=2)
            assert (changed == scene.mask(thing.index)).all(), (scene.sample_id, thing)


@pytest.mark.parametrize("config", CONFIGS, ids=["normal", "hard", "odd size"])
def test_masks_are_disjoint_and_add_up_to_what_is_not_background(config: ScenesConfig) -> None:
    for index in range(25):
        scene = generate(replace(config, antialias=False), index)
        assert scene.masks.sum(axis=0).max() == 1
        empty = paint(Layout((), scene.layout.owner), scene.background, scene.config)
        # An object's tone can equal the background's at a pixel, so only this direction is sure here.
        assert not ((scene.image != empty).any(axis=2) & ~scene.masks.any(axis=0)).any()
        for thing in scene.objects:
            mask = scene.mask(thing.index)
            rows, columns = np.nonzero(mask)
            x, y = int(columns.min()), int(rows.min())
            assert thing.bbox == (x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1)
            assert thing.area == mask.sum()
            assert thing.area >= config.min_visible * thing.full_area
            assert x > 0
            assert y > 0
            assert x + thing.bbox[2] < config.width
            assert y + thing.bbox[3] < config.height
            assert thing.x / 16 == pytest.approx(columns.mean() + 0.5, abs=1 / 16)
            assert thing.y / 16 == pytest.approx(rows.mean() + 0.5, abs=1 / 16)


def test_soft_edges_change_pixels_at_edges_only() -> None:
    for index in range(20):
        soft = generate(ScenesConfig(seed=6), index)
        hard = generate(ScenesConfig(seed=6, antialias=False), index)
        assert (soft.owner == hard.owner).all()
        assert soft.caption == hard.caption
        assert soft.question == hard.question
        # Away from every outline the two images are equal.
        edge = np.zeros(soft.owner.shape, dtype=bool)
        for dy in range(-3, 4):
            for dx in range(-3, 4):
                edge |= np.roll(soft.owner, (dy, dx), (0, 1)) != soft.owner
        away = ~edge & (soft.owner == 0)
        assert (soft.image[away] == hard.image[away]).all()


def test_painting_order_is_depth_order() -> None:
    """Where two templates overlap, the pixel belongs to the one painted later."""
    scene = generate(preset("hard", seed=4), 2)
    seen = np.zeros_like(scene.owner)
    for thing in sorted(scene.objects, key=lambda thing: thing.depth):
        placed = scene.layout.objects[thing.depth]
        seen[placed.window][placed.template.mask] = thing.index
    assert (seen == scene.owner).all()


def interior(scene: Scene, index: int) -> np.ndarray:
    """Pixels of an object away from its rim."""
    mask = scene.mask(index)
    for _ in range(4):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return scene.image[mask].astype(int)


def test_colors_and_textures_are_seen_in_the_pixels() -> None:
    """A plain object shows one tone, nearest to its own colour's nominal value; a textured one shows two."""
    checked = 0
    for index in range(60):
        scene = generate(ScenesConfig(seed=8), index)
        for thing in scene.objects:
            pixels = interior(scene, thing.index)
            if len(pixels) < 60:
                continue
            values = np.unique(pixels, axis=0)
            if thing.texture == "plain":
                assert len(values) == 1
                nearest = min(COLORS, key=lambda name: int(abs(values[0] - COLORS[name]).sum()))
                assert nearest == thing.color
            else:
                main, second, _ = (np.array(tone) for tone in object_tones(scene.layout.objects[thing.depth], False))
                assert abs(main - second).sum() >= 60
                if len(pixels) > 200:
                    assert {tuple(main.tolist()), tuple(second.tolist())} <= {tuple(row) for row in values.tolist()}
                # Every pixel is one of the two tones or, at a soft edge of the texture, between them.
                low, high = np.minimum(main, second), np.maximum(main, second)
                assert ((values >= low) & (values <= high)).all()
            checked += 1
    assert checked > 150


def test_colors_differ() -> None:
    tones = {**COLORS}
    for first, one in tones.items():
        for second, other in tones.items():
            assert first == second or sum(abs(a - b) for a, b in zip(one, other, strict=True)) >= 70
    # Backgrounds are apart from every object colour, so that an object never vanishes.
    for tint in TINTS.values():
        assert min(sum(abs(a - b) for a, b in zip(tint, one, strict=True)) for one in COLORS.values()) >= 70


@pytest.mark.parametrize("pattern", BACKGROUNDS)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (128, 128), (61, 97), (33, 400)])
def test_backgrounds_fill_the_image_and_differ(pattern: str, height: int, width: int) -> None:
    weights = background_pattern(pattern, height, width, 12345678901234567890, 0)
    assert weights.shape == (height, width)
    assert weights.min() >= 0
    assert weights.max() <= 256
    others = [
        background_pattern(name, height, width, 12345678901234567890, 0) for name in BACKGROUNDS if name != pattern
    ]
    assert not any((weights == other).all() for other in others)
    assert (len(np.unique(weights)) == 1) == (pattern == "plain")


@pytest.mark.parametrize(("width", "height"), [(32, 32), (32, 64), (640, 480), (50, 1000), (1200, 300)])
def test_any_image_size(width: int, height: int) -> None:
    config = ScenesConfig(seed=1, width=width, height=height, max_objects=6)
    for index in range(2):
        scene = generate(config, index)
        assert scene.image.shape == (height, width, 3)
        assert scene.image.dtype == np.uint8
        assert scene.masks.shape == (len(scene.objects), height, width)
        assert all(thing.area > 0 for thing in scene.objects)


def test_every_word_can_be_drawn_at_every_size() -> None:
    config = ScenesConfig(width=64, height=64)
    background = Background("plain", "grey", 0, 0)
    owner = np.zeros((64, 64), dtype=np.uint8)
    seen = set()
    for shape in SHAPES:
        for texture in TEXTURES:
            for size in SIZES:
                placed = Placed(Attributes(size, "red", texture, shape), 5, 5, config.diameter(size), 0, 1, 0)
                image = paint(Layout((placed,), owner), background, config)
                seen.add(image.tobytes())
    assert len(seen) == len(SHAPES) * len(TEXTURES) * len(SIZES)

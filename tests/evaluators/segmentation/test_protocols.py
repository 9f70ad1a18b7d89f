"""Seven protocols, each equal to its published arithmetic (tests/…/published_protocols.py) and told apart by fixtures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from published_protocols import PUBLISHED, MaskCase

from mmud.annotations.masks import Mask
from mmud.evaluators.plain_masks import score_mask_files
from mmud.evaluators.protocols import PROTOCOLS, Protocol, names_of
from mmud.evaluators.segmentation.labels import Label, label_masks
from mmud.evaluators.segmentation.plan import Plan, PlannedUnit
from mmud.evaluators.segmentation.scoring import contributions, reduce
from mmud.evaluators.signatures import parse
from mmud.evaluators.statistics.bootstrap import Resampler
from mmud.evaluators.statistics.sums import exact_sums

SIZE = (50, 64)


def box(top: int, left: int, height: int, width: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


NOTHING = np.zeros(SIZE, dtype=bool)
GOOD = MaskCase(SIZE, [box(5, 5, 20, 20)], box(7, 5, 20, 22))
PERFECT = MaskCase(SIZE, [box(30, 3, 11, 17)], box(30, 3, 11, 17))
NO_TARGET_WRONG = MaskCase(SIZE, [], box(1, 1, 9, 9))
NO_TARGET_RIGHT = MaskCase(SIZE, [], None, rejected=True)
BASE = [GOOD, PERFECT, NO_TARGET_WRONG, NO_TARGET_RIGHT]

FIXTURES: dict[str, list[MaskCase]] = {
    "plain": BASE,
    "both empty, mask drawn": [*BASE, MaskCase(SIZE, [], NOTHING)],
    "both empty, nothing given": [*BASE, MaskCase(SIZE, [], None, rejected=True)],
    "no target rejected with a mask": [*BASE, MaskCase(SIZE, [], box(2, 2, 8, 8), rejected=True)],
    "missing": [*BASE, MaskCase(SIZE, [box(10, 10, 12, 25)], None, rejected=True)],
    "target rejected with a mask": [*BASE, MaskCase(SIZE, [box(10, 10, 12, 25)], box(10, 12, 12, 25), rejected=True)],
    "target, empty mask": [*BASE, MaskCase(SIZE, [box(10, 10, 12, 25)], NOTHING)],
    "extra": [*BASE, MaskCase(SIZE, [], box(0, 0, 30, 30))],
    "extra in gRefCOCO": [*BASE, MaskCase(SIZE, [], box(0, 0, 30, 30), grefcoco=True)],
    "ignore pixels": [*BASE, MaskCase(SIZE, [box(4, 4, 20, 20)], box(8, 8, 20, 20), ignore=box(0, 0, 12, 64))],
    "all foreground ignored": [*BASE, MaskCase(SIZE, [box(4, 4, 6, 6)], box(5, 5, 5, 5), ignore=box(0, 0, 20, 64))],
    "overlapping parts": [
        *BASE,
        MaskCase(SIZE, [box(5, 5, 20, 20), box(15, 15, 20, 30)], box(5, 5, 30, 38)),
    ],
    "parts that touch": [*BASE, MaskCase(SIZE, [box(5, 5, 10, 10), box(15, 5, 10, 10)], box(5, 5, 19, 10))],
    "small and thin": [
        *BASE,
        MaskCase(SIZE, [box(20, 20, 1, 9)], box(20, 21, 1, 9)),
        MaskCase((300, 40), [box(100, 3, 7, 5, (300, 40))], box(102, 2, 6, 6, (300, 40))),
        MaskCase((600, 900), [box(100, 300, 333, 1, (600, 900))], box(101, 300, 333, 2, (600, 900))),
    ],
}


def rle(mask: np.ndarray) -> dict[str, object]:
    return Mask.from_array(mask).to_json()


def write(folder: Path, cases: list[MaskCase]) -> tuple[Path, Path]:
    references, predictions = folder / "references.jsonl", folder / "predictions.jsonl"
    with open(references, "w") as truth, open(predictions, "w") as said:
        for number, case in enumerate(cases):
            parts = [rle(part) for part in case.parts]
            reference: dict[str, object] = {
                "id": number,
                "segmentation": parts[0] if len(parts) == 1 else parts or None,
            }
            if case.ignore is not None:
                reference["ignore"] = rle(case.ignore)
            if case.grefcoco:
                reference["source"] = "grefcoco"
            prediction: dict[str, object] = {
                "id": number,
                "segmentation": None if case.predicted is None else rle(case.predicted),
            }
            if case.rejected and case.predicted is not None:
                prediction["no_target"] = True
            truth.write(json.dumps(reference) + "\n")
            said.write(json.dumps(prediction) + "\n")
    return references, predictions


def scores(folder: Path, cases: list[MaskCase], protocol: str) -> dict[str, float | None]:
    found = score_mask_files(*write(folder, cases), [protocol], resampler=Resampler(0))
    return {name: figure.value for name, figure in found.metrics.items()}


@pytest.mark.parametrize("protocol", PUBLISHED)
@pytest.mark.parametrize("fixture", FIXTURES)
def test_equals_the_published_arithmetic(tmp_path: Path, fixture: str, protocol: str) -> None:
    found = scores(tmp_path, FIXTURES[fixture], protocol)
    for name, expected in PUBLISHED[protocol](FIXTURES[fixture]).items():
        assert found[name] == pytest.approx(expected, rel=1e-13, abs=1e-13), name


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_random_masks_of_many_sizes(tmp_path: Path, protocol: str) -> None:
    generator = np.random.default_rng(5)
    cases = []
    for number in range(60):
        height, width = (int(side) for side in generator.integers(20, 700, size=2))
        parts = [random_blob(generator, height, width) for _ in range(int(generator.integers(0, 3)))]
        parts = [part for part in parts if part.any()]
        predicted = None if generator.random() < 0.15 else random_blob(generator, height, width)
        if parts and predicted is not None and generator.random() < 0.6:
            predicted = np.roll(parts[0], int(generator.integers(0, 9)), axis=int(generator.integers(2)))
        rejected = predicted is None or generator.random() < 0.1
        cases.append(MaskCase((height, width), parts, predicted, rejected=rejected, grefcoco=number % 2 == 0))
    found = scores(tmp_path, cases, protocol)
    for name, expected in PUBLISHED[protocol](cases).items():
        assert found[name] == pytest.approx(expected, rel=1e-12, abs=1e-12), name


def random_blob(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(int(generator.integers(1, 4))):
        top, left = int(generator.integers(0, height)), int(generator.integers(0, width))
        mask[top : top + int(generator.integers(1, height)), left : left + int(generator.integers(1, width))] = True
    return mask


SEPARATED = {
    "both empty, mask drawn": {"mmud": 1, "lisa": 1, "rela": 0, "gsva": 0, "sa2va": 1, "seem": 0, "official": 0},
    "both empty, nothing given": {"mmud": 1, "lisa": 1, "rela": 1, "gsva": 1, "sa2va": 0, "seem": 0, "official": 0},
}


@pytest.mark.parametrize("fixture", SEPARATED)
def test_empty_labels_tell_the_protocols_apart(tmp_path: Path, fixture: str) -> None:
    """The values of the specification's table, not of any code: what the one case added to the plain ones is worth."""
    for protocol, worth in SEPARATED[fixture].items():
        (tmp_path / protocol).mkdir()
        last = FIXTURES[fixture][-1]
        found = scores(tmp_path / protocol, [last, last], protocol)["gIoU"]
        assert found == pytest.approx(worth, abs=1e-4), protocol


def test_a_fixture_for_each_pair_of_protocols(tmp_path: Path) -> None:
    """No two protocols agree on all fixtures, so that the tests above would notice one taken for another."""
    vectors: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for number, cases in enumerate(FIXTURES.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = score_mask_files(*write(folder, cases), tuple(PUBLISHED), resampler=Resampler(0))
        for name, figures in found.protocols.items():
            vectors[name] += [figures[metric].value or 0.0 for metric in ("gIoU", "cIoU")]
    names = list(vectors)
    for first in range(len(names)):
        for second in range(first):
            difference = np.abs(np.array(vectors[names[first]]) - np.array(vectors[names[second]])).max()
            assert difference > 1e-3, (names[first], names[second])


@pytest.mark.parametrize("protocol", ["lisa", "official", "sa2va", "mmud"])
def test_polygons_of_one_object_that_overlap(protocol: str) -> None:
    """A dataset's object keeps its source's polygons; loaders that add their masks up see 2 where they overlap."""
    polygons = ((5.0, 5.0, 25.0, 5.0, 25.0, 25.0, 5.0, 25.0), (15.0, 15.0, 60.0, 15.0, 60.0, 40.0, 15.0, 40.0))
    parts = [Mask.from_polygons([polygon], *SIZE).decode().astype(bool) for polygon in polygons]
    case = MaskCase(SIZE, parts, parts[0] | parts[1])
    label = Label(Mask.from_polygons(polygons, *SIZE), polygons)
    units = [PlannedUnit(0, (label,), (Mask.from_array(case.drawn()),), no_target=False)]
    for row, other in enumerate((NO_TARGET_WRONG, NO_TARGET_RIGHT, PERFECT), start=1):
        truth = Label(Mask.from_array(other.joined()))
        predicted = () if other.predicted is None else (Mask.from_array(other.predicted),)
        units.append(PlannedUnit(row, (truth,), predicted, no_target=other.rejected))
    rules = PROTOCOLS.get(protocol)
    found = reduce(exact_sums(contributions(Plan(units).measure(rules.view), rules)), rules)
    expected = PUBLISHED[protocol]([case, NO_TARGET_WRONG, NO_TARGET_RIGHT, PERFECT])
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-13), name


def test_objects_that_overlap_are_lost_where_gsva_merges_them() -> None:
    """gRefCOCO expressions about several objects: GSVA's loader adds their masks up, so shared pixels are neither 0 nor 1."""
    from mmud.evaluators.protocols import GSVA, LISA

    first, second = box(0, 0, 20, 20), box(10, 10, 20, 20)
    labels = [Label(Mask.from_array(first)), Label(Mask.from_array(second))]
    (gsva,) = label_masks([labels], GSVA.view)
    (lisa,) = label_masks([labels], LISA.view)
    assert np.array_equal(gsva.decode(), first ^ second)
    assert np.array_equal(lisa.decode(), first | second)


def test_protocols_are_data_and_names_are_checked() -> None:
    assert names_of("all")[0] == "mmud"
    assert set(names_of("all")) == set(PUBLISHED)
    assert names_of("lisa, rela") == ("lisa", "rela")
    for name in PUBLISHED:
        protocol = PROTOCOLS.get(name)
        assert isinstance(protocol, Protocol)
        assert protocol.name == name
    with pytest.raises(Exception, match="MM004"):
        names_of("lsa")


def test_the_signature_says_the_rules(tmp_path: Path) -> None:
    found = score_mask_files(*write(tmp_path, BASE), ("mmud", "gsva"), resampler=Resampler(0))
    fields = parse(found.metrics["gIoU"].signature)
    assert fields["metric"] == "gIoU"
    assert fields["unit"] == "object"
    assert fields["empty"] == "1"
    assert fields["missing"] == "0"
    assert fields["res"] == "original"
    assert fields["reduction"] == "mean"
    assert fields["n"] == "4"
    assert fields["version"].startswith("mmud-")
    assert parse(found.protocols["gsva"]["cIoU"].signature)["eps"] == "1e-08"
    assert parse(found.metrics["N-acc"].signature)["n"] == "2"

"""The parts of validation against independent ways of saying the same thing: exact fractions, double loops, Pillow in full."""

from __future__ import annotations

import io
import unicodedata
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco
from validation_world import HEIGHT, WIDTH, encoded, picture, rectangle

from mmud.annotations.masks import Mask
from mmud.annotations.wording import answer_repeats_question, content_words, speaks_of_nothing_here
from mmud.dataset.checks import characters
from mmud.dataset.checks.batch import decode_masks
from mmud.dataset.checks.image_reading import read_image
from mmud.dataset.checks.outlines import crossing, draw, retraced
from mmud.dataset.checks.repeats import NEAR_BITS, near_repeats, repeats
from mmud.dataset.checks.text import leftovers

# -- polygons ----------------------------------------------------------------------------------------------------------------

points = st.tuples(st.integers(0, 6), st.integers(0, 6))
outlines = st.lists(st.lists(points, min_size=3, max_size=12), min_size=1, max_size=6)


def _side(a: tuple[int, int], b: tuple[int, int], p: tuple[int, int]) -> Fraction:
    return Fraction(b[0] - a[0]) * (p[1] - a[1]) - Fraction(b[1] - a[1]) * (p[0] - a[0])


def _crosses(outline: list[tuple[int, int]]) -> bool:
    edges = list(zip(outline, outline[1:] + outline[:1], strict=True))
    for i, (a, b) in enumerate(edges):
        for c, d in edges[i + 1 :]:
            if _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0:
                return True
    return False


@settings(max_examples=300, deadline=None)
@given(outlines)
def test_crossings_are_those_of_exact_arithmetic(polygons: list[list[tuple[int, int]]]) -> None:
    # A third of a pixel is no binary fraction: rounding must not make crossings.
    arrays = [np.array(polygon, dtype=float) / 3 for polygon in polygons]
    assert crossing(arrays) == {i for i, polygon in enumerate(polygons) if _crosses(polygon)}


@settings(max_examples=300, deadline=None)
@given(outlines)
def test_retraced_edges_are_those_of_a_double_loop(polygons: list[list[tuple[int, int]]]) -> None:
    def retraces(outline: list[tuple[int, int]]) -> bool:
        edges = list(zip(outline, outline[1:] + outline[:1], strict=True))
        return any(a != b and (b, a) in edges for a, b in edges)

    found = retraced([np.array(polygon, dtype=float) for polygon in polygons])
    assert found == {i for i, polygon in enumerate(polygons) if retraces(polygon)}


@settings(max_examples=50, deadline=None)
@given(outlines)
def test_outlines_are_drawn_as_coco_draws_them(polygons: list[list[tuple[int, int]]]) -> None:
    flat = [[float(number) * 7 for point in polygon for number in point] for polygon in polygons]
    drawn = draw([np.array(numbers).reshape(-1, 2) for numbers in flat], HEIGHT, WIDTH)
    expected = coco.frPyObjects(flat, HEIGHT, WIDTH)
    assert [mask.counts for mask in drawn] == [rle["counts"] for rle in expected]


# -- masks -------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_masks_are_measured_as_coco_measures_them(runs: list[int]) -> None:
    rest = HEIGHT * WIDTH - sum(runs)
    rle = coco.frPyObjects({"size": [HEIGHT, WIDTH], "counts": [*runs, rest]}, HEIGHT, WIDTH)
    item = {**rectangle(1, 1, 2, 2), "segmentation": {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}}
    ((found,),) = decode_masks([{"width": WIDTH, "height": HEIGHT, "objects": [item]}])
    assert found is not None
    assert found.mask is not None
    array = coco.decode(rle)
    assert np.array_equal(found.mask.decode(), array)
    assert found.area == array.sum()
    # Equal pixels have equal counts, however they were stored.
    assert found.mask.counts == Mask.from_array(array).counts
    if found.area:
        rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
        box = (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        assert found.bbox == box


# -- repeats -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=25))
def test_repeats_are_those_of_a_dictionary(members: list[tuple[int, int]]) -> None:
    members.sort(key=lambda member: member[1])
    digests = np.array([[value, 7 * value] for value, _ in members], dtype=np.uint64).reshape(-1, 2)
    splits = np.array([split for _, split in members], dtype=np.intp)
    expected = set()
    first: dict[int, int] = {}
    first_of_split: dict[tuple[int, int], int] = {}
    for position, (value, split) in enumerate(members):
        if value == 0:
            continue  # zero stands for none
        if (value, split) in first_of_split:
            expected.add((position, first_of_split[value, split]))
        elif value in first:
            expected.add((position, first[value]))
        first.setdefault(value, position)
        first_of_split.setdefault((value, split), position)
    assert {(found.position, found.earlier) for found in repeats(digests, splits)} == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**6), st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=20))
def test_near_repeats_are_those_of_a_double_loop(members: list[tuple[int, int, int, bool]]) -> None:
    members.sort(key=lambda member: member[2])
    # Hashes a few bits apart, in the low and in the high half.
    hashes = [(value & 7) | (value >> 3) << 60 | 0xFFFF0000 for value, _, _, _ in members]
    digests = [value for _, value, _, _ in members]
    splits = [split for _, _, split, _ in members]
    usable = [flag for _, _, _, flag in members]
    expected = {}
    for i in range(len(members)):
        earlier = [j for j in range(len(members)) if splits[j] < splits[i]]
        if any(digests[j] == digests[i] != 0 for j in earlier) or not usable[i]:
            continue
        near = [((hashes[i] ^ hashes[j]).bit_count(), j) for j in earlier if usable[j]]
        if near and min(near)[0] <= NEAR_BITS:
            expected[i] = min(near)
    found = near_repeats(
        np.array(hashes, dtype=np.uint64),
        np.array(usable, dtype=bool),
        np.array([[value, value] for value in digests], dtype=np.uint64).reshape(-1, 2),
        np.array(splits, dtype=np.intp),
    )
    assert {repeat.position: (repeat.bits, repeat.earlier) for repeat in found} == expected


# -- images ------------------------------------------------------------------------------------------------------------------


def _pillow_decodes(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except (OSError, SyntaxError):
        return False
    return True


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "WEBP", "GIF", "CMYK"])
def test_a_cut_image_is_found_where_pillow_in_full_finds_it(kind: str) -> None:
    image = picture(3, 200, 150, "CMYK" if kind == "CMYK" else "RGB")
    data = {
        "progressive": lambda: encoded(image, "JPEG", progressive=True, quality=90),
        "CMYK": lambda: encoded(image, "JPEG", quality=90),
    }.get(kind, lambda: encoded(image, kind))()
    assert read_image(data, None, Path()).problem is None
    for cut in range(len(data) // 12, len(data), max(len(data) // 25, 1)):
        facts = read_image(data[:cut], None, Path())
        assert (facts.problem is None) == _pillow_decodes(data[:cut]), cut


def test_formats_that_run_programs_are_never_opened() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    facts = read_image(postscript, "x.eps", Path())
    assert facts.problem is not None
    assert facts.problem[0].id == "MM502"


def test_a_fine_pattern_is_not_blank() -> None:
    """Averaged to grey it is: the verdict comes from all pixels."""
    array = np.indices((256, 256)).sum(axis=0) % 2 * 255
    facts = read_image(encoded(Image.fromarray(array.astype(np.uint8))), None, Path())
    assert not facts.blank


# -- text --------------------------------------------------------------------------------------------------------------------


def test_line_separators_are_those_that_python_splits_at() -> None:
    """Python's `str.splitlines` names them; of its set the line feed is allowed, and the separators 1C to 1E are controls."""
    splitting = {chr(code) for code in range(0x2100) if len(f"a{chr(code)}b".splitlines()) == 2}
    found = {chr(code) for code in range(0x2100) if characters.LINE_SEPARATORS.fullmatch(chr(code))}
    assert found == splitting - {"\n", "\x1c", "\x1d", "\x1e"}


def test_control_characters_are_those_of_unicode() -> None:
    controls = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"}
    found = {chr(code) for code in range(0x110000) if characters.CONTROLS.fullmatch(chr(code))}
    assert found == controls - {"\t", "\n", "\r", "\v", "\f", "\x85"}


@pytest.mark.parametrize(
    "text",
    [
        "café",
        "naïve",
        "“quoted”",
        "Zürich – Genève",
        "ÄÖÜ",
        "日本語",
        "Ångström",
        "Ã",
        "“café”—",
        "„Ä“",
        "Привет",
        "été…”",
    ],
)
@pytest.mark.parametrize("wrong", ["latin-1", "cp1252"])
def test_wrongly_decoded_text_is_told_from_right_text(text: str, wrong: str) -> None:
    """The reference is the mistake itself: UTF-8 read with another encoding."""
    assert not characters.MOJIBAKE.search(text)
    try:
        broken = text.encode("utf-8").decode(wrong)
    except UnicodeDecodeError:
        pytest.skip("this encoding cannot even make the mistake")
    assert characters.MOJIBAKE.search(broken)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("##Question: why?", "MM415"),
        ("yes <SEP> no", "MM415"),
        ("[INST] describe [/INST]", "MM415"),
        ("<|im_start|>user", "MM415"),
        ("a photo of {caption}", "MM415"),
        ("Answer: the dog", "MM415"),
        ("Lorem ipsum dolor", "MM415"),
        ("As an AI language model, I", "MM416"),
        ("I'm sorry, but", "MM416"),
        ("I cannot see the image", "MM416"),
        ("No image was provided", "MM416"),
        ("The dog <LCL-1> sits: it waits, as a guard may [here].", None),
        ("A man says I can see you", None),
        ("The answer is to the left; #3 on the shirt", None),
    ],
)
def test_leftovers(text: str, code: str | None) -> None:
    assert [found.id for found, _ in leftovers(text)] == ([code] if code else [])


@pytest.mark.parametrize(
    ("question", "answer", "repeated"),
    [
        ("What colour is the red ball?", "The ball is red.", True),
        ("What colour is the ball?", "The ball is red.", False),
        ("Where is the red ball?", "The red ball <LCL-1>", False),
        ("Which is nearer, the cat or the dog?", "The dog.", False),
        ("Is the ball red?", "The ball is red.", False),
        ("Why?", "Yes.", False),
    ],
)
def test_answers_that_repeat_their_question(question: str, answer: str, repeated: bool) -> None:
    assert answer_repeats_question(question, answer) is repeated


@pytest.mark.parametrize(
    ("question", "answer", "unrelated"),
    [
        ("What is the capital of France?", "Paris.", True),
        ("Which animal barks?", "Dogs do.", False),
        ("What might happen in this scene?", "Somebody falls.", False),
        ("What is shown?", "Water.", False),
        ("What is the boiling point of water?", "100 degrees <LCL-1>.", False),
    ],
)
def test_pairs_that_speak_of_nothing_here(question: str, answer: str, unrelated: bool) -> None:
    known = content_words("a brown dog on the grass")
    assert speaks_of_nothing_here(question, answer, known) is unrelated
    assert not speaks_of_nothing_here(question, answer, set())

"""Texts that splits share. Expected values: Python's own sets, the published detection probability, all pairs by brute force."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations.shingles import (
    BANDS,
    ROWS,
    ShingleStore,
    WordHashes,
    jaccard,
    shingles_of,
    signatures,
    words_of,
)
from mmud.dataset.leakage.corpus import Corpus
from mmud.dataset.leakage.texts import text_matches
from mmud.dataset.writer import write_dataset
from mmud.records import MaskedObject, Sample

words_strategy = st.lists(st.sampled_from(list("abcdef")), max_size=25)


def runs(words: list[str]) -> set[tuple[str, ...]]:
    size = min(3, len(words))
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)} if words else set()


@given(words_strategy, words_strategy)
def test_shingles_are_the_set_of_word_runs(first: list[str], second: list[str]) -> None:
    hashes = WordHashes()
    a, b = shingles_of(hashes(first)), shingles_of(hashes(second))
    assert len(a) == len(runs(first))
    together = runs(first) | runs(second)
    expected = len(runs(first) & runs(second)) / len(together) if together else 0.0
    assert jaccard(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog <LCL-1>, and the CAT<LCL-2>!", ["the", "dog", "and", "the", "cat"]),
        ("Straße — ﬁve\u00a0o'clock", ["strasse", "five", "o", "clock"]),
        ("", []),
        ("<LCL-1>", []),
        ("snake_case 3rd", ["snake", "case", "3rd"]),
    ],
)
def test_words_that_count(text: str, expected: list[str]) -> None:
    assert words_of(text) == expected


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_bands_find_pairs_as_often_as_published(share: float) -> None:
    """1 - (1 - s**4)**32 (Leskovec, Rajaraman and Ullman, section 3.4.2), within 4 standard errors of 1,500 pairs."""
    generator = np.random.default_rng(int(share * 100))
    pairs, size = 1_500, 120
    common = round(2 * size * share / (1 + share))
    first, second = [], []
    for _ in range(pairs):
        values = generator.integers(0, 2**64, 2 * size - common, dtype=np.uint64)
        first.append(np.sort(values[:size]))
        second.append(np.sort(np.concatenate([values[:common], values[size:]])))
    exact = np.mean([jaccard(a, b) for a, b in zip(first, second, strict=True)])
    found = (signatures(first) == signatures(second)).any(axis=1).mean()
    expected = 1 - (1 - exact**ROWS) ** BANDS
    assert abs(found - expected) < 4 * np.sqrt(max(expected * (1 - expected), 1e-4) / pairs)


def test_signatures_do_not_depend_on_their_neighbours() -> None:
    generator = np.random.default_rng(0)
    texts = [np.sort(generator.integers(0, 2**64, int(generator.integers(1, 90)), dtype=np.uint64)) for _ in range(600)]
    together = signatures(texts)
    assert (np.concatenate([signatures([text]) for text in texts]) == together).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(words_strategy, max_size=8))
def test_the_store_gives_back_what_it_was_given(texts: list[list[str]]) -> None:
    store, hashes = ShingleStore(), WordHashes()
    sets = [shingles_of(hashes(words)) for words in texts]
    for shingles in sets:
        store.append(shingles)
    store.finish()
    assert len(store) == len(sets)
    assert all((store[number] == shingles).all() for number, shingles in enumerate(sets))
    store.close()


def sample(sample_id: str, caption: str = "", question: str = "", phrases: tuple[str, ...] = ()) -> Sample:
    objects = tuple(MaskedObject(phrases=(phrase,)) for phrase in phrases)
    return Sample(
        sample_id=sample_id, width=4, height=4, source="x", caption=caption, question=question, objects=objects
    )


LONG = (
    "a brown dog runs over the wet grass while two children in red coats throw a ball to each other near the old wall"
)


def matches_of(tmp_path: Path, splits: dict[str, list[Sample]], similarity: float = 0.7) -> dict[str, dict[str, str]]:
    corpus = Corpus([write_dataset(tmp_path / f"d{random.random()}", splits)])  # type: ignore[arg-type]
    found: dict[str, dict[str, str]] = {}
    for name, matches in text_matches(corpus, similarity).items():
        for kind in ("same", "near"):
            own = getattr(matches, kind)
            names = corpus.names({position for match in own for position in (match.leaked, match.counterpart)})
            found[f"{kind} {name}"] = {names[match.leaked]: names[match.counterpart] for match in own}
    return found


def test_planted_texts(tmp_path: Path) -> None:
    question = "which animal would be the first to reach the ball?"
    long_question = "which of the animals near the old wall would be the first to reach the ball that the child throws"
    phrases = ("the brown dog", "left child", "child with the ball", "the old wall")
    splits = {
        "train": [
            sample("same caption", LONG.upper() + "."),
            sample("near caption", LONG.replace("two children", "several children")),
            sample("other caption", " ".join(reversed(LONG.split()))),
            sample("same question", question="Which animal <LCL-1> would be the FIRST to reach the ball"),
            sample("near question", question=f"{long_question} today"),
            sample("other question", question=f"{question} Say why, and where it is now, and who will have it then"),
            sample("short", "a brown dog", "who barks?", ("the dog", "a wall")),
            sample("phrases", phrases=(*reversed(phrases), "Left child!")),
            sample("fewer phrases", phrases=phrases[:3]),
        ],
        "test": [
            sample("t caption", LONG),
            sample("t question", question=question),
            sample("t long question", question=long_question),
            sample("t short", "a brown dog", "who barks?", ("the dog", "a wall")),
            sample("t phrases", phrases=phrases),
        ],
    }
    assert matches_of(tmp_path, splits, similarity=0.55) == {
        "same caption": {"same caption": "t caption"},
        "near caption": {"near caption": "t caption"},
        "same question": {"same question": "t question"},
        "near question": {"near question": "t long question"},
        "same phrases": {"phrases": "t phrases"},
        "near phrases": {},
    }


def test_a_text_that_thousands_share_costs_little(tmp_path: Path) -> None:
    splits = {
        "train": [sample(f"a{number}", LONG, LONG) for number in range(3_000)],
        "test": [sample(f"b{number}", LONG, LONG + " now") for number in range(3_000)],
    }
    found = matches_of(tmp_path, splits)
    assert len(found["same caption"]) == len(found["near question"]) == 3_000
    assert set(found["same caption"].values()) == {"b0"}


def _edited(words: list[str], draw: random.Random, share: float) -> list[str]:
    """Some words dropped, replaced or repeated."""
    found = []
    for word in words:
        chance = draw.random()
        if chance < share / 3:
            continue
        found.append("thing" if chance < 2 * share / 3 else word)
        if chance > 1 - share / 3:
            found.append(word)
    return found


def test_recall_on_real_captions(shared_data: Path, tmp_path: Path) -> None:
    """600 captions of COCO val2017 (five sentences joined, some 52 words) edited a little, among 1,200 others; every pair
    compared by brute force says which are near-duplicates."""
    draw = random.Random(3)
    sentences = defaultdict(list)
    for entry in json.loads((shared_data / "captions/captions_val2017.json").read_bytes())["annotations"]:
        sentences[entry["image_id"]].append(entry["caption"])
    texts = [" ".join(part) for _, part in sorted(sentences.items())][:1_800]
    edited = [" ".join(_edited(text.split(), draw, draw.choice((0.02, 0.05, 0.08, 0.15)))) for text in texts[:600]]
    splits = {
        "train": [sample(f"e{number}", text) for number, text in enumerate(edited)]
        + [sample(f"u{number}", text) for number, text in enumerate(texts[1_200:])],
        "test": [sample(f"t{number}", text) for number, text in enumerate(texts[:1_200])],
    }
    similarity = 0.6
    left = {entry.sample_id: runs(words_of(entry.caption)) for entry in splits["train"]}
    right = {entry.sample_id: runs(words_of(entry.caption)) for entry in splits["test"]}
    owners = defaultdict(list)
    for name, own in right.items():
        for run in own:
            owners[run].append(name)
    expected: dict[str, set[str]] = {}
    for name, own in left.items():
        for other in {other for run in own for other in owners[run]}:
            shared = len(own & right[other])
            if shared / (len(own) + len(right[other]) - shared) >= similarity:
                expected.setdefault(name, set()).add(other)
    found = matches_of(tmp_path, splits, similarity)
    together = {**found["near caption"], **found["same caption"]}
    right_ones = {name for name, other in together.items() if other in expected.get(name, ())}
    assert len(expected) > 400
    assert len(right_ones) == len(together)
    assert len(right_ones) / len(expected) >= 0.98

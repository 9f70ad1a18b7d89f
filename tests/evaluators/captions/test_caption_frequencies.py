"""Document frequencies: counted as pycocoevalcap counts them, frozen in files, named by their content."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from captions_corpora import Candidates, References, corpora
from hypothesis import given, settings

from mmud.errors import MmudError
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.frequency_files import load_frequencies, save_frequencies
from mmud.evaluators.captions.score import score_captions

REFERENCES = {
    "1": ["A dog runs on the grass.", "The dog is on the grass."],
    "2": ["A cat runs on the roof.", "A cat, no. 5, mixes 1 1/2 cups."],
    "3": ["A dog and a cat run on the grass.", "It mixes 1 1/2 cups."],
}


def spelt_out(frequencies: DocumentFrequencies) -> dict[tuple[str, ...], int]:
    words: list[tuple[str, ...]] = [()]
    found: dict[tuple[str, ...], int] = {}
    for table in frequencies.tables:
        pairs = zip(table.first, table.rest, strict=True)
        words = [(frequencies.vocabulary[first], *words[rest]) for first, rest in pairs]
        found |= dict(zip(words, table.count.tolist(), strict=True))
    return found


@settings(deadline=None, max_examples=60)
@given(corpora())
def test_frequencies_are_those_that_the_reference_implementation_counts(corpus: tuple[References, Candidates]) -> None:
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    references, _ = corpus
    scorer = CiderScorer()
    for group in references.values():
        scorer += ("", [" ".join(tokens) for tokens in group])
    scorer.compute_doc_freq()
    expected = {ngram: int(count) for ngram, count in scorer.document_frequency.items() if count >= 2}
    frequencies = DocumentFrequencies.from_tokens(list(references.values()))
    assert spelt_out(frequencies) == expected
    assert frequencies.documents == len(references)


@pytest.mark.parametrize("name", ["frequencies.json", "frequencies.npz"])
def test_a_file_gives_back_what_was_saved(tmp_path: Path, name: str) -> None:
    frequencies = DocumentFrequencies.from_references(REFERENCES)
    save_frequencies(frequencies, tmp_path / name)
    loaded = load_frequencies(tmp_path / name)
    assert spelt_out(loaded) == spelt_out(frequencies)
    assert loaded.content_hash == frequencies.content_hash
    candidates = {"1": "A dog runs.", "2": "A cat on the roof.", "3": "A dog mixes 1 1/2 cups."}
    own = score_captions(REFERENCES, candidates)
    frozen = score_captions(REFERENCES, candidates, frequencies=loaded)
    np.testing.assert_array_equal(own.columns.cider_d, frozen.columns.cider_d)


@pytest.mark.parametrize("name", ["empty.json", "empty.npz"])
def test_frequencies_without_an_ngram_can_be_kept(tmp_path: Path, name: str) -> None:
    frequencies = DocumentFrequencies.from_references({"1": ["dog"], "2": ["cat"]})
    save_frequencies(frequencies, tmp_path / name)
    assert load_frequencies(tmp_path / name).content_hash == frequencies.content_hash


def test_the_hash_is_the_content_and_not_the_order() -> None:
    forwards = DocumentFrequencies.from_references(REFERENCES)
    backwards = DocumentFrequencies.from_references(dict(reversed(REFERENCES.items())))
    assert forwards.content_hash == backwards.content_hash
    fewer = DocumentFrequencies.from_references({name: REFERENCES[name] for name in ("1", "2")})
    assert fewer.content_hash != forwards.content_hash
    assert len(forwards.name) == 8


def refused(path: Path, code: str) -> None:
    with pytest.raises(MmudError) as caught:
        load_frequencies(path)
    assert caught.value.code.id == code


def test_a_changed_json_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    save_frequencies(DocumentFrequencies.from_references(REFERENCES), path)
    content = json.loads(path.read_text())
    for change in (
        {"documents": 4},
        {"counts": content["counts"] | {"a": 2}},
        {"counts": content["counts"] | {"a": -1}},
        {"counts": content["counts"] | {"a": 2.5}},
        {"counts": content["counts"] | {"two new words": 2}},
        {"counts": []},
        {"format": "another"},
        {"documents": None},
        {"sha256": 3},
    ):
        path.write_text(json.dumps(content | change))
        refused(path, "MM856")
    path.write_text("{")
    refused(path, "MM856")
    path.write_bytes(b"\xff\xfe")
    refused(path, "MM856")


def test_a_changed_array_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    save_frequencies(DocumentFrequencies.from_references(REFERENCES), path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    changes = (
        {"count_1": arrays["count_1"] + 1},
        {"count_1": arrays["count_1"] * 100},
        {"first_2": arrays["first_2"] + 1000},
        {"rest_2": -arrays["rest_2"] - 1},
        {"first_1": arrays["first_1"][::-1]},
        {"first_1": arrays["first_1"].astype(float)},
        {"count_3": arrays["count_3"][:-1]},
        {"vocabulary": np.array(["a", None], dtype=object)},
    )
    for change in changes:
        np.savez(path, **(arrays | change))
        refused(path, "MM856")
    path.write_bytes(path.read_bytes()[:-40])
    refused(path, "MM856")
    path.write_bytes(b"no zip")
    refused(path, "MM856")


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    refused(tmp_path / "none.npz", "MM002")


def test_frequencies_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    other = DocumentFrequencies.from_tokens([[["a", "b"]], [["a", "b"]]], tokenizer="other.1")
    for name in ("f.json", "f.npz"):
        save_frequencies(other, tmp_path / name)
        refused(tmp_path / name, "MM857")


@pytest.mark.data
def test_fewer_images_make_another_cider_unless_frequencies_are_frozen(shared_data: Path) -> None:
    """Ten images among ten and among 1,000: the trap that frozen frequencies are for."""
    from mmud.evaluators.captions.coco_files import read_references

    captions = read_references(shared_data / "captions" / "captions_val2017.json")
    split = {name: captions[name] for name in list(captions)[:1000]}
    ten = {name: group[1:] for name, group in list(split.items())[:10]}
    candidates = {name: split[name][0] for name in ten}
    frequencies = DocumentFrequencies.from_references({name: group[1:] for name, group in split.items()})
    whole = score_captions(
        {name: group[1:] for name, group in split.items()}, {name: group[0] for name, group in split.items()}
    )
    frozen = score_captions(ten, candidates, frequencies=frequencies)
    np.testing.assert_array_equal(frozen.columns.cider_d, whole.columns.cider_d[:10])
    assert abs(score_captions(ten, candidates).metrics["cider_d"] - frozen.metrics["cider_d"]) > 0.05

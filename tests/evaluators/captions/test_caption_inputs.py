"""What is refused, with which code, and what an odd input is worth where it is not refused."""

from __future__ import annotations

import pytest

from mmud.errors import ExitCode, MmudError, catalogue
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.inputs import LONGEST_CAPTION
from mmud.evaluators.captions.score import score_captions, score_tokens

REFERENCES = {"1": ["A dog runs on the grass.", "A dog on grass."], "2": ["Two cats sleep."]}
CANDIDATES = {"1": "A dog runs.", "2": "Two cats."}


def refused(code: str, exit_code: ExitCode, references: object, candidates: object, **options: object) -> MmudError:
    with pytest.raises(MmudError) as caught:
        score_captions(references, candidates, **options)  # type: ignore[arg-type]
    assert caught.value.code.id == code
    assert caught.value.exit_code == exit_code
    return caught.value


def test_missing_captions_are_refused_by_name() -> None:
    many = {str(index): ["a dog"] for index in range(20)}
    error = refused("MM850", ExitCode.PREDICTIONS, many, {"3": "a dog"})
    assert "19 of 20" in error.message
    assert "0, 1, 2, 4, 5 and 14 more" in error.message


def test_missing_captions_can_be_empty_ones() -> None:
    filled = score_captions(REFERENCES, {"1": "A dog runs."}, missing="empty")
    empty = score_captions(REFERENCES, {"1": "A dog runs.", "2": ""})
    assert filled.metrics == empty.metrics
    assert filled.metrics["empty_share"] == 0.5
    assert "missing:empty" in filled.signature("bleu_4")
    assert "missing" not in empty.signature("bleu_4")


def test_captions_of_unknown_images_are_refused_or_ignored() -> None:
    error = refused("MM851", ExitCode.PREDICTIONS, REFERENCES, CANDIDATES | {"9": "x", "8": "y"})
    assert "9, 8" in error.message
    ignored = score_captions(REFERENCES, CANDIDATES | {"9": "x"}, extra="ignore")
    assert ignored.metrics == score_captions(REFERENCES, CANDIDATES).metrics


@pytest.mark.parametrize("caption", [None, 3, float("nan"), ["a dog"], b"a dog"])
def test_what_is_not_text_is_refused(caption: object) -> None:
    error = refused("MM853", ExitCode.PREDICTIONS, REFERENCES, CANDIDATES | {"2": caption})
    assert error.where.sample == "2"
    refused("MM853", ExitCode.PREDICTIONS, REFERENCES | {"2": [caption]}, CANDIDATES)


def test_a_string_in_place_of_a_list_of_references_is_refused() -> None:
    refused("MM853", ExitCode.PREDICTIONS, {"1": "A dog", "2": ["x"]}, CANDIDATES)


def test_endless_captions_are_refused() -> None:
    refused("MM853", ExitCode.PREDICTIONS, REFERENCES, CANDIDATES | {"1": "a" * (LONGEST_CAPTION + 1)})


def test_no_image_and_no_reference_are_refused() -> None:
    refused("MM854", ExitCode.USAGE, {}, {})
    refused("MM854", ExitCode.USAGE, REFERENCES | {"2": []}, CANDIDATES)


def test_references_without_a_word_are_refused_when_all_are_so() -> None:
    refused("MM854", ExitCode.USAGE, {"1": ["", "."], "2": ["..."]}, CANDIDATES)


def test_empty_references_of_one_image_score_it_zero() -> None:
    scores = score_captions({"1": [""], **{k: v for k, v in REFERENCES.items() if k == "2"}}, CANDIDATES)
    for name in ("cider_d", "cider", "rouge_l", "bleu_4"):
        assert scores.per_image(name)[0] == pytest.approx(0, abs=1e-6), name


def test_empty_captions_score_zero() -> None:
    scores = score_captions(REFERENCES, {"1": "", "2": " . "})
    for name in ("cider_d", "cider", "rouge_l", "bleu_1", "bleu_4", "words", "length_ratio", "distinct_1"):
        assert scores.metrics[name] == 0, name
    assert scores.metrics["empty_share"] == 1


def test_one_image_needs_frequencies_for_cider_only() -> None:
    one = {"1": REFERENCES["1"]}
    refused("MM855", ExitCode.USAGE, one, {"1": "A dog."})
    without = score_captions(one, {"1": "A dog runs on the grass."}, cider=False)
    assert "cider_d" not in without.metrics
    assert without.metrics["rouge_l"] == 1
    frozen = DocumentFrequencies.from_references(REFERENCES)
    assert score_captions(one, {"1": "A dog."}, frequencies=frozen).metrics["cider_d"] > 0
    of_one = DocumentFrequencies.from_references(one)
    refused("MM855", ExitCode.USAGE, REFERENCES, CANDIDATES, frequencies=of_one)


def test_tokens_given_are_named_as_such() -> None:
    scores = score_tokens({"1": [["a"]], "2": [["b"]]}, {"1": ["a"], "2": ["b"]})
    assert "tok:given" in scores.signature("rouge_l")
    with pytest.raises(MmudError) as caught:
        score_tokens({"1": [["a"]], "2": [["b"]]}, {"1": ["a"]})
    assert caught.value.code.id == "MM850"


def test_every_code_is_in_the_catalogue() -> None:
    assert {f"MM85{digit}" for digit in range(10)} <= set(catalogue())

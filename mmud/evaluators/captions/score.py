"""Score captions against references: `score_captions` for text, `score_tokens` for text that is tokenised already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError, Place
from mmud.evaluators.captions import codes
from mmud.evaluators.captions.bleu import count_bleu
from mmud.evaluators.captions.cider import CiderScores, score_cider
from mmud.evaluators.captions.columns import DISTINCT_ORDERS, CaptionColumns
from mmud.evaluators.captions.corpus import TokenizedCorpus
from mmud.evaluators.captions.distinct import distinct_within
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies, image_counts
from mmud.evaluators.captions.metrics import CIDER_METRICS, METRICS, per_image, reduce_columns, signature_fields
from mmud.evaluators.captions.ngrams import Matches, NgramCounts, count_ngrams, match_candidates
from mmud.evaluators.captions.rouge import score_rouge_l
from mmud.evaluators.captions.tokenizer import TOKENIZER_NAME, tokenize
from mmud.evaluators.signatures import signature

Floats = NDArray[np.float64]
Tokens = Sequence[str]

#: The longest caption that is tokenised, in characters.
LONGEST_CAPTION = 50_000
# How many ids a message names.
_NAMED = 5


@dataclass(frozen=True, eq=False)
class CaptionScores:
    """What `score_captions` found.

    Attributes:
        columns: The sufficient statistics, a row an image, in the order of the references.
        tokenizer: The name of the tokenizer; "given" for captions that came as tokens.
        frequencies: "self", or the name of the frozen document frequencies; "none" when CIDEr was left out.
        filled: Images whose caption was missing and taken as empty.
    """

    columns: CaptionColumns
    tokenizer: str
    frequencies: str
    filled: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """Every figure over all images, CIDEr only where it was asked for."""
        figures = reduce_columns(self.columns)
        return {name: figures[name] for name in METRICS if self.frequencies != "none" or name not in CIDER_METRICS}

    def per_image(self, name: str) -> Floats:
        """One metric of each image, in the order of ``columns.ids``; shape ``(images,)``."""
        return per_image(name, self.columns)

    def signature(self, name: str) -> str:
        """How the figure was made, in one line."""
        counts = self.columns.references
        fewest, most = int(counts.min()), int(counts.max())
        references = str(fewest) if fewest == most else f"{fewest}-{most}"
        fields = signature_fields(name, references, self.tokenizer, self.frequencies)
        if self.filled:
            fields["missing"] = "empty"
        return signature(name, fields, len(self.columns))


def score_captions(
    references: Mapping[str, Sequence[str]],
    candidates: Mapping[str, str],
    *,
    frequencies: DocumentFrequencies | None = None,
    cider: bool = True,
    missing: Literal["refuse", "empty"] = "refuse",
    extra: Literal["refuse", "ignore"] = "refuse",
) -> CaptionScores:
    """CIDEr-D, CIDEr, BLEU, ROUGE-L, lengths and distinct-n of captions.

    Args:
        references: Image id -> its reference captions, at least one.
        candidates: Image id -> the caption to be scored. An empty caption is allowed and scores 0.
        frequencies: Document frequencies frozen from a split; by default they are counted in ``references``.
        cider: False leaves CIDEr out, so that a single image can be scored without frozen frequencies.
        missing: What to do with an image of the references that has no candidate: refuse, or take an empty caption.
        extra: What to do with a candidate whose image has no references: refuse, or ignore.

    Raises:
        MmudError: MM850 for missing candidates, MM851 for extra ones, MM853 for what is not text or too long, MM854 for
            references that are absent or all empty, MM855 for CIDEr on one image without frozen frequencies.
    """
    filled = _check_ids(references, candidates, missing, extra)
    reference_tokens = {}
    for name, captions in references.items():
        if isinstance(captions, str):
            message = "the references of an image must be a list of captions, not one string"
            raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(name)))
        reference_tokens[name] = [_tokenized(caption, name, "reference") for caption in captions]
    candidate_tokens = {name: _tokenized(candidates.get(name, ""), name, "caption") for name in references}
    columns = _columns(reference_tokens, candidate_tokens, frequencies, cider)
    return CaptionScores(columns, TOKENIZER_NAME, _frequency_name(frequencies, cider), filled)


def score_tokens(
    references: Mapping[str, Sequence[Tokens]],
    candidates: Mapping[str, Tokens],
    *,
    frequencies: DocumentFrequencies | None = None,
    cider: bool = True,
) -> CaptionScores:
    """The same for captions that are tokenised already, by whatever tokenizer.

    Raises:
        MmudError: As `score_captions`, MM853 aside.
    """
    _check_ids(references, candidates, "refuse", "refuse")
    columns = _columns(references, candidates, frequencies, cider)
    return CaptionScores(columns, "given", _frequency_name(frequencies, cider))


def _frequency_name(frequencies: DocumentFrequencies | None, cider: bool) -> str:
    if not cider:
        return "none"
    return frequencies.name if frequencies is not None else "self"


def _check_ids(
    references: Mapping[str, object], candidates: Mapping[str, object], missing: str, extra: str
) -> tuple[str, ...]:
    """The ids that are missing and allowed to be."""
    if not references:
        raise MmudError(codes.REFERENCES_UNUSABLE, "there is no image to score")
    absent = [name for name in references if name not in candidates]
    if absent and missing == "refuse":
        raise MmudError(
            codes.CAPTION_MISSING, f"{len(absent)} of {len(references)} images have no caption: {_some(absent)}"
        )
    unknown = [name for name in candidates if name not in references]
    if unknown and extra == "refuse":
        raise MmudError(
            codes.CAPTION_EXTRA, f"{len(unknown)} captions are of images without references: {_some(unknown)}"
        )
    return tuple(absent)


def _some(names: Sequence[object]) -> str:
    more = len(names) - _NAMED
    return ", ".join(str(name) for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _tokenized(caption: object, name: str, what: str) -> list[str]:
    if not isinstance(caption, str):
        message = f"a {what} must be a string, not {type(caption).__name__}: {caption!r:.80}"
        raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(name)))
    if len(caption) > LONGEST_CAPTION:
        message = f"a {what} of {len(caption)} characters; the most is {LONGEST_CAPTION}"
        raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(name)))
    return tokenize(caption)


def _columns(
    references: Mapping[str, Sequence[Tokens]],
    candidates: Mapping[str, Tokens],
    frequencies: DocumentFrequencies | None,
    cider: bool,
) -> CaptionColumns:
    names = list(references)
    bare = [name for name in names if not len(references[name])]
    if bare:
        raise MmudError(codes.REFERENCES_UNUSABLE, f"{len(bare)} images have no reference: {_some(bare)}")
    corpus = TokenizedCorpus.build([references[name] for name in names], [candidates[name] for name in names])
    is_reference = corpus.is_reference
    reference_words = np.bincount(corpus.image, weights=corpus.words.lengths * is_reference, minlength=len(names))
    if frequencies is None and not reference_words.any():
        raise MmudError(codes.REFERENCES_UNUSABLE, "no reference of any image has a word")
    documents = len(names) if frequencies is None else frequencies.documents
    if cider and documents < 2:
        raise MmudError(
            codes.FREQUENCIES_NEEDED, f"CIDEr needs frequencies from 2 images or more, there is {documents}"
        )
    counted = [(counts, match_candidates(counts, corpus.image, is_reference)) for counts in count_ngrams(corpus.words)]
    nothing = np.full(len(names), np.nan)
    scores = _cider(corpus, counted, frequencies) if cider else CiderScores(nothing, nothing)
    bleu = count_bleu(corpus, counted)
    return CaptionColumns(
        ids=tuple(names),
        text=tuple(" ".join(" ".join(candidates[name]).split()) for name in names),
        cider_d=scores.cider_d,
        cider=scores.cider,
        rouge_l=score_rouge_l(corpus),
        bleu_matches=bleu.matches,
        bleu_totals=bleu.totals,
        candidate_words=bleu.candidate_words,
        closest_reference_words=bleu.closest_reference_words,
        reference_words=reference_words.astype(np.int64),
        references=corpus.references,
        distinct=np.stack([distinct_within(counted[n - 1][0], corpus.candidate) for n in DISTINCT_ORDERS], axis=1),
    )


def _cider(
    corpus: TokenizedCorpus,
    counted: Sequence[tuple[NgramCounts, Matches]],
    frequencies: DocumentFrequencies | None,
) -> CiderScores:
    orders = [counts for counts, _ in counted]
    if frequencies is not None:
        return score_cider(corpus, counted, frequencies.lookup(corpus.words, orders), frequencies.documents)
    is_reference = corpus.is_reference
    own = [image_counts(counts, corpus.image, is_reference) for counts in orders]
    return score_cider(corpus, counted, own, corpus.images)

"""Score captions against references: `score_captions` for text, `score_tokens` for text that is tokenised already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError
from mmud.evaluators.captions import codes
from mmud.evaluators.captions.bleu import count_bleu
from mmud.evaluators.captions.cider import CiderScores, score_cider
from mmud.evaluators.captions.columns import DISTINCT_ORDERS, CaptionColumns
from mmud.evaluators.captions.corpus import TokenizedCorpus
from mmud.evaluators.captions.distinct import distinct_within
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies, image_counts
from mmud.evaluators.captions.inputs import Extra, Missing, check_ids, check_text
from mmud.evaluators.captions.metrics import CIDER_METRICS, METRICS, per_image, reduce_columns, signature_fields
from mmud.evaluators.captions.ngrams import Matches, NgramCounts, count_ngrams, match_candidates
from mmud.evaluators.captions.rouge import score_rouge_l
from mmud.evaluators.captions.tokenizer import TOKENIZER_NAME, tokenize
from mmud.evaluators.signatures import signature

Floats = NDArray[np.float64]
Tokens = Sequence[str]


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
    missing: Missing = "refuse",
    extra: Extra = "refuse",
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
    filled = check_ids(references, candidates, missing, extra)
    reference_tokens = {
        name: [tokenize(check_text(caption, name, "reference")) for caption in captions]
        for name, captions in references.items()
    }
    candidate_tokens = {name: tokenize(check_text(candidates.get(name, ""), name, "caption")) for name in references}
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
    check_ids(references, candidates)
    columns = _columns(references, candidates, frequencies, cider)
    return CaptionScores(columns, "given", _frequency_name(frequencies, cider))


def _frequency_name(frequencies: DocumentFrequencies | None, cider: bool) -> str:
    if not cider:
        return "none"
    return frequencies.name if frequencies is not None else "self"


def _columns(
    references: Mapping[str, Sequence[Tokens]],
    candidates: Mapping[str, Tokens],
    frequencies: DocumentFrequencies | None,
    cider: bool,
) -> CaptionColumns:
    names = list(references)
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

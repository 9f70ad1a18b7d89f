"""Tokenised captions as integer arrays: one candidate and its references, image after image.

Words are numbered in alphabetical order, so that whatever is summed in the order of the n-grams' numbers is summed in one
order, whichever other captions are scored along. That is what makes an image's figures the same to the last bit alone, in
a shard or in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Sequences:
    """Captions as numbers of words.

    Attributes:
        vocabulary: The words, sorted; a word's number is its index.
        words: All captions' words, one after the other; shape ``(total words,)``.
        lengths: Words in each caption; shape ``(captions,)``.
    """

    vocabulary: list[str]
    words: Integers
    lengths: Integers

    @cached_property
    def starts(self) -> Integers:
        """Where each caption begins in ``words``, and, last, where the last one ends; shape ``(captions + 1,)``."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)


@dataclass(frozen=True)
class TokenizedCorpus:
    """Candidates and references of a set of images.

    Captions stand image by image, the candidate first, then its references in the order given.

    Attributes:
        tokens: The captions as given, for ROUGE-L.
        words: The same with tokens that hold white space taken apart, for BLEU, CIDEr and lengths: pycocoevalcap splits its
            strings at single spaces for ROUGE-L and at any white space for the others.
        image: The image's index for each caption; shape ``(captions,)``.
        references: How many references each image has; shape ``(images,)``.
    """

    tokens: Sequences
    words: Sequences
    image: Integers
    references: Integers

    @property
    def images(self) -> int:
        return len(self.references)

    @cached_property
    def candidate(self) -> Integers:
        """The caption index of each image's candidate; shape ``(images,)``."""
        return np.cumsum(self.references + 1) - (self.references + 1)

    @cached_property
    def is_reference(self) -> Booleans:
        """Which captions are references; shape ``(captions,)``."""
        mask = np.ones(len(self.image), dtype=np.bool_)
        mask[self.candidate] = False
        return mask

    @classmethod
    def build(
        cls, references: Sequence[Sequence[Sequence[str]]], candidates: Sequence[Sequence[str]]
    ) -> TokenizedCorpus:
        """Number the words of ``candidates[i]`` and ``references[i]`` for each image i."""
        captions: list[Sequence[str]] = []
        for candidate, image_references in zip(candidates, references, strict=True):
            captions.append(candidate)
            captions.extend(image_references)
        counts = np.fromiter((len(group) for group in references), np.int64, len(references))
        tokens = number_words(captions)
        image = np.repeat(np.arange(len(counts)), counts + 1)
        return cls(tokens, split_at_spaces(tokens), image, counts)


def number_words(captions: Sequence[Sequence[str]]) -> Sequences:
    """Number the words of all captions, alphabetically."""
    lengths = np.fromiter(map(len, captions), np.int64, len(captions))
    total = int(lengths.sum())
    vocabulary = sorted(set(chain.from_iterable(captions)))
    number = {word: index for index, word in enumerate(vocabulary)}
    words = np.fromiter(map(number.__getitem__, chain.from_iterable(captions)), np.int64, total)
    return Sequences(vocabulary, words, lengths)


def split_at_spaces(captions: Sequences) -> Sequences:
    """The same captions with each token that holds white space taken apart at it."""
    pieces = [token.split() for token in captions.vocabulary]
    if all(len(piece) == 1 and piece[0] == token for piece, token in zip(pieces, captions.vocabulary, strict=True)):
        return captions
    parts = number_words(pieces)
    counts = parts.lengths[captions.words]
    # Where in ``parts.words`` each word of the result stands: the token's first piece, then the ones after it.
    begin = np.cumsum(counts) - counts
    source = np.repeat(parts.starts[captions.words] - begin, counts) + np.arange(int(counts.sum()))
    caption = np.repeat(np.arange(len(captions.lengths)), captions.lengths)
    lengths = np.bincount(caption, weights=counts, minlength=len(captions.lengths)).astype(np.int64)
    return Sequences(parts.vocabulary, parts.words[source], lengths)

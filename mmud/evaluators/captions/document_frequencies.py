"""In how many images' references each n-gram occurs: the weights of CIDEr, which can be frozen for a split.

CIDEr's figure for an image depends on the set it is scored in, because rare n-grams weigh more. Frequencies taken from the
whole split once, named by a hash in the signature, make figures of parts and of single images comparable.

N-grams of a single image are left out: CIDEr gives an n-gram that it does not know the same weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmud.evaluators.captions.corpus import Booleans, Integers, Sequences, number_words, split_at_spaces
from mmud.evaluators.captions.ngrams import NgramCounts, count_ngrams, first_of_each
from mmud.evaluators.captions.tokenizer import TOKENIZER_NAME, tokenize

#: What the files are called inside; part of the content hash, so a change of the form changes every hash.
FORMAT = "mmud-document-frequencies 1"


@dataclass(frozen=True)
class FrequencyTable:
    """Document frequencies of one order of n-grams, at least 2 each, sorted alphabetically.

    Attributes:
        first: Index of the first word in the vocabulary; shape ``(n-grams,)``.
        rest: Index of the other words in the table one order down; zeros for n = 1.
        count: In how many images' references the n-gram occurs.
    """

    first: Integers
    rest: Integers
    count: Integers


def image_counts(counts: NgramCounts, image: Integers, counted: Booleans) -> Integers:
    """In how many images each distinct n-gram occurs, among the captions that are ``counted``; shape ``(n-grams,)``."""
    entries = counted[counts.caption]
    gram, entry_image = counts.gram[entries], image[counts.caption[entries]]
    return np.bincount(gram[first_of_each(gram, entry_image)], minlength=counts.distinct)


@dataclass(frozen=True)
class DocumentFrequencies:
    """How many images' references have each n-gram, for n from 1 to 4.

    Attributes:
        documents: The number of images counted.
        vocabulary: The words of the unigrams in the table, sorted.
        tables: One table for each order.
        tokenizer: The name of the tokenizer whose tokens were counted.
    """

    documents: int
    vocabulary: tuple[str, ...]
    tables: tuple[FrequencyTable, ...]
    tokenizer: str = TOKENIZER_NAME

    @classmethod
    def from_references(cls, references: Mapping[str, Sequence[str]]) -> DocumentFrequencies:
        """Count the references of a split: image id -> captions, which are tokenised here."""
        return cls.from_tokens([[tokenize(caption) for caption in captions] for captions in references.values()])

    @classmethod
    def from_tokens(
        cls, references: Sequence[Sequence[Sequence[str]]], tokenizer: str = TOKENIZER_NAME
    ) -> DocumentFrequencies:
        """Count references that are tokenised already: for each image, its references' tokens."""
        captions = split_at_spaces(number_words([tokens for group in references for tokens in group]))
        image = np.repeat(np.arange(len(references)), [len(group) for group in references])
        everything = np.ones(len(image), dtype=np.bool_)
        vocabulary: tuple[str, ...] = ()
        tables: list[FrequencyTable] = []
        kept_words = np.zeros(0, dtype=np.int64)
        # For each n-gram one order down, its index among those kept. All but the first word of an n-gram of two images
        # occur in both of them, so whatever is looked up here was kept.
        kept_grams = np.zeros(1, dtype=np.int64)
        for counts in count_ngrams(captions):
            frequency = image_counts(counts, image, everything)
            kept = frequency >= 2
            if counts.order == 1:
                kept_words = np.cumsum(kept) - 1
                vocabulary = tuple(captions.vocabulary[word] for word in counts.first[kept])
            table = FrequencyTable(kept_words[counts.first[kept]], kept_grams[counts.rest[kept]], frequency[kept])
            tables.append(table)
            kept_grams = np.cumsum(kept) - 1
        return cls(len(references), vocabulary, tuple(tables), tokenizer)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the content, the same for the same images in any order and in either file format."""
        digest = hashlib.sha256(f"{FORMAT}\n{self.tokenizer}\n{self.documents}\n".encode())
        digest.update("\n".join(self.vocabulary).encode())
        for table in self.tables:
            for column in (table.first, table.rest, table.count):
                digest.update(len(column).to_bytes(8, "little"))
                digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """What signatures say: the first eight digits of the hash."""
        return self.content_hash[:8]

    def lookup(self, captions: Sequences, counted: Sequence[NgramCounts]) -> list[Integers]:
        """The frequency of each distinct n-gram of a corpus, order by order; 0 for the ones that are not in the tables."""
        number = self._word_numbers
        own_word = np.fromiter(
            (number.get(word, -1) for word in captions.vocabulary), np.int64, len(captions.vocabulary)
        )
        found = np.zeros(1, dtype=np.int64)
        frequencies = []
        for counts, table, (keys, width) in zip(counted, self.tables, self._keys, strict=True):
            first, rest = own_word[counts.first], found[counts.rest]
            wanted = np.where((first >= 0) & (rest >= 0), first * width + rest, -1)
            slot = np.searchsorted(keys, wanted)
            hit = np.zeros(len(wanted), dtype=np.bool_)
            inside = slot < len(keys)
            hit[inside] = keys[slot[inside]] == wanted[inside]
            found = np.where(hit, slot, -1)
            frequency = np.zeros(len(wanted), dtype=np.int64)
            frequency[hit] = table.count[slot[hit]]
            frequencies.append(frequency)
        return frequencies

    @cached_property
    def _word_numbers(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    @cached_property
    def _keys(self) -> list[tuple[Integers, int]]:
        """For each table, one sorted integer an n-gram, and how many numbers its rest can have."""
        widths = [1, *(max(1, len(table.first)) for table in self.tables)]
        return [(table.first * width + table.rest, width) for table, width in zip(self.tables, widths, strict=False)]

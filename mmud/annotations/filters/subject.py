"""A sample as filters see it: its texts read once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from mmud.annotations import tags, wording
from mmud.annotations.linking.profiles import Known, known_of
from mmud.annotations.linking.reading import NounPhrase, noun_phrases, tokens_of
from mmud.records import Sample

_LONGEST_TEXT = 20_000
"""Characters of a text in which nouns are looked for."""


class Subject:
    """One sample, and what was read of it.

    Args:
        sample: without its image.
        vocabulary: the categories of the whole dataset, as `mmud.annotations.linking.nouns.category_key` writes them.
    """

    def __init__(self, sample: Sample, vocabulary: frozenset[str] = frozenset()) -> None:
        self.sample = sample
        self.vocabulary = vocabulary
        self._words: dict[str, list[str]] = {}
        self._phrases: dict[str, list[NounPhrase]] = {}

    @cached_property
    def known(self) -> Known:
        """What categories, phrases and boxes say of the objects."""
        return known_of(self.sample.objects, self.sample.width, self.sample.height, self.vocabulary)

    def text(self, field: str) -> str:
        """A field's text."""
        value: str = getattr(self.sample, field)
        return value

    def words(self, field: str) -> list[str]:
        """The words of a field without its tags, without case."""
        if field not in self._words:
            self._words[field] = wording.words(self.text(field))
        return self._words[field]

    def phrases(self, field: str) -> list[NounPhrase]:
        """The noun phrases of a field whose noun is known."""
        if field not in self._phrases:
            self._phrases[field] = noun_phrases(tokens_of(self.text(field)[:_LONGEST_TEXT]), self.known.nouns)
        return self._phrases[field]

    @cached_property
    def tagged(self) -> list[int]:
        """The objects that the answer's tags point at, each once."""
        return [index for index in tags.indices(self.sample.answer) if 1 <= index <= len(self.sample.objects)]

    @cached_property
    def said_of_it(self) -> set[str]:
        """The content words of phrases, categories and caption: what is known of the sample without the question."""
        return wording.content_words(" ".join(self._said()))

    def _said(self) -> Iterator[str]:
        yield self.sample.caption
        for item in self.sample.objects:
            yield from item.phrases
            yield item.category

"""MM478: tags behind the word for something else."""

from __future__ import annotations

from collections.abc import Iterator

from mmud.annotations import tags
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject
from mmud.annotations.linking.nouns import category_key


class CategoryFilter(Filter[FilterSettings]):
    """Compares the noun right before a tag with the category and phrases of the tag's object."""

    name = "categories"
    codes = (codes.TAG_BEHIND_OTHER_WORD,)

    def look(self, subject: Subject) -> Iterator[Reason]:
        objects = subject.sample.objects
        for phrase in subject.phrases("answer"):
            number, noun = phrase.tagged, phrase.noun
            if number is None or noun is None or not 1 <= number <= len(objects) or noun.weak or not noun.categories:
                continue
            profile = subject.known.profiles[number - 1]
            category = category_key(objects[number - 1].category)
            words = {word for text in profile.texts for word in text.split()} | set(category.split())
            if not category or profile.fits_name(noun.categories) or not words.isdisjoint(phrase.named):
                continue
            mention = quoted(subject.sample.answer[phrase.start : phrase.end], 40)
            message = f"{mention} {tags.render(number)}, whose object is a {quoted(category)}"
            yield Reason(codes.TAG_BEHIND_OTHER_WORD, Label.PAIR, message)
            return

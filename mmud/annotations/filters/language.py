"""MM480: texts in another language than English: by script, and by the small words that every sentence has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar

from pydantic import Field

from mmud.annotations import tags
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject
from mmud.annotations.wording import STOP_WORDS

# Only words that are no English words.
_OTHERS = {
    "Spanish": "el la los las un una unos unas y que con por para del se está están hay sobre entre muy su es en lo al más",
    "French": "le la les des une un et est dans sur avec pour qui que sont deux du au aux ce cette son sa il elle à en près",
    "German": "der die das und ist ein eine einen einem einer mit auf dem den im sind zwei von nicht zu neben vor sich steht",
    "Italian": "il lo gli una uno che con per della del sono nella nel di è un due sul sulla e dei delle si vicino",
    "Portuguese": "uma um os ao com em no na do da dos das que para são está duas dois sobre e é seu sua por ele",
    "Dutch": "het een en van met op zijn is twee naast voor aan bij die dat niet de ook er staat",
    "Swedish": "och en ett på med som är två den det av till för ett inte sitter står",
    "Polish": "i na z w jest się dwa dwie do nie który obok przez to są po od",
    "Indonesian": "yang di dan dengan sebuah seorang dua ada dari ini itu untuk pada sedang",
    "Turkish": "ve bir iki ile olan için üzerinde yanında da de bu var",
}
_NOT_TELLING = frozenset(
    "is in on die a an do no me i to so as at it per con sur son sale pour est den dem war dan de o of van un".split()  # noqa: SIM905
)


class LanguageSettings(FilterSettings):
    """When a text counts as English.

    Attributes:
        latin: least share of Latin letters among the letters.
        small_words: least share of English function words among the words; of texts from 12 words on.
        ahead: by how many words another language's function words must outnumber English ones.
    """

    latin: float = Field(0.7, ge=0, le=1)
    small_words: float = Field(0.05, ge=0, le=1)
    ahead: int = Field(1, ge=1)


_FEWEST_WORDS = 12


@lru_cache(maxsize=1)
def _small_words() -> dict[str, frozenset[str]]:
    return {name: frozenset(words.split()) - STOP_WORDS - _NOT_TELLING for name, words in _OTHERS.items()}


@lru_cache(maxsize=65_536)
def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")


class LanguageFilter(Filter[LanguageSettings]):
    """Tells English from other languages, cheaply: fit for sentences, not for single words."""

    name = "language"
    codes = (codes.NOT_ENGLISH,)
    settings_type: ClassVar[type[FilterSettings]] = LanguageSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        for label in Label:
            for field in label.fields:
                message = self._problem(tags.remove(subject.text(field)), subject.words(field))
                if message is not None:
                    yield Reason(codes.NOT_ENGLISH, label, f"the {field} {message}: {quoted(subject.text(field))}")
                    break

    def _problem(self, text: str, words: list[str]) -> str | None:
        if not text.isascii():
            letters = [character for character in text if character.isalpha()]
            latin = sum(map(_is_latin, letters)) / len(letters) if letters else 1.0
            if latin < self.settings.latin:
                return f"has {latin:.2f} Latin letters, not {self.settings.latin:g}"
        english = sum(word in STOP_WORDS for word in words)
        counts = {name: sum(word in known for word in words) for name, known in _small_words().items()}
        name = max(counts, key=lambda other: (counts[other], other))
        if counts[name] >= 2 and counts[name] >= english + self.settings.ahead:
            return f"has {counts[name]} small words of {name} and {english} of English"
        if len(words) >= _FEWEST_WORDS and english < self.settings.small_words * len(words):
            return f"has {english} small words of English among {len(words)}"
        return None

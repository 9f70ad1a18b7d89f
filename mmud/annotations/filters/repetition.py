"""MM472: texts that repeat themselves.

The share of words in repeated runs is the measure of Rae et al., "Scaling Language Models: Methods, Analysis & Insights from
Training Gopher" (2021), table A1, with runs of four words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import ClassVar

from pydantic import Field

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject


class RepetitionSettings(FilterSettings):
    """How much a text may repeat.

    Attributes:
        in_a_row: most times that a word may follow itself, itself included.
        run: words of a run.
        repeated: largest share of the words that stand in runs which came before; of texts from 20 words on.
    """

    in_a_row: int = Field(3, ge=1)
    run: int = Field(4, ge=2)
    repeated: float = Field(0.6, ge=0, le=1)


_FEWEST_WORDS = 20


def repeated_share(words: Sequence[str], run: int) -> float:
    """The share of words that lie in a run of so many words which the text has had before; 0 for shorter texts."""
    if len(words) < run:
        return 0.0
    seen: set[tuple[str, ...]] = set()
    covered = [False] * len(words)
    for start in range(len(words) - run + 1):
        piece = tuple(words[start : start + run])
        if piece in seen:
            covered[start : start + run] = [True] * run
        seen.add(piece)
    return sum(covered) / len(words)


class RepetitionFilter(Filter[RepetitionSettings]):
    """Looks for words in a row and for runs that come again."""

    name = "repetition"
    codes = (codes.REPEATS_ITSELF,)
    settings_type: ClassVar[type[FilterSettings]] = RepetitionSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        for label in Label:
            for field in label.fields:
                message = self._problem(subject.words(field))
                if message is not None:
                    yield Reason(codes.REPEATS_ITSELF, label, f"the {field} {message}: {quoted(subject.text(field))}")
                    break

    def _problem(self, words: list[str]) -> str | None:
        longest = max(
            (Counter({word: sum(1 for _ in group)}) for word, group in groupby(words)), key=_size, default=None
        )
        if longest is not None and _size(longest) > self.settings.in_a_row:
            word, times = longest.most_common(1)[0]
            return f"has {quoted(word, 20)!r} {times} times in a row"
        if len(words) >= _FEWEST_WORDS:
            share = repeated_share(words, self.settings.run)
            if share > self.settings.repeated:
                return f"has {share:.2f} of its words in runs that came before"
        return None


def _size(counted: Counter[str]) -> int:
    return counted.total()

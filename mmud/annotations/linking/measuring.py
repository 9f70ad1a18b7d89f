"""How well the linker does where the truth is known: tags are taken off, proposed anew, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmud.annotations import tags
from mmud.annotations.linking.linker import LEAST_SCORE, propose_tags
from mmud.records import MaskedObject


@dataclass
class Tally:
    """Counts of tags over texts.

    Attributes:
        texts: with at least one tag.
        wanted: tags that the texts had.
        proposed: tags that were put in their place.
        right: of those, at the same word and of the same object.
    """

    texts: int = 0
    wanted: int = 0
    proposed: int = 0
    right: int = 0

    @property
    def precision(self) -> float | None:
        """Right ones among the proposed; None where nothing was proposed."""
        return self.right / self.proposed if self.proposed else None

    @property
    def recall(self) -> float | None:
        """Right ones among the wanted; None where nothing was wanted."""
        return self.right / self.wanted if self.wanted else None

    def add(self, other: Tally) -> None:
        """Add the counts of other texts."""
        self.texts += other.texts
        self.wanted += other.wanted
        self.proposed += other.proposed
        self.right += other.right


def split_tags(text: str) -> tuple[str, set[tuple[int, int]]]:
    """A text without its tags, and each tag as the end of the words before it and its object's number.

    White space before a tag goes with it; a text that begins with a tag counts it at 0.
    """
    plain: list[str] = []
    length = done = 0
    found = set()
    for tag in tags.parse(text):
        piece = text[done : tag.start].rstrip()
        plain.append(piece)
        length += len(piece)
        found.add((length, tag.index))
        done = tag.end
    return "".join([*plain, text[done:]]), found


def measure(
    text: str, objects: Sequence[MaskedObject], width: int, height: int, least_score: float = LEAST_SCORE
) -> Tally:
    """Compare the tags of a text with those that the linker gives it.

    Args:
        text: with its true tags.
        objects, width, height: see `mmud.annotations.linking.linker.propose_tags`.
        least_score: proposals below it are left out.
    """
    plain, wanted = split_tags(text)
    proposals = propose_tags(plain, objects, width, height)
    found = {(proposal.end, proposal.index) for proposal in proposals if proposal.score >= least_score}
    return Tally(int(bool(wanted)), len(wanted), len(found), len(wanted & found))

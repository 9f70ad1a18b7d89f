"""Proposing and placing tags: ``<LCL-i>`` behind the words that name the i-th object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmud.annotations import tags
from mmud.annotations.linking.matching import SURE, Match, match
from mmud.annotations.linking.profiles import Known, known_of
from mmud.annotations.linking.reading import NounPhrase, coordinated, noun_phrases, tokens_of
from mmud.records import MaskedObject

LEAST_SCORE = 0.8
"""Proposals below this score are not placed unless asked for."""

_ROUNDS = 6
_LONGEST_TEXT = 20_000
"""Characters of a text that are looked at; answers have some hundreds."""


@dataclass(frozen=True, slots=True, order=True)
class Proposal:
    """A mention that may get a tag.

    Attributes:
        start, end: the mention, ``text[start:end]``; the tag belongs at ``end``.
        index: the object's number, from 1.
        score: how sure it is, 0 to 1.
        reason: what it rests on.
    """

    start: int
    end: int
    index: int
    score: float
    reason: str


@dataclass
class _Mention:
    """A noun phrase to be resolved: of the text, or an anchor within a phrase of an object."""

    phrase: NounPhrase
    words: str
    barred: frozenset[int]
    group: int | None = None
    found: Match | None = None


def propose_tags(
    text: str, objects: Sequence[MaskedObject], width: int, height: int, vocabulary: Iterable[str] = ()
) -> list[Proposal]:
    """Mentions of objects that have no tag yet, in the order of the text.

    A mention is recognised by the object's category, a synonym, the nouns of its phrases, its looks (colour, size, pattern), and
    words for its place, which are held against its box. Pronouns are left alone, as is every mention that could mean several
    objects. A number with a plural ("two dogs") gives one proposal an object where exactly so many fit.

    Args:
        text: may hold tags; their mentions are taken as right and not proposed again.
        objects: in the order of their tags.
        width, height: of the image, in pixels.
        vocabulary: further categories that the text may name, such as those of the whole dataset.
    """
    known = known_of(objects, width, height, vocabulary)
    tokens = tokens_of(text[:_LONGEST_TEXT])
    phrases = noun_phrases(tokens, known.nouns)
    mentions = [_Mention(phrase, text[phrase.start : phrase.end], frozenset()) for phrase in phrases]
    for number, run in enumerate(coordinated(phrases, tokens)):
        for position in run:
            mentions[position].group = number
    _take_given(mentions, known)
    anchors = [
        _Mention(anchor.phrase, "", frozenset([anchor.owner]))
        for anchor in known.anchors
        if anchor.phrase.noun is not None and not anchor.phrase.noun.plural
    ]
    _resolve(mentions, anchors, known)
    found = [
        Proposal(
            mention.phrase.start, mention.phrase.end, mention.found.index, mention.found.score, mention.found.reason
        )
        for mention in mentions
        if mention.found is not None and mention.phrase.tagged is None
    ]
    named = {proposal.index for proposal in found} | {tag.index for tag in tags.parse(text)}
    found += [
        proposal
        for mention in mentions
        if mention.phrase.tagged is None
        for proposal in _plural(mention.phrase, known)
        if proposal.index not in named
    ]
    return sorted(found)


def _take_given(mentions: list[_Mention], known: Known) -> None:
    """Mentions that have a tag teach how their objects look."""
    for mention in mentions:
        number = mention.phrase.tagged
        if number is not None and 1 <= number <= len(known.profiles):
            mention.found = Match(number, 1.0, "given")
            if not mention.phrase.related and mention.phrase.count is None:
                known.profiles[number - 1].learn(mention.phrase.features)


def _resolve(mentions: list[_Mention], anchors: list[_Mention], known: Known) -> None:
    """Match what can be matched; what is learnt from sure matches may settle more, so go round until nothing is new."""
    for _ in range(_ROUNDS):
        new = False
        for mention in (*mentions, *anchors):
            if mention.found is not None and mention.found.score >= SURE:
                continue
            noun = mention.phrase.noun
            if mention.phrase.count is not None or (noun is not None and noun.plural):
                continue
            barred = mention.barred | _taken(mention, mentions)
            mention.found = match(mention.phrase, mention.words, known, barred)
            if mention.found is not None and mention.found.score >= SURE and mention.phrase.determiner == "definite":
                new = known.profiles[mention.found.index - 1].learn(mention.phrase.features) or new
        if not new:
            return


def _taken(mention: _Mention, mentions: list[_Mention]) -> frozenset[int]:
    """Objects that other members of the same list name."""
    if mention.group is None:
        return frozenset()
    return frozenset(
        other.found.index
        for other in mentions
        if other is not mention
        and other.group == mention.group
        and other.found is not None
        and other.found.score >= SURE
    )


def _plural(phrase: NounPhrase, known: Known) -> list[Proposal]:
    """ "Two dogs", where exactly two objects are dogs."""
    noun = phrase.noun
    if (
        noun is None
        or phrase.count is None
        or not noun.categories
        or phrase.position
        or phrase.related
        or phrase.predicate
    ):
        return []
    fits = [
        profile
        for profile in known.profiles
        if profile.fits_name(noun.categories) and all(profile.has(feature) for feature in phrase.features)
    ]
    unsure = [
        profile
        for profile in known.profiles
        if profile not in fits
        and profile.fits_name(noun.categories)
        and not any(profile.has(feature) is False for feature in phrase.features)
    ]
    if len(fits) != phrase.count or unsure or any(profile.crowd for profile in fits):
        return []
    return [Proposal(phrase.start, phrase.end, profile.index, 0.85, "number and name") for profile in fits]


def place_tags(text: str, proposals: Iterable[Proposal]) -> str:
    """The text with a tag behind each mention; several tags of one mention follow in the order of their numbers."""
    placed = text
    for proposal in sorted(proposals, key=lambda proposal: (proposal.end, proposal.index), reverse=True):
        placed = f"{placed[: proposal.end]} {tags.render(proposal.index)}{placed[proposal.end :]}"
    return placed


def link_tags(
    text: str,
    objects: Sequence[MaskedObject],
    width: int,
    height: int,
    least_score: float = LEAST_SCORE,
    vocabulary: Iterable[str] = (),
) -> str:
    """The text with tags for the mentions that are sure enough; tags that it has stay where they are.

    Args:
        text, objects, width, height, vocabulary: see `propose_tags`.
        least_score: proposals below it are left out.
    """
    proposals = propose_tags(text, objects, width, height, vocabulary)
    return place_tags(text, [proposal for proposal in proposals if proposal.score >= least_score])

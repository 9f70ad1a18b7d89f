"""Words of a text, for the checks that compare what texts say. English; other languages pass these checks unseen."""

from __future__ import annotations

import re

from mmud.annotations import tags

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")

STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "above",
        "across",
        "after",
        "again",
        "against",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "behind",
        "being",
        "below",
        "beside",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "done",
        "down",
        "during",
        "each",
        "either",
        "else",
        "ever",
        "every",
        "few",
        "for",
        "from",
        "further",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "hers",
        "him",
        "his",
        "how",
        "however",
        "i",
        "if",
        "in",
        "inside",
        "into",
        "is",
        "it",
        "its",
        "itself",
        "just",
        "may",
        "me",
        "might",
        "more",
        "most",
        "much",
        "must",
        "my",
        "near",
        "neither",
        "next",
        "no",
        "nor",
        "not",
        "of",
        "off",
        "on",
        "once",
        "one",
        "only",
        "onto",
        "or",
        "other",
        "our",
        "out",
        "outside",
        "over",
        "own",
        "per",
        "same",
        "she",
        "should",
        "since",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "toward",
        "towards",
        "two",
        "under",
        "until",
        "up",
        "upon",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "within",
        "without",
        "would",
        "yes",
        "you",
        "your",
    ]
)
"""Words that say nothing of what a text is about."""

POINTING_WORDS = frozenset(
    [
        "image",
        "images",
        "picture",
        "pictures",
        "photo",
        "photos",
        "photograph",
        "photographs",
        "scene",
        "scenes",
        "shot",
        "view",
        "frame",
        "background",
        "foreground",
        "this",
        "these",
        "those",
        "here",
        "there",
        "shown",
        "visible",
        "seen",
        "depicted",
        "pictured",
        "displayed",
    ]
)
"""Words that point at the image."""

QUESTION_WORDS = frozenset(["what", "which", "who", "whom", "whose", "where", "when", "why", "how"])


def fold(text: str) -> str:
    """The text without case and with single spaces: texts that fold alike are the same to a reader."""
    return " ".join(text.split()).casefold()


def words(text: str) -> list[str]:
    """The words of a text without its tags, without case."""
    return [word.casefold() for word in _WORD.findall(tags.remove(text))]


def content_words(text: str) -> set[str]:
    """The words that say what a text is about, in a crude singular."""
    return {_singular(word) for word in words(text)} - STOP_WORDS


def _singular(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("’s")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def answer_repeats_question(question: str, answer: str) -> bool:
    """Whether the answer to a question with a question word offers no content word that the question lacks.

    A tag in the answer is information, and so is the choice where the question offers one ("the cat or the dog").
    """
    asked = words(question)
    if "or" in asked or not QUESTION_WORDS.intersection(asked[:4]) or tags.parse(answer):
        return False
    said = content_words(answer)
    return bool(said) and said <= content_words(question)


def speaks_of_nothing_here(question: str, answer: str, known: set[str]) -> bool:
    """Whether a pair has no tag, points at no image and shares no content word with what is known of the sample.

    Args:
        known: content words of the sample's phrases, categories and caption; with none, nothing can be said.
    """
    if not known or tags.parse(question) or tags.parse(answer):
        return False
    spoken = words(question) + words(answer)
    if not spoken or not POINTING_WORDS.isdisjoint(spoken):
        return False
    return known.isdisjoint(map(_singular, spoken))

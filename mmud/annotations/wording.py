"""Words of a text, for checks and filters that compare what texts say. English; other languages pass them unseen."""

from __future__ import annotations

import re

from mmud.annotations import tags

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_TEMPLATE = re.compile(
    r"##\s?\w"  # the official release's field heads
    r"|<\|[^|<>\s]{1,40}\|>"  # chat markers such as <|im_start|>
    r"|</?s>|<(?:sep|pad|unk|cls|mask|bos|eos|glb|image|img|caption|question|answer|object|objects|phrase)>"
    r"|\[/?(?:INST|SEP|PAD|CLS|MASK)\]|<</?SYS>>"
    r"|\{\{?\s?[a-z_][\w.]{0,40}\s?\}?\}"  # fields of format strings
    r"|\A\s*(?:question|answer|caption|user|assistant|human|system)\s?:"
    r"|\blorem ipsum\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bas an? (?:large )?(?:ai|artificial intelligence|language model)\b"
    r"|\bi(?:['’]m| am) (?:sorry|unable|not able|an ai)\b"
    r"|\bi (?:cannot|can['’]t|can not|do not|don['’]t|could not|couldn['’]t) "
    r"(?:actually |directly )?(?:see|view|access|assist|help|process|open|have access)\b"
    r"|\bno image (?:was|is|has been) (?:provided|attached|given)\b"
    r"|\bplease (?:provide|upload|share) (?:an|the|your) image\b",
    re.IGNORECASE,
)
_REFUSAL_STARTS = ("as a", "i'm", "i’m", "i am", "i can", "i do", "i could", "no image", "please")

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


def template_marker(text: str) -> str | None:
    """The first marker of a file format or a prompt that a text holds, such as ``##Question`` or ``[INST]``."""
    # Looking for single characters is many times faster than the expression, which few texts then meet.
    if "#" in text or "<" in text or "[" in text or "{" in text or ":" in text or "orem" in text or "OREM" in text:
        found = _TEMPLATE.search(text)
        return None if found is None else found[0]
    return None


def refusal(text: str) -> str | None:
    """The first words in which a language model speaks of itself or says that it sees no image."""
    lowered = text.lower()
    if any(start in lowered for start in _REFUSAL_STARTS):
        found = _REFUSAL.search(text)
        return None if found is None else found[0]
    return None

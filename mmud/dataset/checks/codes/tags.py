"""MM3xx: the tags of answers; malformed and dangling ones are declared in `mmud.annotations.codes`."""

from __future__ import annotations

from mmud.errors import Severity, declare

OBJECT_UNMENTIONED = declare(
    "MM303",
    "object that no tag mentions",
    "Nothing, if the answer does not need the object; else tag its mention.",
    "The answer has tags, and none of them points at this object. The official data has many such objects; they serve "
    "the referring task alone.",
    severity=Severity.INFO,
)
TAG_REPEATED = declare(
    "MM304",
    "tag used more than once",
    "Nothing: a repeated tag counts once.",
    "The answer points at one object several times. Each object is one target; code that makes a target of every "
    "mention ends up with more masks than tags.",
    severity=Severity.INFO,
)
TAGS_OUT_OF_ORDER = declare(
    "MM305",
    "first mentions out of order",
    "Nothing; training renumbers tags by first mention.",
    "Read from the start, the answer's new tags do not come in rising order. A reader that pairs the n-th new tag "
    "with the n-th object gets the wrong mask.",
    severity=Severity.INFO,
)
TAG_OLD_FORM = declare(
    "MM306",
    "tag written <OBJ-i>",
    "`mmud validate --fix` writes it <LCL-i>.",
    "The paper's figures write <OBJ-i>, its data <LCL-i>. Both are read; tools that know one form miss the other.",
    severity=Severity.WARNING,
    fixable=True,
)
TAG_ELSEWHERE = declare(
    "MM307",
    "tag outside an answer",
    "Remove the tag; only answers point at objects.",
    "A caption, question or phrase holds a tag. Tags in a question give the answer away, and in a caption they are "
    "scored as words.",
    severity=Severity.WARNING,
)
ANSWER_UNTAGGED = declare(
    "MM308",
    "answer without tags",
    "Tag the mentions of objects in the answer, or reject it.",
    "The sample has objects and its answer points at none of them, so that it is no target of reasoning segmentation.",
    severity=Severity.WARNING,
)
TAG_WITHOUT_MENTION = declare(
    "MM309",
    "tag before any word",
    "Name the object before its tag, as in: the dog <LCL-1>.",
    "The answer begins with a tag. Tags follow the mention they belong to; with nothing before it, the tag's words "
    "are missing or the tag stands in front of them.",
    severity=Severity.INFO,
)

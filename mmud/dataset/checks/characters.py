"""MM4xx: what a text is made of: control characters, line ends, normal form, broken decoding, spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from mmud.dataset.checks.base import Check, Row
from mmud.dataset.checks.batch import SampleContext, objects_of
from mmud.dataset.checks.codes import text as codes
from mmud.errors import Code, Finding

TEXT_FIELDS = ("caption", "question", "answer")

LINE_SEPARATORS = re.compile("[\r\v\f\x85\u2028\u2029]")
"""What Java's readers, and with them the usual caption tokenizer, take for a line end; the line feed is one everywhere."""

CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters other than tab, line feed and `LINE_SEPARATORS`."""

INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Zero-width spaces and marks of writing direction. The joiners U+200C and U+200D are part of scripts and emoji."""

# What UTF-8's bytes become when read as Latin-1 or Windows-1252: a letter for the lead byte, then signs for the others. Right
# texts put quotation marks and dashes behind such letters, too; so but for the commonest leads, one true sign must be there.
_SIGN = "[\u0080-\u00bf]"
_ANY = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
MOJIBAKE = re.compile(
    f"\ufffd|[ÂÃ]{_ANY}|[ÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛ]{_SIGN}|â€|[à-ï](?:{_SIGN}{_ANY}|{_ANY}{_SIGN})|ï¿½|ï»¿"
)


class CharacterCheck(Check):
    """The characters of captions, questions, answers and phrases."""

    codes = (
        codes.CONTROL_CHARACTER,
        codes.LINE_SEPARATOR,
        codes.NOT_NFC,
        codes.MOJIBAKE,
        codes.INVISIBLE_CHARACTER,
        codes.SPACES,
    )

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        for field in TEXT_FIELDS:
            if row[field]:
                for code, message in problems(row[field]):
                    yield Finding(code, context.place(field=field), f"the {field} has {message}")
        for number, item in enumerate(objects_of(row), start=1):
            for phrase in (item and item["phrases"]) or ():
                if phrase:
                    for code, message in problems(phrase):
                        yield Finding(code, context.place(number, "phrases"), f"a phrase has {message}")


def problems(text: str) -> Iterator[tuple[Code, str]]:
    """What is wrong with the characters of a text: each code once, with the first character that shows it."""
    # A text of nothing but white space is empty, which has codes of its own.
    if (text[0].isspace() or text[-1].isspace()) and not text.isspace():
        yield codes.SPACES, "white space at its start or end"
    if text.isascii() and text.isprintable():
        return
    for code, pattern, what in (
        (codes.CONTROL_CHARACTER, CONTROLS, "the control character"),
        (codes.LINE_SEPARATOR, LINE_SEPARATORS, "the line separator"),
        (codes.INVISIBLE_CHARACTER, INVISIBLE, "the invisible character"),
        (codes.MOJIBAKE, MOJIBAKE, "the broken characters"),
    ):
        found = pattern.search(text)
        if found is not None:
            named = " ".join(f"U+{ord(character):04X}" for character in found[0])
            yield code, f"{what} {named} at position {found.start() + 1}"
    if not unicodedata.is_normalized("NFC", text):
        yield codes.NOT_NFC, "letters whose accents are characters of their own"

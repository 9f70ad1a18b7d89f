"""Ask the Stanford tokenizer, through pycocoevalcap's wrapper; needs Java and pycocoevalcap, run from the repository's root.

``python tests/evaluators/captions/make_tokenizer_data.py cases`` writes ``tokenizer_cases.jsonl``: its tokens of the captions
in ``tokenizer_captions.txt`` and of the ones below. Each caption is followed by the line "A", since the tokenizer reads on.

``python tests/evaluators/captions/make_tokenizer_data.py characters`` prints the classes of characters that it knows beyond
ASCII, as ``mmud/evaluators/captions/characters.py`` has them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
CASES = HERE / "tokenizer_cases.jsonl"

# Characters that an editor would not keep or show.
HIDDEN = (
    "a no-break\u00a0space and a thin\u2009space and an ideographic\u3000space",
    "1\u00a01/2 cups, 555\u00a0123\u00a04567, B.\u00a0 A dog",
    "a soft\u00adhyphen and \u00ad alone, 1\u00ad000",
    "a zero\u200bwidth space, a mark\u200e and a \ufeffbyte order mark",
    "control\u0001 characters\u007f and\u001c separators",
    "windows quotes \u0091a\u0092 \u0093b\u0094 \u0096 \u0097 \u0080",
    "a\ttab and\ttwo\t\ttabs\t",
    "halves of a pair: \U0001f600\U0001f3fd \U00010400 \U0002070e",
    "combining e\u0301 and n\u0303, \u0130stanbul \u0131 \u212a \u017f",
    "www.foo.com\u00a0x http://foo.com\u2003y",
    " \u00a0example.com/x",
    "http://x.y/z\u00a0",
    "the '90\u017f, \u0130nc. \u0131nc. o\u212ala. wi\u017f. re\u017f.",
    "`(<D. >>s=o)",
)


def reference_tokens(captions: Sequence[str]) -> list[list[str]]:
    """What pycocoevalcap makes of each caption, in one run, each caption followed by the next."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    answer = PTBTokenizer().tokenize({index: [{"caption": caption}] for index, caption in enumerate(captions)})
    return [answer[index][0].split(" ") if answer[index][0] else [] for index in range(len(captions))]


def alone(captions: Iterable[str], following: str = "A") -> list[list[str]]:
    """The tokens of each caption when ``following`` is the line after it."""
    lines = [line for caption in captions for line in (caption, following)]
    return reference_tokens(lines)[::2]


def write_cases() -> None:
    captions = [*(HERE / "tokenizer_captions.txt").read_text(encoding="utf-8").splitlines(), *HIDDEN]
    with CASES.open("w", encoding="utf-8", newline="\n") as stream:
        for caption, tokens in zip(captions, alone(captions), strict=True):
            stream.write(json.dumps({"caption": caption, "tokens": tokens}) + "\n")


def _kept(text: str, tokens: Sequence[str]) -> bool:
    """Whether the tokens are the text's words; Java and Python do not agree on which sigma is the last of a word."""
    return " ".join(tokens).replace("ς", "σ") == text.lower().replace("ς", "σ")


def character_classes() -> dict[str, set[int]]:
    """Code points beyond ASCII by what the tokenizer takes them for."""
    separators = {0x85, 0x2028, 0x2029}
    points = [point for point in range(0x80, 0x10000) if not 0xD800 <= point < 0xE000 and point not in separators]

    def those(form: str) -> set[int]:
        texts = [form.replace("?", chr(point)) for point in points]
        answers = reference_tokens(texts)
        return {point for point, text, tokens in zip(points, texts, answers, strict=True) if _kept(text, tokens)}

    digits = those("?/5 x")
    letters = those("x-?") - digits
    words = those("x.??") - letters
    alone_kept = those("x ? x") - letters - digits - words
    # Raised and lowered numbers and low quotation marks may repeat within a token, so they have rules of their own.
    return {"_LETTERS": letters, "_WORD_EXTRAS": words, "_DIGITS": digits, "_SYMBOLS": alone_kept - those("??")}


def as_ranges(points: set[int]) -> str:
    """Code points as hexadecimal ranges."""
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return " ".join(f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in ranges)


if __name__ == "__main__":
    if sys.argv[1:] == ["cases"]:
        write_cases()
    elif sys.argv[1:] == ["characters"]:
        for name, found in character_classes().items():
            print(f"{name} = {as_ranges(found)}")
    else:
        sys.exit(__doc__)

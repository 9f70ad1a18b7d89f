"""A word-level tokenizer of the scenes' English, as a fast tokenizer of transformers.

A word carries its leading space ("▁star"), a punctuation mark has none; so decoding gives a text back character for character.
Words come from the world's own constants and from texts of many scenes, each with a capital and without.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, is_dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from mmud.dataset.sources.scenes import language
from mmud.dataset.sources.scenes.config import preset
from mmud.dataset.sources.scenes.language.statements import statement
from mmud.dataset.sources.scenes.language.wording import Wording, plural
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import BACKGROUNDS, CELLS, SHAPES, SIZES, TINTS
from mmud.dataset.sources.scenes.world import generate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPACE: Final = "▁"
PAD, UNKNOWN, BEGIN, END, USER, ASSISTANT = "<pad>", "<unk>", "<s>", "</s>", "<user>", "<assistant>"
SPECIAL: Final = (PAD, UNKNOWN, BEGIN, END, USER, ASSISTANT)
PUNCTUATION: Final = (".", ",", ":", ";", "?", "!", "(", ")", "\n")
#: Numbers below this are words.
NUMBERS: Final = 100
#: Words that no scene says but instructions do.
INSTRUCTION_WORDS: Final = [
    "a",
    "about",
    "all",
    "also",
    "an",
    "and",
    "answer",
    "are",
    "as",
    "asked",
    "at",
    "based",
    "be",
    "below",
    "brief",
    "briefly",
    "by",
    "can",
    "caption",
    "carefully",
    "complete",
    "content",
    "could",
    "create",
    "dense",
    "depict",
    "depicted",
    "describe",
    "describes",
    "described",
    "description",
    "detail",
    "detailed",
    "details",
    "do",
    "does",
    "draw",
    "each",
    "every",
    "everything",
    "explain",
    "expressions",
    "fill",
    "find",
    "following",
    "follows",
    "for",
    "from",
    "full",
    "generate",
    "give",
    "given",
    "go",
    "have",
    "help",
    "here",
    "highlight",
    "how",
    "I",
    "identify",
    "if",
    "illustrate",
    "image",
    "images",
    "imagine",
    "in",
    "indicate",
    "information",
    "into",
    "is",
    "it",
    "items",
    "its",
    "like",
    "list",
    "listed",
    "locate",
    "long",
    "look",
    "make",
    "map",
    "mark",
    "masks",
    "mask",
    "match",
    "matching",
    "me",
    "mention",
    "mentioned",
    "name",
    "named",
    "need",
    "objects",
    "of",
    "on",
    "one",
    "or",
    "order",
    "outline",
    "output",
    "page",
    "paint",
    "part",
    "parts",
    "phrase",
    "phrases",
    "picture",
    "pictured",
    "pixel",
    "pixels",
    "place",
    "please",
    "point",
    "produce",
    "provide",
    "question",
    "questions",
    "reason",
    "reasoning",
    "refer",
    "referred",
    "referring",
    "regions",
    "region",
    "render",
    "reply",
    "respond",
    "response",
    "return",
    "scene",
    "see",
    "segment",
    "segmentation",
    "segmentations",
    "sentences",
    "sentence",
    "separate",
    "shape",
    "show",
    "shown",
    "shows",
    "sketch",
    "so",
    "some",
    "specify",
    "tell",
    "text",
    "that",
    "the",
    "them",
    "then",
    "there",
    "these",
    "they",
    "thing",
    "things",
    "think",
    "this",
    "those",
    "to",
    "turn",
    "understand",
    "use",
    "using",
    "view",
    "visual",
    "wanted",
    "want",
    "what",
    "where",
    "which",
    "with",
    "words",
    "write",
    "you",
    "your",
    "background",
]

_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_FIELD = re.compile(r"\{[^{}]*\}")
_TEXT_SCENES: Final = 150
_TEXT_PRESETS: Final = ("easy", "normal", "hard")


def _strings(value: Any) -> Iterator[str]:
    """Every text within a constant."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _strings(astuple(value))


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(language.__path__, f"{language.__name__}."):
        yield importlib.import_module(found.name)


def _constants() -> Iterator[str]:
    """Templates, forms and associations of the world's language, with their fields taken out."""
    for module in _modules():
        for name, value in vars(module).items():
            if name.strip("_").isupper():
                for text in _strings(value):
                    yield _FIELD.sub(" ", text)


def _texts() -> Iterator[str]:
    """Texts of scenes of all sorts: the words between the constants come from here."""
    for name in _TEXT_PRESETS:
        config = preset(name, synonyms=0.4)
        for index in range(_TEXT_SCENES):
            scene = generate(config, index)
            wording = Wording(scene.view, Stream("vocabulary", index), config.synonyms)
            yield scene.caption
            yield from (phrase for phrases in scene.phrases for phrase in phrases)
            yield from (text for asked in scene.more_questions(8) for text in (asked.text, asked.answer))
            yield from (statement(fact, wording) for fact in scene.facts[:40])


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """Every word in a fixed order, without capitals, which the tokenizer adds."""
    words: set[str] = set(INSTRUCTION_WORDS)
    texts: Iterable[str] = (*_constants(), *_texts(), *SHAPES, *SIZES, *BACKGROUNDS, *TINTS, *CELLS)
    for text in texts:
        words.update(_WORD.findall(re.sub(r"<[^>]*>", " ", text)))
    # Nouns of the world in the plural, whichever forms the scenes above happened to use.
    words |= {plural(word) for word in SHAPES}
    # Internal names such as "color_association" are not English.
    return tuple(sorted({word[0].lower() + word[1:] if word != "I" else word for word in words}))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, made from the world: always the same.

    It adds no special token by itself: a document begins with ``<s>``, each turn is ``<user>`` … ``<assistant>`` … ``</s>``.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = [*SPECIAL, *PUNCTUATION, SPACE, *(f"{SPACE}{number}" for number in range(NUMBERS))]
    for word in vocabulary():
        tokens += [f"{SPACE}{word}", f"{SPACE}{word[0].upper()}{word[1:]}"]
    ids = {token: position for position, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first"),
            pre_tokenizers.Split(Regex(r"[.,:;?!()\n]"), behavior="isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )

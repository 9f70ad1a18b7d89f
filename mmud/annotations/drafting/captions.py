"""A caption from objects: what there is, where the larger ones are, and how neighbours stand to each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from mmud.annotations.drafting import english
from mmud.annotations.drafting.geometry import SMALLEST_SHARE, Placed, above, cell_words, left_of, share_words
from mmud.annotations.drafting.naming import names, noun_of
from mmud.records import Sample

MOST_PLACED = 6
"""Objects that get a sentence of their own."""

MOST_RELATIONS = 4
MOST_KINDS = 8

_PLAIN_PHRASE = re.compile(r"[^\W_][\w ',/-]{1,80}")


def write_caption(sample: Sample, placed: list[Placed]) -> str:
    """Some sentences about a sample that has at least one object."""
    called = names(sample, placed)
    largest = sorted(placed, key=lambda item: (-item.area, item.number))
    named = [item for item in largest if item.number in called][:MOST_PLACED]
    sentences = [_opening(sample), *_places(sample, named, called), *_relations(sample, named, called)]
    return " ".join(map(english.sentence, sentences))


def _opening(sample: Sample) -> str:
    """What there is, the commonest first."""
    single = Counter(noun_of(item) for item in sample.objects if not item.iscrowd)
    crowds = list(dict.fromkeys(noun_of(item) for item in sample.objects if item.iscrowd))
    parts = [english.counted(count, noun) for noun, count in single.most_common(MOST_KINDS)]
    parts += [f"a crowd of {english.plural(noun)}" for noun in crowds]
    if len(single) > MOST_KINDS:
        parts.append("other things")
    return f"The image shows {english.listing(parts)}"


def _places(sample: Sample, named: list[Placed], called: dict[int, str]) -> Iterator[str]:
    for item in named:
        many = english.is_plural(noun_of(sample.objects[item.number - 1]))
        name = called[item.number]
        words = f"the {name}{_also(sample, item, name)} {'are' if many else 'is'} {cell_words(item)}"
        share = share_words(item.area)
        # Of small things in a row it would say the same again and again.
        yield words if share == SMALLEST_SHARE else f"{words} and {'cover' if many else 'covers'} {share} of it"


def _also(sample: Sample, item: Placed, name: str) -> str:
    """What the source calls the object besides, where that is plain text and says more than its name."""
    words = set(name.split())
    for phrase in sample.objects[item.number - 1].phrases:
        plain = " ".join(phrase.split())
        if _PLAIN_PHRASE.fullmatch(plain) and not set(plain.lower().split()) <= words:
            return f", referred to as “{plain}”,"
    return ""


def _relations(sample: Sample, named: list[Placed], called: dict[int, str]) -> Iterator[str]:
    """Neighbours in the order of size, along the axis on which they differ clearly."""
    said = 0
    for first, second in pairwise(named):
        if noun_of(sample.objects[first.number - 1]) == noun_of(sample.objects[second.number - 1]):
            # "The left dog is to the left of the right dog" says nothing.
            continue
        many = english.is_plural(noun_of(sample.objects[first.number - 1]))
        start = f"the {called[first.number]} {'are' if many else 'is'}"
        other = f"the {called[second.number]}"
        left, high = left_of(first, second), above(first, second)
        if left is not None:
            yield f"{start} to the {'left' if left else 'right'} of {other}"
        elif high is not None:
            yield f"{start} {'higher' if high else 'lower'} in the image than {other}"
        else:
            continue
        said += 1
        if said == MOST_RELATIONS:
            return

"""One HTML file that shows samples with their masks, offline, in any browser.

Everything that comes from data is JSON inside the page and reaches it through ``textContent``; the page's own policy allows no
script but its own and no connection at all. Images are decoded within bounds and encoded again, so that nothing of a
stranger's file is passed on.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mmud.errors import Finding, MmudError
from mmud.files import atomic_write
from mmud.images import SHOWN_SIDE, decode_image, shown_file
from mmud.records import Sample, Segmentation


@dataclass(frozen=True, slots=True)
class Layer:
    """Masks to draw over one image: one for each object in order, None where there is none."""

    name: str
    masks: Sequence[Segmentation | None]


@dataclass(frozen=True, slots=True)
class Beside:
    """A further image, shown beside the sample's own: ``data`` is its file, or ``trouble`` says why there is none."""

    title: str
    data: bytes | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One sample as the page shows it.

    Attributes:
        sample: the sample; its image may be bytes, a path, or missing.
        split: where it lies.
        findings: what is wrong with it.
        layers: further masks beside the labels, as of a prediction.
        texts: further texts, title and text, as of a prediction; tags in them light up too.
        figures: name and value, as text.
        beside: images to compare with the sample's own.
    """

    sample: Sample
    split: str = ""
    findings: Sequence[Finding] = ()
    layers: Sequence[Layer] = ()
    texts: Sequence[tuple[str, str]] = ()
    figures: Sequence[tuple[str, str]] = field(default_factory=tuple)
    beside: Sequence[Beside] = ()


LABELS = "labels"
_PLACE = re.compile(r"@@(\w+)@@")


@cache
def _asset(name: str) -> str:
    """A file of this package's ``static`` folder."""
    return files("mmud.web").joinpath("static", name).read_text("utf-8")


def filled_template(name: str, title: str, summary: str, **parts: str) -> tuple[str, str]:
    """A page's HTML before and after its data: the template with its own style and script, in one pass.

    What marks style and script as the page's own (the nonce) is the same in every run.

    Args:
        name: of the template, style and script.
        title, summary: as text; they are escaped here.
        parts: further places of the template, as HTML.
    """
    values = {
        "nonce": hashlib.sha256(f"{title}\n{summary}".encode()).hexdigest()[:24],
        "title": html.escape(title),
        "summary": html.escape(summary),
        "style": _asset(f"{name}.css"),
        "script": _asset(f"{name}.js"),
        **parts,
    }
    before, after = _asset(f"{name}.html").split("@@data@@")
    # One pass over the template alone: a title that looks like a place is text, and stays it.
    return _PLACE.sub(lambda match: values[match[1]], before), _PLACE.sub(lambda match: values[match[1]], after)


def write_page(
    path: Path,
    title: str,
    summary: str,
    cards: Iterable[Card],
    layers: Sequence[str] = (LABELS,),
    back: str | None = None,
) -> int:
    """Write the page, streaming: one card is held at a time.

    Args:
        path: of the HTML file.
        title: of the page.
        summary: a line under it.
        cards: what to show.
        layers: names of the mask layers that a person can choose from, the first being drawn at first.
        back: where a link at the top leads.

    Returns:
        The number of cards.
    """
    link = f'<a href="{html.escape(back)}">back</a>' if back else ""
    script = _asset("rle.js") + _asset("gallery.js")
    before, after = filled_template("gallery", title, summary, back=link, script=script)
    count = 0
    with atomic_write(path, "w") as stream:
        stream.write(before + '{"layers": ' + script_json(list(layers)) + ', "records": [')
        for count, card in enumerate(cards, start=1):
            stream.write(("" if count == 1 else ",\n") + script_json(_record(card, count)))
        stream.write("]}" + after)
    return count


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _record(card: Card, number: int) -> dict[str, Any]:
    sample = card.sample
    image, trouble = None, None
    try:
        image = image_uri(sample.image_bytes())
    except MmudError as error:
        trouble = f"{error.code.id} {error.message}"
    layers = {LABELS: [_mask(item.segmentation) for item in sample.objects]}
    layers |= {layer.name: [_mask(mask) for mask in layer.masks] for layer in card.layers}
    return {
        "number": number,
        "id": sample.sample_id,
        "split": card.split,
        "source": sample.source,
        "license": sample.license,
        "size": [sample.height, sample.width],
        "image": image,
        "trouble": trouble,
        "texts": [
            ["Question", sample.question],
            ["Answer", sample.answer],
            ["Caption", sample.caption],
            *([title, text] for title, text in card.texts),
        ],
        "objects": [{"phrases": list(item.phrases), "category": item.category} for item in sample.objects],
        "layers": layers,
        "findings": [
            {"code": finding.code.id, "severity": finding.severity.label, "message": finding.message}
            for finding in card.findings
        ],
        "figures": [list(pair) for pair in card.figures],
        "beside": [_beside(one) for one in card.beside],
    }


def _beside(one: Beside) -> dict[str, Any]:
    image, trouble = None, one.trouble
    if one.data is not None:
        try:
            image = image_uri(one.data)
        except MmudError as error:
            trouble = f"{error.code.id} {error.message}"
    return {"title": one.title, "image": image, "trouble": trouble}


def _mask(segmentation: Segmentation | None) -> Mapping[str, Any] | None:
    return None if segmentation is None else {"size": list(segmentation.size), "counts": segmentation.counts}


def image_uri(data: bytes, longest: int = SHOWN_SIDE) -> str:
    """An image file, decoded and encoded again at most ``longest`` pixels on its longer side, as a data URI.

    Raises:
        MmudError: MM502 or MM503 when it cannot be decoded within bounds.
    """
    kind, shown = shown_file(decode_image(data), longest)
    return f"data:image/{kind};base64,{base64.b64encode(shown).decode('ascii')}"

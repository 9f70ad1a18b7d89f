"""Captions of image files: what CLIP scores compare a folder of images with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as evaluator_codes
from mmud.evaluators.captions.coco_files import read_json
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import ImageSource
from mmud.evaluators.predictions import read_lines
from mmud.files import require


def stem_of(name: str) -> str:
    """An image's name without its suffix, by which images of two folders, or an image and its caption, belong together."""
    return str(PurePosixPath(name).with_suffix(""))


def read_image_captions(path: Path) -> dict[str, str]:
    """The caption of each image, by the image's name without suffix.

    Args:
        path: JSON lines of ``{"image", "caption"}``, the image named by its path within the folder, or ``{"sample_id",
            "caption"}``, as ``mmud export --to questions`` writes for generation; or COCO captions (``.json``), whose images
            have a ``file_name``. Of several captions of one image in a COCO file the first counts.

    Raises:
        MmudError: MM002 when there is no such file, MM825 or MM858 when it is of another form, MM879 when JSON lines caption one
            image twice.
    """
    if require(path).suffix == ".json":
        found: dict[str, str] = {}
        for name, caption in _coco_captions(path):
            found.setdefault(stem_of(name), caption)
        return found
    return _read_caption_lines(path)


def captions_of(sources: Sequence[ImageSource], captions: Mapping[str, str]) -> list[str]:
    """The caption of each image, in their order.

    Raises:
        MmudError: MM879 when an image has none.
    """
    absent = [source.id for source in sources if stem_of(source.id) not in captions]
    if absent:
        raise MmudError(
            codes.NOT_PAIRED, f"{len(absent)} of {len(sources)} images have no caption, such as {absent[0]!r}"
        )
    return [captions[stem_of(source.id)] for source in sources]


def _read_caption_lines(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    problems: list[Finding] = []
    for line, row in read_lines(path, str(path), problems.append):
        place = Place(file=str(path), line=line)
        name, caption = row.get("image"), row.get("caption")
        # a sample's id is no file name: it may have a dot in it that begins no suffix
        key = stem_of(name) if isinstance(name, str) else row.get("sample_id")
        if not isinstance(key, str) or not isinstance(caption, str):
            message = "a row has caption, and image or sample_id, all text"
            raise MmudError(evaluator_codes.INPUT_UNREADABLE, message, place)
        if key in found:
            raise MmudError(codes.NOT_PAIRED, f"{key!r} has a second caption", place)
        found[key] = caption
    if problems:
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, problems[0].message, problems[0].place)
    return found


def _coco_captions(path: Path) -> Iterator[tuple[str, str]]:
    content: Any = read_json(path)
    place = Place(file=str(path))
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        rows = [(names[entry["image_id"]], entry["caption"]) for entry in content["annotations"]]
    except (KeyError, TypeError, IndexError) as error:
        message = (
            f"COCO captions have images with id and file_name, and annotations with image_id and caption: {error!r}"
        )
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, message, place) from error
    if not all(isinstance(part, str) for row in rows for part in row):
        raise MmudError(evaluator_codes.INPUT_UNREADABLE, "a file_name or caption is not text", place)
    yield from rows

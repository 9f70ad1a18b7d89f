"""Readers of COCO's two caption files: references ("annotations") and results (a list).

Ids may be integers or strings; 7 and "7" are the same image. Everything is checked before anything is scored, because the
usual tools take the last of two captions, score a null as the text "None", or stop in the middle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmud.errors import Code, MmudError, Place
from mmud.evaluators.captions import codes
from mmud.files import require


def read_references(path: Path) -> dict[str, list[str]]:
    """Image id -> its captions, in the file's order.

    Args:
        path: COCO captions: an object with a list ``annotations`` of ``{"image_id", "caption"}``. With a list ``images`` of
            ``{"id"}`` as well, every image of it must have a caption, and every caption an image.

    Raises:
        MmudError: MM002 when there is no such file, MM858 when it is not of that form, MM853 for an entry that is no
            caption, MM854 for images without captions.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("annotations"), list):
        _refuse(
            codes.COCO_FILE_BROKEN, f"an object with a list `annotations` is needed, {_kind(content)} was found", path
        )
    references: dict[str, list[str]] = {}
    for index, entry in enumerate(content["annotations"]):
        image, caption = _entry(entry, index, path)
        references.setdefault(image, []).append(caption)
    if "images" in content:
        _check_images(content["images"], references, path)
    if not references:
        _refuse(codes.REFERENCES_UNUSABLE, "the file has no captions", path)
    return references


def read_results(path: Path) -> dict[str, str]:
    """Image id -> the caption to be scored, in the file's order.

    Args:
        path: COCO caption results: a list of ``{"image_id", "caption"}``.

    Raises:
        MmudError: MM002 when there is no such file, MM858 when it is not of that form, MM853 for an entry that is no
            caption, MM852 for two captions of one image.
    """
    content = read_json(path)
    if not isinstance(content, list):
        _refuse(codes.COCO_FILE_BROKEN, f"a list of captions is needed, {_kind(content)} was found", path)
    results: dict[str, str] = {}
    for index, entry in enumerate(content):
        image, caption = _entry(entry, index, path)
        if image in results:
            _refuse(codes.CAPTION_REPEATED, f"image {image} has a second caption", path, index, image)
        results[image] = caption
    return results


def read_json(path: Path) -> Any:
    require(path)
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg}, column {error.colno}"
        raise MmudError(codes.COCO_FILE_BROKEN, message, Place(file=str(path), line=error.lineno)) from error
    except (ValueError, RecursionError, OSError) as error:
        raise MmudError(codes.COCO_FILE_BROKEN, f"cannot be read: {error}", Place(file=str(path))) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON and no caption or id can be {name}")


def _entry(entry: Any, index: int, path: Path) -> tuple[str, str]:
    if not isinstance(entry, Mapping):
        _refuse(codes.CAPTION_MALFORMED, f"an entry must be an object, not {_kind(entry)}", path, index)
    for field in ("image_id", "caption"):
        if field not in entry:
            _refuse(codes.CAPTION_MALFORMED, f"an entry without `{field}`", path, index)
    image = _image_id(entry["image_id"], "image_id", path, index)
    caption = entry["caption"]
    if not isinstance(caption, str):
        _refuse(codes.CAPTION_MALFORMED, f"a caption must be a string, not {_kind(caption)}", path, index, image)
    return image, caption


def _image_id(value: Any, field: str, path: Path, index: int) -> str:
    # A boolean is an integer to Python, and a fraction is no id even where it is whole.
    if isinstance(value, bool) or not isinstance(value, int | str):
        _refuse(codes.CAPTION_MALFORMED, f"`{field}` must be an integer or a string, not {_kind(value)}", path, index)
    return str(value)


def _check_images(images: Any, references: Mapping[str, list[str]], path: Path) -> None:
    if not isinstance(images, list):
        _refuse(codes.COCO_FILE_BROKEN, f"`images` must be a list, not {_kind(images)}", path)
    listed = set()
    for index, image in enumerate(images):
        if not isinstance(image, Mapping) or "id" not in image:
            _refuse(codes.COCO_FILE_BROKEN, "an image must be an object with an `id`", path, index)
        listed.add(_image_id(image["id"], "id", path, index))
    without = [name for name in listed if name not in references]
    if without:
        examples = ", ".join(sorted(without)[:5])
        _refuse(codes.REFERENCES_UNUSABLE, f"{len(without)} of the images listed have no caption: {examples}", path)
    unlisted = [name for name in references if name not in listed]
    if unlisted:
        examples = ", ".join(unlisted[:5])
        _refuse(
            codes.COCO_FILE_BROKEN, f"{len(unlisted)} images have captions and are not in `images`: {examples}", path
        )


def _kind(value: Any) -> str:
    """A value's type in JSON's words."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a fraction",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]


def _refuse(code: Code, message: str, path: Path, row: int | None = None, sample: str | None = None) -> NoReturn:
    raise MmudError(code, message, Place(sample=sample, file=str(path), row=row))

"""Ways to break one row of the clean dataset: code -> a change that this code alone reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from validation_world import HEIGHT, WIDTH, encoded, picture, rectangle

from mmud.annotations.masks import Mask
from mmud.annotations.runs import compress_runs

Breaking = Callable[[dict[str, Any]], Any]


def setting(field: str, value: Any) -> Breaking:
    """Set a field of the sample."""
    return lambda row: row.update({field: value})


def of_object(field: str, value: Any, number: int = 1) -> Breaking:
    """Set a field of an object, which counts from 1."""
    return lambda row: row["objects"][number - 1].update({field: value})


def with_mask(mask: Mask, **changes: Any) -> Breaking:
    """Give the first object a mask with the box and area that fit it, and no polygons."""
    values = {"segmentation": mask.to_json(), "bbox": list(mask.bbox), "area": float(mask.area), "polygons": None}
    return lambda row: row["objects"][0].update({**values, **changes})


def drawn(*polygons: list[float], mask: Mask | None = None) -> Breaking:
    """Give the first object polygons, and the mask, box and area that COCO draws from them."""
    own = mask or Mask.from_polygons(polygons, HEIGHT, WIDTH)
    return with_mask(own, polygons=[list(map(float, polygon)) for polygon in polygons])


def counts(text: bytes) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": text.decode()}


def both(*breakings: Breaking) -> Breaking:
    def change(row: dict[str, Any]) -> None:
        for breaking in breakings:
            breaking(row)

    return change


def image(image_bytes: bytes, path: str = "0.png", **changes: Any) -> Breaking:
    return lambda row: row.update({"image": {"bytes": image_bytes, "path": path}, **changes})


def _first_phrase(row: dict[str, Any]) -> str:
    return row["objects"][0]["phrases"][0]


def _mask(x: int, y: int, w: int, h: int) -> Mask:
    array = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    array[y : y + h, x : x + w] = 1
    return Mask.from_array(array)


def _not_minimal() -> dict[str, Any]:
    """The first object's own runs, with a run of length zero in the middle of the background."""
    mask = Mask.from_polygons([rectangle(4, 5, 20, 15)["polygons"][0]], HEIGHT, WIDTH)
    runs = mask.runs
    return counts(compress_runs([runs[0] - 3, 0, 3, *runs[1:]]))


def _swap_tags(row: dict[str, Any]) -> None:
    text = row["answer"]
    row["answer"] = text.replace("<LCL-1>", "<LCL-x>").replace("<LCL-2>", "<LCL-1>").replace("<LCL-x>", "<LCL-2>")


EXIF_ROTATED = picture(0).getexif()
EXIF_ROTATED[0x0112] = 6

STRUCTURE: dict[str, Breaking] = {
    "MM101": setting("caption", None),
    "MM111": of_object("bbox", [4.0, 5.0, 20.0]),
    "MM112": of_object("area", -1.0),
    "MM113": setting("provenance", "[1, 2]"),
    "MM118": setting("license", ""),
}
MASKS: dict[str, Breaking] = {
    "MM201": of_object("segmentation", counts(b"00")),
    "MM202": of_object("segmentation", Mask.from_array(np.eye(WIDTH, HEIGHT)).to_json()),
    "MM203": of_object("polygons", [[4.0, 5.0, 24.0, 5.0, 24.0]]),
    "MM204": with_mask(Mask.empty(HEIGHT, WIDTH)),
    "MM206": with_mask(Mask.full(HEIGHT, WIDTH)),
    "MM207": of_object("segmentation", _not_minimal()),
    "MM208": both(of_object("segmentation", None), of_object("bbox", [0.0] * 4), of_object("polygons", None)),
    "MM209": of_object("bbox", [4.0, 5.0, 120.0, 15.0]),
    "MM210": of_object("bbox", [4.0, 5.0, 30.0, 15.0]),
    "MM211": of_object("area", 500.0),
    "MM212": of_object("bbox", [0.0, 0.0, 0.0, 0.0]),
    "MM213": of_object("area", 0.0),
    "MM214": drawn([5, 5, 30, 30, 30, 5, 5, 25]),
    "MM215": of_object("polygons", [[4.0, 5.0, 24.0, 5.0, 4.0, 20.0]]),
    "MM216": drawn([4, 4, 20, 4, 20, 20, 4, 20], [12, 12, 30, 12, 30, 26, 12, 26]),
    "MM217": drawn([4, 4, 20, 4, 20, 20, 4, 20], [22, 22, 30, 22, 30, 26, 22, 26]),
    "MM218": drawn([4, 4, 12, 4, 12, 12, 20, 12, 20, 4, 28, 4, 28, 20, 20, 20, 20, 12, 12, 12, 12, 20, 4, 20]),
    "MM219": drawn([4, 5, 24, 5, 24, 20, 4, 20], [30.0, 30.0, 31.0, 30.0, 31.0, 31.0]),
    "MM220": drawn([40, 30, 70, 30, 70, 46, 40, 46]),
    "MM221": lambda row: row["objects"][0].update(
        {name: row["objects"][1][name] for name in ("segmentation", "bbox", "area", "polygons")}
    ),
    "MM222": lambda row: row["objects"][0].update(
        {**rectangle(34, 22, 18, 11), **{key: row["objects"][0][key] for key in ("phrases", "category", "ann_id")}}
    ),
    "MM223": with_mask(_mask(10, 10, 3, 3)),
    "MM224": of_object("segmentation", None),
    "MM225": of_object("bbox", [4.0, 5.0, -20.0, 15.0]),
}
TAGS: dict[str, Breaking] = {
    "MM301": lambda row: row.update(answer=row["answer"] + " See <LCL 1>."),
    "MM302": lambda row: row.update(answer=row["answer"] + " See the moon <LCL-3>."),
    "MM303": lambda row: row.update(answer=row["answer"].replace(" <LCL-2>", "")),
    "MM304": lambda row: row.update(answer=row["answer"] + " Again the first <LCL-1>."),
    "MM305": _swap_tags,
    "MM306": lambda row: row.update(answer=row["answer"].replace("LCL-1", "OBJ-1")),
    "MM307": lambda row: row.update(question=row["question"] + " Not <LCL-2>?"),
    "MM308": lambda row: row.update(answer=row["answer"].replace(" <LCL-1>", "").replace(" <LCL-2>", "")),
    "MM309": lambda row: row.update(answer="<LCL-1> " + row["answer"].replace(" <LCL-1>", "")),
}
TEXT: dict[str, Breaking] = {
    "MM401": setting("caption", " "),
    "MM402": both(setting("question", ""), setting("answer", "")),
    "MM403": setting("answer", ""),
    "MM404": setting("question", ""),
    "MM405": of_object("phrases", ["the red kite", " "]),
    "MM406": of_object("phrases", []),
    "MM407": setting("caption", "A red kite."),
    "MM408": setting("question", "Which thing?"),
    "MM409": lambda row: row.update(answer="… <LCL-1> <LCL-2>"),
    "MM410": both(
        setting("objects", []),
        setting("question", "What is the capital of France?"),
        setting("answer", "Paris, of course."),
    ),
    "MM411": lambda row: row.update(
        caption="The  Red kite that hangs high",
        objects=[{**row["objects"][0], "phrases": ["the red kite that hangs high"]}, row["objects"][1]],
    ),
    "MM412": both(setting("objects", []), lambda row: row.update(answer=row["question"].upper())),
    "MM413": lambda row: row.update(caption=row["caption"] + "\x00 It flies."),
    "MM414": lambda row: row.update(caption=row["caption"] + "\u2028It flies."),
    "MM415": lambda row: row.update(answer="##Answer: " + row["answer"]),
    "MM416": lambda row: row.update(caption="As an AI, I see little. " + row["caption"]),
    "MM417": lambda row: row["objects"][0]["phrases"].append(_first_phrase(row)),
    "MM418": lambda row: row["objects"][1]["phrases"].append(_first_phrase(row).upper()),
    "MM419": lambda row: row.update(caption=row["caption"] + " Cafe\u0301."),
    "MM420": lambda row: row.update(caption=row["caption"] + " CafÃ©."),
    "MM421": lambda row: row.update(caption=row["caption"] + " Zero\u200bwidth."),
    "MM422": lambda row: row.update(caption=row["caption"] + " "),
}
IMAGES: dict[str, Breaking] = {
    "MM502": image(b"<html>no such image</html>"),
    "MM504": image(encoded(picture(0, WIDTH + 1, HEIGHT))),
    "MM505": image(encoded(picture(0))[:-500]),
    "MM506": image(encoded(picture(0), "BMP"), "0.bmp"),
    "MM507": image(encoded(picture(0)), "0.jpg"),
    "MM508": image(encoded(picture(0), "JPEG", exif=EXIF_ROTATED), "0.jpg"),
    "MM509": image(encoded(picture(0, mode="RGBA"))),
    "MM510": setting("image", {"bytes": None, "path": None}),
    "MM511": image(encoded(picture(0), save_all=True, append_images=[picture(7)])),
    "MM512": image(encoded(picture(0).point(lambda value: 77))),
    "MM513": both(
        image(encoded(picture(0, 20, 20)), width=20, height=20),
        setting("objects", []),
        lambda row: row.update(answer=row["answer"].replace(" <LCL-1>", "").replace(" <LCL-2>", "")),
    ),
}
IDENTITY: dict[str, Breaking] = {
    "MM611": of_object("ann_id", 101),
}

BREAKS: dict[str, Breaking] = {**STRUCTURE, **MASKS, **TAGS, **TEXT, **IMAGES, **IDENTITY}

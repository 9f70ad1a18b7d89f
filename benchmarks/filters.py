"""How often each filter speaks against labels that people wrote: the table of false alarms in docs/filters.md.

    python benchmarks/filters.py DATA [--scenes 500]

DATA is the folder of real data. Human captions of COCO are labels that should stay, so each reason against one is a false alarm
(but for real slips of the annotators, which count as alarms here). Three sets: the captions of coco_mini one by one, with the
objects of their image; the same five captions of an image joined, as `mmud build coco --set caption=joined` does; and all
captions of val2017 without objects. Answers and captions of generated scenes are the fourth. The degenerate results file of
COCO's captions ("a a a .") is what should be refused. Every filter looks, whatever its usual action.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mmud.annotations.filters.base import Action  # noqa: E402
from mmud.annotations.filters.screening import Screening  # noqa: E402
from mmud.annotations.filters.settings import make_plan  # noqa: E402
from mmud.commands.common import table  # noqa: E402
from mmud.dataset.filtered import filter_codes  # noqa: E402
from mmud.dataset.sources.scenes.config import PRESETS, preset  # noqa: E402
from mmud.dataset.sources.scenes.source import sample_of  # noqa: E402
from mmud.dataset.sources.scenes.world import generate  # noqa: E402
from mmud.records import MaskedObject, Sample  # noqa: E402


def coco(folder: Path, part: str, joined: bool) -> Iterator[Sample]:
    """Captions of coco_mini with the objects of their image, one by one or joined."""
    annotations = folder / "coco_mini" / "annotations"
    instances = json.loads((annotations / f"instances_{part}.json").read_bytes())
    named = json.loads((folder / "mini_refcoco" / "instances.json").read_bytes())["categories"]
    categories = {entry["id"]: entry["name"] for entry in named}
    objects: dict[int, list[MaskedObject]] = defaultdict(list)
    for entry in instances["annotations"]:
        objects[entry["image_id"]].append(
            MaskedObject(
                bbox=tuple(entry["bbox"]),
                area=entry["area"],
                category=categories[entry["category_id"]],
                iscrowd=bool(entry["iscrowd"]),
            )
        )
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in instances["images"]}
    captions: dict[int, list[str]] = defaultdict(list)
    for entry in json.loads((annotations / f"captions_{part}.json").read_bytes())["annotations"]:
        captions[entry["image_id"]].append(entry["caption"].strip())
    for image, texts in captions.items():
        for number, text in enumerate([" ".join(texts)] if joined else texts):
            width, height = sizes[image]
            yield Sample(
                sample_id=f"{image}-{number}",
                width=width,
                height=height,
                source="coco",
                caption=text,
                objects=tuple(objects[image]),
            )


def plain(captions: Iterable[tuple[str, str]]) -> Iterator[Sample]:
    for name, text in captions:
        yield Sample(sample_id=name, width=1, height=1, source="coco", caption=text)


def val2017(folder: Path) -> Iterator[Sample]:
    found = json.loads((folder / "captions" / "captions_val2017.json").read_bytes())["annotations"]
    return plain((str(entry["id"]), entry["caption"]) for entry in found)


def degenerate(folder: Path) -> Iterator[Sample]:
    found = json.loads((folder / "captions" / "captions_val2017_constant_aaa_results.json").read_bytes())
    return plain((str(entry["image_id"]), entry["caption"]) for entry in found)


def scenes(count: int) -> Iterator[Sample]:
    for name in PRESETS:
        for index in range(count):
            sample = sample_of(generate(preset(name, seed=1), index))
            yield sample.model_copy(update={"sample_id": f"{name}-{index}"})


def shares(samples: list[Sample], examples: int) -> tuple[dict[str, str], int, float]:
    """Code -> share of the labels that it speaks against; how many labels there are; CPU seconds."""
    plan = make_plan({})
    codes = filter_codes()
    settings = {
        name: values.model_copy(
            update={name: Action.REFUSE for name in ("action", "caption_action") if hasattr(values, name)}
        )
        for name, values in plan.settings.items()
        if values.action is not Action.OFF
    }
    counts: Counter[str] = Counter()
    total = 0
    start = time.process_time()
    with Screening(settings, frozenset(codes)) as screening:
        screening.survey(samples)
        for sample, verdict in screening.verdicts(samples):
            total += len(verdict.labels)
            for code, message in {reason.code.id: reason.message for _, reason in verdict.refused}.items():
                if counts[code] < examples:
                    print(f"{code} {sample.sample_id}: {message} | {sample.caption[:160]} | {sample.answer}")
                counts[code] += 1
    spent = time.process_time() - start
    return {code: f"{100 * counts[code] / total:.2f} %" for code in codes}, total, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of real data")
    parser.add_argument("--scenes", type=int, default=500, help="scenes of each preset")
    parser.add_argument("--examples", type=int, default=0, help="print so many findings of each code and set")
    options = parser.parse_args()
    parts = ("train2017", "val2017")
    sets = {
        "coco_mini, single": [sample for part in parts for sample in coco(options.data, part, False)],
        "coco_mini, joined": [sample for part in parts for sample in coco(options.data, part, True)],
        "val2017, texts": list(val2017(options.data)),
        "scenes": list(scenes(options.scenes)),
        '"a a a ."': list(degenerate(options.data)),
    }
    columns = {name: shares(samples, options.examples) for name, samples in sets.items()}
    codes = filter_codes()
    rows = [[id, code.title, *(columns[name][0][id] for name in sets)] for id, code in codes.items()]
    rows.append(["", "labels", *(f"{columns[name][1]:,}" for name in sets)])
    rows.append(["", "CPU ms a label", *(f"{1000 * columns[name][2] / columns[name][1]:.2f}" for name in sets)])
    print(table(["code", "what", *sets], rows))


if __name__ == "__main__":
    main()

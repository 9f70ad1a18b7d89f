"""How often the tag linker is right: the tables of docs/filters.md.

    python benchmarks/linking.py [--scenes 500] [--seeds 0,1,2] [--data shared/data]

Scenes: the tags of generated answers are taken off, linked anew from text, phrases, categories and boxes, and compared: a tag is
right at the same word and of the same object. Real phrases: with --data, each referring expression of a RefCOCO-family image
that has another one for the same object is taken from the object, put into a sentence, and linked; objects are those that the
set refers to in that image. It counts as right when the words at its start get the tag of its object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mmud.annotations.linking.linker import LEAST_SCORE, propose_tags  # noqa: E402
from mmud.annotations.linking.measuring import Tally, measure  # noqa: E402
from mmud.commands.common import table  # noqa: E402
from mmud.dataset.sources.scenes.config import PRESETS, preset  # noqa: E402
from mmud.dataset.sources.scenes.source import sample_of  # noqa: E402
from mmud.dataset.sources.scenes.world import generate  # noqa: E402
from mmud.records import MaskedObject  # noqa: E402

SENTENCE = "The answer is {}."
LOOKED_AT = 1103
"""Images of RefCOCO at the start of the merged refs whose errors were read while rules and scores were chosen."""
HEADER = ["", "texts", "tags", "proposed", "precision", "recall"]


def row(name: str, tally: Tally) -> list[object]:
    figures = [f"{value:.4f}" if value is not None else "-" for value in (tally.precision, tally.recall)]
    return [name, tally.texts, tally.wanted, tally.proposed, *figures]


def scenes(count: int, seeds: list[int]) -> None:
    families: dict[str, Tally] = defaultdict(Tally)
    worlds: dict[str, Tally] = {}
    lower: dict[float, Tally] = defaultdict(Tally)
    spent = 0.0
    for name in PRESETS:
        for seed in seeds:
            world = worlds.setdefault(f"{name}, seed {seed}", Tally())
            for index in range(count):
                scene = generate(preset(name, seed=seed), index)
                sample = sample_of(scene)
                start = time.process_time()
                tally = measure(sample.answer, sample.objects, sample.width, sample.height)
                spent += time.process_time() - start
                world.add(tally)
                families[scene.question.family].add(tally)
                for least in (0.0, 0.9, 0.95):
                    lower[least].add(measure(sample.answer, sample.objects, sample.width, sample.height, least))
    total = Tally()
    for tally in worlds.values():
        total.add(tally)
    print(
        f"Answers of scenes, score at least {LEAST_SCORE}; {1000 * spent / max(total.texts, 1):.2f} CPU ms an answer\n"
    )
    print(table(HEADER, [row(name, tally) for name, tally in worlds.items()] + [row("all", total)]))
    print("\nBy kind of question\n")
    print(table(HEADER, [row(name, tally) for name, tally in sorted(families.items())]))
    print("\nBy least score\n")
    print(table(HEADER, [row(str(least), tally) for least, tally in sorted(lower.items())]))


Thing = tuple[tuple[float, float, float, float], str, list[str]]
"""Box, category, phrases."""


def mini(folder: Path, name: str) -> Iterator[tuple[int, int, list[Thing]]]:
    """Width, height and things of each image of ``mini_refcoco``."""
    instances = json.loads((folder / "mini_refcoco" / "instances.json").read_bytes())
    categories = {entry["id"]: entry["name"] for entry in instances["categories"]}
    boxes = {entry["id"]: tuple(entry["bbox"]) for entry in instances["annotations"]}
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in instances["images"]}
    split_by = "umd" if name == "refcocog" else "unc"
    refs = json.loads((folder / "mini_refcoco" / name / f"refs({split_by}).json").read_bytes())
    by_image: dict[int, list[Thing]] = defaultdict(list)
    for ref in refs:
        sentences = [sentence["sent"] for sentence in ref["sentences"]]
        by_image[ref["image_id"]].append((boxes[ref["ann_id"]], categories[ref["category_id"]], sentences))
    for image, things in by_image.items():
        yield *sizes[image], things


def merged(folder: Path, name: str) -> Iterator[tuple[int, int, list[Thing]]]:
    """Width, height (of what the boxes span) and things of each image of the merged references."""
    instances = json.loads((folder / "mini_refcoco" / "instances.json").read_bytes())
    categories = {entry["id"]: entry["name"] for entry in instances["categories"]}
    by_image: dict[int, dict[int, Thing]] = defaultdict(dict)
    for ref in json.loads((folder / "refs" / "merged_refs_all_sources.json").read_bytes()):
        if ref["dataset"] == name and ref.get("bbox") and ref.get("sents"):
            thing = (tuple(ref["bbox"]), categories[ref["category_id"]], list(ref["sents"].values()))
            by_image[ref["image_id"]].setdefault(ref["ref_id"], thing)
    for found in by_image.values():
        things = list(found.values())
        yield (
            round(max(box[0] + box[2] for box, _, _ in things)),
            round(max(box[1] + box[3] for box, _, _ in things)),
            things,
        )


def references(images: Iterator[tuple[int, int, list[Thing]]], least: float) -> tuple[Tally, Tally]:
    """Every phrase held out once: of all objects, and of those that share their category with another one."""
    everything, ambiguous = Tally(), Tally()
    for width, height, things in images:
        for number, (_, category, phrases) in enumerate(things):
            for held, phrase in enumerate(phrases):
                if len(phrases) < 2:
                    continue
                words = phrase if phrase.lower().startswith(("the ", "a ", "an ")) else f"the {phrase}"
                objects = [
                    MaskedObject(
                        phrases=tuple(
                            text
                            for place, text in enumerate(own)
                            if (other, place) != (number, held) and text != phrase
                        ),
                        bbox=box,
                        area=box[2] * box[3],
                        category=kind,
                    )
                    for other, (box, kind, own) in enumerate(things)
                ]
                start = SENTENCE.index("{")
                found = [
                    proposal
                    for proposal in propose_tags(SENTENCE.format(words), objects, width, height)
                    if proposal.start == start and proposal.score >= least
                ]
                right = sum(proposal.index == number + 1 for proposal in found)
                tally = Tally(1, 1, len(found), right)
                everything.add(tally)
                if sum(kind == category for _, kind, _ in things) > 1:
                    ambiguous.add(tally)
    return everything, ambiguous


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500, help="scenes of each preset and seed")
    parser.add_argument("--seeds", default="0,1,2", help="seeds of the worlds, with commas")
    parser.add_argument("--data", type=Path, help="the folder of real data")
    options = parser.parse_args()
    scenes(options.scenes, [int(seed) for seed in options.seeds.split(",")])
    if options.data is not None:
        for least in (LEAST_SCORE, 0.0):
            rows = []
            for title, read in (("mini_refcoco", mini), ("merged refs", merged)):
                for name in ("refcoco", "refcoco+", "refcocog"):
                    for kind, tally in zip(
                        ("", ", same category"), references(read(options.data, name), least), strict=True
                    ):
                        rows.append(row(f"{title} {name}{kind}", tally))
            rest = islice(merged(options.data, "refcoco"), LOOKED_AT, None)
            for kind, tally in zip(("", ", same category"), references(rest, least), strict=True):
                rows.append(row(f"of merged refs refcoco, images not looked at{kind}", tally))
            print(f"\nReal phrases, score at least {least}\n")
            print(table(HEADER, rows))


if __name__ == "__main__":
    main()

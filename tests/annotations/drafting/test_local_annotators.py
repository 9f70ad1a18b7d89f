"""`template` and `scenes`: what they say holds in the masks, passes validation, and needs no network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bare_worlds import without_texts

from mmud.annotations import tags
from mmud.annotations.drafting import english
from mmud.annotations.drafting.base import ANNOTATORS, DraftTask, LeftOut
from mmud.annotations.drafting.budget import Budget, Meter
from mmud.annotations.drafting.template import TemplateAnnotator
from mmud.annotations.masks import Mask
from mmud.annotations.provenance import label_origins
from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset
from mmud.plugins import registries
from mmud.records import MaskedObject, Sample

ROOT = Path(__file__).resolve().parents[3]
METER = Meter(Budget())


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("many") / "scenes"
    report = build(Recipe(sources=({"type": "scenes", "samples": 150, "seed": 4, "width": 128, "height": 96},)), folder)
    assert report.dataset is not None
    return report.dataset


def facts(sample: Sample) -> dict[int, tuple[float, float, int]]:
    """Number -> centroid of the mask, and its pixels: computed here, from the masks, not from boxes and areas."""
    found = {}
    for number, item in enumerate(sample.objects, start=1):
        assert item.segmentation is not None
        rows, columns = np.nonzero(Mask.of(item.segmentation).decode())
        found[number] = (float(columns.mean()), float(rows.mean()), len(rows))
    return found


def check_answer(sample: Sample, question: str, answer: str) -> str:
    """Hold an answer against the masks; returns which kind of question it was."""
    known = facts(sample)
    numbers = tags.indices(answer)
    assert not tags.problems(answer, len(sample.objects))
    if question.startswith("In which order"):
        places = [known[number][0] for number in numbers]
        assert places == sorted(places)
        return "order"
    if question.startswith("Which of"):
        side = re.search(r"to the (left|right) of", question)
        assert side is not None
        *there, anchor = numbers
        assert all((known[number][0] < known[anchor][0]) is (side[1] == "left") for number in there)
        return "side"
    if question.startswith("Which is nearer"):
        near, anchor, far = (np.array(known[number][:2]) for number in numbers)
        assert np.linalg.norm(near - anchor) < np.linalg.norm(far - anchor)
        return "nearest"
    if question.startswith("Which takes up more"):
        assert known[numbers[0]][2] > known[numbers[1]][2]
        return "size"
    assert question.startswith("In which part")
    return "alone"


def drafts(dataset: Dataset) -> list[tuple[Sample, str, str]]:
    annotator = TemplateAnnotator()
    found = []
    for sample in dataset.samples():
        try:
            labels = annotator.draft(sample, DraftTask.QUESTION, METER).labels
        except LeftOut:
            continue
        found.append((sample, labels["question"], labels["answer"]))
    return found


def test_template_answers_hold_in_the_masks(many: Dataset) -> None:
    kinds = {check_answer(*found) for found in drafts(many)}
    assert {"order", "side", "nearest"} <= kinds


@pytest.mark.data
def test_template_answers_hold_in_real_masks(shared_data: Path, tmp_path: Path) -> None:
    coco = shared_data / "coco_mini"
    files = ["--instances", str(coco / "annotations" / "instances_val2017.json"), "--images", str(coco / "val2017")]
    assert run(["build", "coco", *files, "-o", str(tmp_path / "coco"), "-q"]) == 0
    found = drafts(Dataset(tmp_path / "coco"))
    assert len(found) > 70
    assert {check_answer(*one) for one in found} == {"order", "side", "nearest", "size", "alone"}
    out = tmp_path / "out"
    assert run(["annotate", str(tmp_path / "coco"), "-o", str(out), "-a", "template", "-q"]) == 0
    assert run(["validate", str(out), "--select", "MM3,MM4", "--fail-on", "warning", "-q"]) == 0


def check_names(sample: Sample) -> int:
    """Hold the phrases that rules gave against the masks; returns how many there are."""
    known = facts(sample)
    # Which measure a word speaks of, and whether it means the first or the last: x and y of the centroid, and pixels.
    words = {"left": (0, 0), "right": (0, -1), "upper": (1, 0), "lower": (1, -1), "smaller": (2, 0), "larger": (2, -1)}
    longer = {"leftmost": "left", "rightmost": "right", "topmost": "upper", "lowest": "lower", "smallest": "smaller"}
    named = [(number, phrase) for number, item in enumerate(sample.objects, start=1) for phrase in item.phrases]
    assert len({phrase for _, phrase in named}) == len(named)
    for number, phrase in named:
        category = sample.objects[number - 1].category
        kind = [other for other, item in enumerate(sample.objects, start=1) if item.category == category]
        assert not any(sample.objects[other - 1].iscrowd for other in kind)
        word = phrase.partition(" ")[0]
        word = longer.get(word, "larger" if word == "largest" else word)
        if word not in words:
            assert kind == [number]
            continue
        measure, end = words[word]
        assert sorted(kind, key=lambda other: known[other][measure])[end] == number
    return len(named)


@pytest.mark.data
def test_names_of_real_objects_hold_in_their_masks(shared_data: Path, tmp_path: Path) -> None:
    """``phrases = "names"`` gives every image something that referring can ask for; template drafts pass the filters."""
    coco = shared_data / "coco_mini"
    files = ["--instances", str(coco / "annotations" / "instances_val2017.json"), "--images", str(coco / "val2017")]
    built, drafted, kept = tmp_path / "coco", tmp_path / "drafted", tmp_path / "kept"
    assert run(["build", "coco", *files, "--set", "phrases=names", "-o", str(built), "-q"]) == 0
    samples = list(Dataset(built).samples())
    assert len(samples) == 79
    for sample in samples:
        assert check_names(sample) > 0
        assert label_origins(sample.provenance)["phrases"]["annotator"] == "names"
    assert run(["annotate", str(built), "-a", "template", "-o", str(drafted), "-q"]) == 0
    assert run(["filter", str(drafted), "-o", str(kept), "-q"]) == 0
    for sample in Dataset(kept).samples():
        assert sample.caption
        assert "referred to as" not in sample.caption
        assert tags.indices(sample.answer)


def test_template_output_is_valid_and_repeatable(
    silent: Dataset, many: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = without_texts(many, tmp_path / "bare")
    for name in ("one", "two"):
        assert run(["annotate", str(bare.path), "-o", str(tmp_path / name), "-a", "template", "-q", "--json"]) == 0
    reports = capsys.readouterr().out
    assert reports.count('"fingerprint"') == 2
    one, two = Dataset(tmp_path / "one"), Dataset(tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    assert run(["validate", str(one.path), "--select", "MM3,MM4", "--fail-on", "warning", "-q"]) == 0
    for sample in one.samples():
        assert len(sample.caption.split()) > 20
        if sample.question:
            origin = label_origins(sample.provenance)["answer"]
            assert (origin["annotator"], origin["version"]) == ("template", "2")
    assert not list(tmp_path.glob("*.sqlite"))


def test_template_says_nothing_where_there_is_nothing_to_say() -> None:
    box = MaskedObject(bbox=(2.0, 3.0, 10.0, 10.0), area=100.0, category="dog")
    annotator = TemplateAnnotator()
    empty = Sample(sample_id="e", width=64, height=48, source="x")
    for task in DraftTask:
        with pytest.raises(LeftOut, match="MM963"):
            annotator.draft(empty, task, METER)
    boxed = empty.model_copy(update={"objects": (box,)})
    assert "a dog" in annotator.draft(boxed, DraftTask.CAPTION, METER).labels["caption"]
    # A tag must point at a mask.
    with pytest.raises(LeftOut, match="mask"):
        annotator.draft(boxed, DraftTask.QUESTION, METER)


@pytest.mark.parametrize("phrase", ["<LCL-1>", "{caption}", "##Question", "dog", "a\nb\x00c", "“x”", "x" * 300])
def test_strange_phrases_and_categories_stay_out_of_captions(phrase: str) -> None:
    item = MaskedObject(bbox=(2.0, 3.0, 10.0, 10.0), area=100.0, category=phrase, phrases=(phrase,))
    sample = Sample(sample_id="e", width=64, height=48, source="x", objects=(item,))
    caption = TemplateAnnotator().draft(sample, DraftTask.CAPTION, METER).labels["caption"]
    assert not set("<>{}#\n\x00") & set(caption)


def test_words() -> None:
    # English as dictionaries have it, for the irregular ones among COCO's 80 categories and some of the regular.
    words = "person bus knife sheep mouse bench sandwich couch toothbrush scissors skis zebra cherry toy"
    many = "people buses knives sheep mice benches sandwiches couches toothbrushes scissors skis zebras cherries toys"
    assert [english.plural(word) for word in words.split()] == many.split()
    assert english.plural("dining table") == "dining tables"
    assert [english.a(word) for word in ("umbrella", "unicycle", "hour", "dog", "scissors")] == [
        "an umbrella", "a unicycle", "an hour", "a dog", "scissors",
    ]  # fmt: skip


def test_scenes_gives_a_world_its_own_texts_back(told: Dataset, silent: Dataset, tmp_path: Path) -> None:
    base = ["annotate", str(silent.path), "-a", "scenes", "-q"]
    world = ["--set", "max_objects=4", "--set", "min_objects=3"]
    assert run([*base, "-o", str(tmp_path / "given"), *world]) == 0
    assert Dataset(tmp_path / "given").fingerprint == told.fingerprint
    # From the recipe of the dataset itself.
    assert run(["annotate", str(told.path), "-a", "scenes", "-q", "-o", str(tmp_path / "again"), "--replace"]) == 0
    assert Dataset(tmp_path / "again").fingerprint == told.fingerprint
    # Another world's texts would be lies.
    assert run([*base, "-o", str(tmp_path / "other"), "--set", "preset=hard"]) == 0
    other = Dataset(tmp_path / "other")
    assert other.fingerprint == silent.fingerprint
    codes = {json.loads(line)["code"] for line in (other.path / "findings.jsonl").read_text().splitlines()}
    assert codes == {"MM967"}
    assert run([*base, "-o", str(tmp_path / "no"), "--set", "preset=odd"]) != 0


def test_scenes_leaves_other_samples_alone() -> None:
    annotator = ANNOTATORS.get("scenes")()
    sample = Sample(sample_id="e", width=64, height=48, source="coco", provenance={"seed": 1, "index": 2})
    with pytest.raises(LeftOut, match="MM963"):
        annotator.draft(sample, DraftTask.CAPTION, METER)


PLUGIN = """
from mmud.annotations.drafting.base import Annotator, Draft, DraftTask

class Shouting(Annotator):
    name = "shouting"
    title = "says the id aloud"
    tasks = (DraftTask.CAPTION,)
    reads_images = False
    def draft(self, sample, task, meter):
        return Draft({"caption": f"THIS IS THE SAMPLE WITH THE ID {sample.sample_id.upper()}."})
"""


def test_an_annotator_of_another_package(silent: Dataset, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "loud.py").write_text(PLUGIN, "utf-8")
    info = site / "loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[mmud.annotators]\nshouting = loud:Shouting\n", "utf-8")

    def mmud(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
        return subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    assert "mmud.annotators" in [registry.group for registry in registries()]
    done = mmud("annotate", str(silent.path), "-o", str(tmp_path / "out"), "-a", "shouting", "-q")
    assert done.returncode == 0, done.stderr
    first = Dataset(tmp_path / "out").first()
    assert first.caption == f"THIS IS THE SAMPLE WITH THE ID {first.sample_id.upper()}."
    assert first.question == ""

"""Building: the same bytes whatever the workers, the kill or the recipe; splits that never leak; nothing half-written."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmud.cli import run
from mmud.dataset.build import BuildReport, build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.base import SOURCES, Converted, Item, Source
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.records import ImageReference, Sample

ROOT = Path(__file__).resolve().parent.parent.parent
SCENES = {"type": "scenes", "samples": 40, "seed": 3, "width": 48, "height": 48, "max_objects": 4}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        # The card and the manifest hold the folder's name.
        if path.is_file() and path.name not in ("README.md", "mmud.json")
    }


def test_the_same_bytes_whatever_the_workers_and_from_its_own_recipe(tmp_path: Path) -> None:
    recipe = Recipe(sources=(SCENES,), shard_rows=7)
    one = build(recipe, tmp_path / "one")
    assert one.dataset is not None
    build(recipe, tmp_path / "two", workers=2)
    again = build(Recipe.read(tmp_path / "one" / "recipe.toml"), tmp_path / "again")
    assert again.dataset is not None
    assert checksums(tmp_path / "one") == checksums(tmp_path / "two") == checksums(tmp_path / "again")
    assert one.dataset.fingerprint == again.dataset.fingerprint
    assert sum(one.splits.values()) == 40
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["again", "one", "two"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir() if path.name != "README.md") == [
        "data",
        "findings.jsonl",
        "mmud.json",
        "recipe.toml",
    ]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "cli.py",
        "build",
        "scenes",
        "--samples",
        "120",
        "--set",
        "width=48",
        "--set",
        "height=48",
    ]
    command += ["--set", "max_objects=4", "--shard-size", "8", "--workers", "2", "-q", "-o"]
    started = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    took = time.monotonic() - started
    generator = random.Random(5)
    kills = 0
    for _ in range(8):
        process = subprocess.Popen(
            [*command, str(tmp_path / "killed")], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(timeout=generator.uniform(0.15, 0.5) * took)
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            assert not (tmp_path / "killed").exists()
    if not (tmp_path / "killed").exists():
        subprocess.run([*command, str(tmp_path / "killed")], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    assert kills >= 1
    assert checksums(tmp_path / "killed") == checksums(tmp_path / "whole")
    assert not (tmp_path / "killed.partial").exists()


class Made(Source):
    """A source for these tests: items are given, odd ones raise or are reported."""

    name = "made"

    def __init__(self, rows: list[list[Any]], broken: list[str]) -> None:
        self._rows = rows
        self._broken = broken

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Made:
        return cls(options["rows"], options.get("broken", []))

    def options(self) -> dict[str, Any]:
        return {"rows": self._rows, "broken": self._broken}

    def items(self) -> Any:
        for key, split, group in self._rows:
            yield Item(key, split or None, group, key)

    def convert(self, item: Item) -> Converted:
        from mmud.dataset import codes

        if item.key in self._broken:
            raise MmudError(codes.SAMPLE_UNKNOWN, "broken on purpose", Place(sample=item.key))
        image = ImageReference(bytes=b"x", path=f"/somewhere/{item.key}.png")
        sample = Sample(sample_id=item.key, image=image, width=1, height=1, source="made")
        odd = Finding(codes.BUILD_SPLIT_CONFLICT, Place(sample=item.key), "odd")
        return Converted(sample, [odd] if item.key.endswith("0") else [])

    def describe(self) -> dict[str, Any]:
        return {"name": "made", "title": "Made", "license": "", "homepage": "", "citation": "", "files": {}}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    original = SOURCES.get
    monkeypatch.setattr(SOURCES, "get", lambda name: Made if name == "made" else original(name))


def rows(count: int, split: str = "", images: int | None = None, prefix: str = "k") -> list[list[str]]:
    return [[f"{prefix}{number}", split, f"image{number % (images or count)}"] for number in range(count)]


def splits_of(report: BuildReport) -> dict[str, list[str]]:
    assert report.dataset is not None
    return {split: [sample.sample_id for sample in report.dataset.samples(split)] for split in report.dataset.splits}


@pytest.mark.usefixtures("made")
def test_new_splits_keep_the_shares_and_never_part_an_image(tmp_path: Path) -> None:
    shares = {"train": 0.8, "valid": 0.1, "test": 0.1}
    recipe = Recipe(sources=({"type": "made", "rows": rows(1000, images=250)},), split=shares, seed=1)
    found = splits_of(build(recipe, tmp_path / "a"))
    assert {name: len(ids) for name, ids in found.items()} == {"train": 800, "valid": 100, "test": 100}
    images = {split: {int(key[1:]) % 250 for key in ids} for split, ids in found.items()}
    assert not images["train"] & images["test"]
    assert not images["train"] & images["valid"]
    assert not images["valid"] & images["test"]
    other = splits_of(build(Recipe(sources=recipe.sources, split=shares, seed=2), tmp_path / "b"))
    assert other != found
    # The split of an image depends on the image and the seed, not on the order of the source.
    backwards = ({"type": "made", "rows": rows(1000, images=250)[::-1]},)
    turned = splits_of(build(Recipe(sources=backwards, split=shares, seed=1), tmp_path / "c"))
    assert {name: sorted(ids) for name, ids in turned.items()} == {name: sorted(ids) for name, ids in found.items()}


@pytest.mark.usefixtures("made")
def test_merged_sources_put_an_image_where_evaluation_is_strictest(tmp_path: Path) -> None:
    first = {"type": "made", "rows": [["a1", "train", "x"], ["a2", "train", "y"]]}
    second = {"type": "made", "rows": [["b1", "test", "x"], ["b2", "valid", "y"], ["b3", "train", "z"]]}
    report = build(Recipe(sources=(first, second)), tmp_path / "a")
    assert splits_of(report) == {"train": ["b3"], "valid": ["a2", "b2"], "test": ["a1", "b1"]}
    assert report.findings["MM752"] == 2
    text = (tmp_path / "a" / "findings.jsonl").read_text()
    assert "image x is in train and in test: it goes to test" in text


@pytest.mark.usefixtures("made")
def test_a_broken_sample_stops_the_build_or_is_listed(tmp_path: Path) -> None:
    recipe = Recipe(sources=({"type": "made", "rows": rows(20), "broken": ["k7"]},), shard_rows=3)
    with pytest.raises(MmudError, match="broken on purpose"):
        build(recipe, tmp_path / "a")
    assert not list(tmp_path.glob("a*"))
    report = build(recipe, tmp_path / "a", skip_broken=True)
    assert report.lost == 1
    assert len(splits_of(report)["train"]) == 19
    assert report.findings == {"MM752": 2, "MM753": 1}


@pytest.mark.usefixtures("made")
def test_ids_are_unique_and_something_is_there(tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM751"):
        build(Recipe(sources=({"type": "made", "rows": rows(3) + rows(1)},)), tmp_path / "a")
    with pytest.raises(MmudError, match="MM755"):
        build(Recipe(sources=({"type": "made", "rows": []},)), tmp_path / "a")
    assert not list(tmp_path.glob("a*"))


@pytest.mark.usefixtures("made")
def test_linked_images_keep_their_path_and_embedded_ones_their_name(tmp_path: Path) -> None:
    source = {"type": "made", "rows": rows(2)}
    build(Recipe(sources=(source,), images="link"), tmp_path / "linked")
    sample = Dataset(tmp_path / "linked").first(images=True)
    assert (sample.image.bytes, sample.image.path) == (None, "/somewhere/k0.png")
    build(Recipe(sources=(source,)), tmp_path / "embedded")
    sample = Dataset(tmp_path / "embedded").first(images=True)
    assert (sample.image.bytes, sample.image.path) == (b"x", "k0.png")
    with pytest.raises(MmudError, match="MM753"):
        build(Recipe(sources=(SCENES,), images="link"), tmp_path / "drawn")


@pytest.mark.usefixtures("made")
def test_a_limit_counts_by_source(tmp_path: Path) -> None:
    sources = ({"type": "made", "rows": rows(9)}, {"type": "made", "rows": rows(9, "test", prefix="m")})
    assert splits_of(build(Recipe(sources=sources, limit=2), tmp_path / "a")) == {"test": ["k0", "k1", "m0", "m1"]}


RECIPES = {
    "": "needs at least one",
    "[build]\nimages = 'embed'": "needs at least one",
    "[build]\nimage = 'embed'\n[[source]]\ntype = 'scenes'": "unknown key image",
    "[build]\nimages = 'both'\n[[source]]\ntype = 'scenes'": "embed or link",
    "[build]\nshard_rows = 0\n[[source]]\ntype = 'scenes'": "whole number",
    "[build]\nsplit = { train = 0.5 }\n[[source]]\ntype = 'scenes'": "add up to 0.5",
    "[build.split]\n'a b' = 1.0\n[[source]]\ntype = 'scenes'": "letters",
    "[[source]]\nsamples = 1": "needs a type",
    "source = 3": "tables",
    "[[source]\n": "cannot read",
}


@pytest.mark.parametrize(("text", "message"), RECIPES.items())
def test_unusable_recipes(tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    assert run(["build", str(file), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "MM754" in error
    assert message in error
    assert not list(tmp_path.glob("out*"))


def test_a_recipe_survives_toml() -> None:
    odd = 'quote " backslash \\ newline \n tab \t é \x7f \u2028'
    source = {"type": "x", "text": odd, "list": [1, 2.5, True, "a"], "table": {"a b": 1, "c": [odd]}, "share": 1e-7}
    recipe = Recipe(
        sources=(source,), split={"train": 0.25, "test": 0.75}, seed=4, limit=3, shard_rows=5, images="link"
    )
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    options = ["--samples", "12", "--set", "width=48", "--set", "height=48", "--set", "max_objects=4", "-q", "--json"]
    assert run(["build", "scenes", *options, "--dry-run", "-o", str(tmp_path / "d")]) == 0
    assert sum(json.loads(capsys.readouterr().out)["splits"].values()) == 12
    assert not (tmp_path / "d").exists()
    assert run(["build", "scenes", *options, "--split", "train=0.5,test=0.5", "-o", str(tmp_path / "d")]) == 0
    assert json.loads(capsys.readouterr().out)["splits"] == {"train": 6, "test": 6}
    also = ["--also", "scenes --samples 4 --seed 9 --width 48 --height 48 --max-objects 4"]
    assert run(["build", "scenes", *options, *also, "--seed", "8", "-o", str(tmp_path / "e")]) == 0
    assert sum(json.loads(capsys.readouterr().out)["splits"].values()) == 16
    for wrong in (["--split", "train"], ["--set", "width"], ["--images", "link", "--images", "embed"], ["--also", ""]):
        assert run(["build", "scenes", *wrong, "-o", str(tmp_path / "f")]) == 2
        assert "MM001" in capsys.readouterr().err
    assert run(["build", "scenes", *options, "-o", str(tmp_path / "d")]) == 2
    assert run(["build", "scnes", "-o", str(tmp_path / "f")]) == 2
    assert "Did you mean scenes?" in capsys.readouterr().err

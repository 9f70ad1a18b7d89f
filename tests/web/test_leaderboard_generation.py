"""Generated images on the pages of systems: the best and worst beside the real ones, and nothing of a stranger's file passed on.

Which are best is worked out here again, by numpy, from the images of the submission.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmud.baselines.floors.labels import Oracle
from mmud.baselines.predicting import write_predictions
from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset
from mmud.evaluators.generation import extractors
from mmud.evaluators.leaderboard.adding import add_submission
from mmud.evaluators.leaderboard.board import Loaded, entries
from mmud.records import Task
from mmud.web.leaderboard import render_board

SCENES = {"type": "scenes", "samples": 24, "seed": 3, "width": 96, "height": 64, "max_objects": 4}
SECRET = "<script>document.title='owned'</script>"


class Colours:
    """The mean colours of both halves."""

    def __init__(self, options: extractors.ExtractorOptions) -> None:
        self.limits = options.limits
        self.identity = extractors.ExtractorIdentity(
            "colours", "none", None, extractors.mode_label("plain", options.limits)
        )

    def extract(self, sources: Any, progress: Any = None) -> np.ndarray:
        return np.stack([colours(source.pixels(self.limits)) for source in sources])


def colours(pixels: np.ndarray) -> np.ndarray:
    half = pixels.shape[0] // 2
    return np.concatenate([pixels[:half].mean((0, 1)), pixels[half:].mean((0, 1))]).astype(np.float32)


def read(file: Any) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        extractors.EXTRACTORS, "get", {"colours": Colours, "features": extractors.SubmittedFeatures}.get
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    report = build(Recipe(sources=(SCENES,), split={"train": 0.5, "test": 0.5}), folder)
    assert report.dataset is not None
    return report.dataset


@pytest.fixture
def submission(dataset: Dataset, tmp_path: Path) -> Path:
    """The real images with other colours, more so from one to the next, and a stranger's text in each file."""
    folder = write_predictions(tmp_path / "painter", dataset, Oracle(), tasks=[Task.GENERATION], name="painter")
    for index, path in enumerate(sorted((folder / "images").iterdir())):
        pixels = read(path).astype(np.int64)
        pixels[:, :, index % 3] += 12 * index
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, "PNG", pnginfo=text)
    return Path(folder)


def entered(board: Path, path: Path, dataset: Dataset, **more: Any) -> Loaded:
    extras = more.pop("extras", {"generation": {"extractor": "colours"}})
    return add_submission(board, path, dataset, extras=extras, **more)


def records(page: Path) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    return [one for one in json.loads(found[1])["records"] if one["beside"]]


def pixels_of(uri: str) -> np.ndarray:
    return read(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def cosines(folder: Path, dataset: Dataset) -> dict[str, float]:
    lines = [json.loads(line) for line in (folder / "generation.jsonl").read_text("utf-8").splitlines()]
    made = {line["sample_id"]: read(folder / line["image"]) for line in lines}
    found = {}
    for sample in dataset.samples("test", images=True):
        real = read(io.BytesIO(sample.image_bytes()))
        one, other = colours(made[sample.sample_id]).astype(float), colours(real).astype(float)
        found[sample.sample_id] = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    return found


def test_best_and_worst_are_drawn_beside_the_real_ones(dataset: Dataset, submission: Path, tmp_path: Path) -> None:
    archive = tmp_path / "painter.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in submission.rglob("*"):
            packed.write(path, path.relative_to(submission))
    expected = cosines(submission, dataset)
    order = sorted(expected, key=expected.__getitem__, reverse=True)
    truth = {sample.sample_id: sample for sample in dataset.samples("test", images=True)}
    images = {
        line["sample_id"]: read(submission / line["image"])
        for line in map(json.loads, (submission / "generation.jsonl").read_text("utf-8").splitlines())
    }
    entered(tmp_path / "board", archive, dataset)
    shutil.rmtree(submission)
    archive.unlink()
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    page = tmp_path / "site" / "systems" / "painter.html"
    drawn = records(page)
    assert [one["id"] for one in drawn] == [*order[:4], *order[-4:]]
    for number, one in enumerate(drawn):
        group = "best" if number < 4 else "worst"
        assert one["figures"] == [[f"{group} of generation", f"feature_cosine {expected[one['id']]:.4f}"]]
        (beside,) = one["beside"]
        # Small images are encoded without loss, so every pixel is the one that was handed in.
        assert (pixels_of(beside["image"]) == images[one["id"]]).all()
        assert (pixels_of(one["image"]) == read(io.BytesIO(truth[one["id"]].image_bytes()))).all()
        assert "prediction" not in one["layers"]


def test_nothing_of_a_strangers_file_is_passed_on(dataset: Dataset, submission: Path, tmp_path: Path) -> None:
    loaded = entered(tmp_path / "board", submission, dataset)
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    kept = sorted((loaded.folder / "examples").iterdir())
    assert len(kept) == 8
    shown = [base64.b64decode(one["beside"][0]["image"].split(",")[1]) for one in records(page_of(tmp_path))]
    assert all(
        b"Comment" not in data and b"owned" not in data for data in [*shown, *(one.read_bytes() for one in kept)]
    )
    # An entry's folder may have come from somebody else, and its files are looked at again.
    kept[0].write_bytes(b"no image")
    kept[1].unlink()
    lines = (loaded.folder / "examples.jsonl").read_text("utf-8").splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "picture": "../scores.json"})
    (loaded.folder / "examples.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    troubles = [one["beside"][0]["trouble"][:5] for one in records(page_of(tmp_path)) if not one["beside"][0]["image"]]
    assert troubles == ["MM502", "MM002", "MM002"]


def page_of(folder: Path) -> Path:
    return folder / "site" / "systems" / "painter.html"


def test_large_images_are_brought_down(dataset: Dataset, submission: Path, tmp_path: Path) -> None:
    path = sorted((submission / "images").iterdir())[0]
    Image.fromarray(read(path).repeat(15, axis=0).repeat(15, axis=1)).save(path)
    loaded = entered(tmp_path / "board", submission, dataset)
    sizes = {read(one).shape[:2] for one in (loaded.folder / "examples").iterdir()}
    assert (480, 720) in sizes
    assert max(side for size in sizes for side in size) == 720


def test_the_command_line_turns_images_as_they_were_scored(
    dataset: Dataset, submission: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted((submission / "images").iterdir())[0]
    upright = read(path)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen, turn the stored pixels clockwise by a quarter (TIFF 6.0, Orientation)
    Image.fromarray(np.rot90(upright)).save(path, "PNG", exif=exif)
    shared = ["leaderboard", "add", str(tmp_path / "board"), str(submission), "--data", str(dataset.path), "--json"]
    for given, shown in (([], np.rot90(upright)), (["--exif", "--force"], upright)):
        assert run([*shared, "--extractor", "colours", "--no-cache", *given]) == 0
        folder = Path(json.loads(capsys.readouterr().out)["entry"])
        pictures = [read(one) for one in (folder / "examples").iterdir()]
        assert any(one.shape == shown.shape and (one == shown).all() for one in pictures)
        assert ("plain+exif" in (folder / "scores.json").read_text("utf-8")) == ("--exif" in given)


def test_features_without_images_say_so(dataset: Dataset, submission: Path, tmp_path: Path) -> None:
    ids = [sample.sample_id for sample in dataset.samples("test")]
    truth = np.random.default_rng(0).normal(size=(len(ids), 6)).astype(np.float32)
    np.savez(tmp_path / "reference.npz", sample_ids=np.array(ids), features=truth)
    rows = [{"sample_id": name, "feature": (row + 0.5).tolist()} for name, row in zip(ids, truth, strict=True)]
    broken = sorted((submission / "images").iterdir())[0]
    broken.write_bytes(b"no image")
    for row in rows[1:]:
        row["image"] = f"images/{broken.name}"
    (submission / "generation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    extras = {"generation": {"reference_features": str(tmp_path / "reference.npz")}}
    loaded = entered(tmp_path / "board", submission, dataset, extras=extras)
    assert all("feature" not in row["prediction"] for row in loaded.examples())
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    said = {one["id"]: one["beside"][0]["trouble"] for one in records(page_of(tmp_path))}
    assert {text[:5] for name, text in said.items() if name != ids[0]} == {"MM502"}
    assert said.get(ids[0], "features, and no image").find("features, and no image") >= 0


def test_without_a_figure_of_single_samples_the_first_are_shown(
    dataset: Dataset, submission: Path, tmp_path: Path
) -> None:
    lines = (submission / "generation.jsonl").read_text("utf-8").splitlines()
    (submission / "generation.jsonl").write_text(lines[0] + "\n", "utf-8")
    loaded = entered(tmp_path / "board", submission, dataset, allow_partial=True)
    assert loaded.entry.status == "partial"
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    (one,) = records(page_of(tmp_path))
    assert one["figures"] == [["first of generation, by id", "there is no figure of single samples"]]
    assert one["id"] == json.loads(lines[0])["sample_id"]
    assert one["beside"][0]["image"]


def test_entries_of_before_are_still_drawn(dataset: Dataset, submission: Path, tmp_path: Path) -> None:
    loaded = entered(tmp_path / "board", submission, dataset)
    (loaded.folder / "examples.jsonl").write_text("", "utf-8")
    shutil.rmtree(loaded.folder / "examples")
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    assert not page_of(tmp_path).exists()
    assert [one.entry.name for one in entries(tmp_path / "board")] == ["painter"]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(dataset: Dataset, submission: Path, tmp_path: Path, scheme: Any) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    (submission / "captioning.jsonl").write_text(
        "".join(
            json.dumps({"sample_id": sample.sample_id, "caption": sample.caption}) + "\n"
            for sample in dataset.samples("test")
        ),
        "utf-8",
    )
    entered(tmp_path / "board", submission, dataset)
    render_board(tmp_path / "board", tmp_path / "site", dataset)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
        problems: list[str] = []
        page.on("console", lambda message: "willReadFrequently" in message.text or problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_of(tmp_path).as_uri())
        card = page.locator("article.wide").first
        card.scroll_into_view_if_needed()
        real, generated = (card.locator("figure img").nth(index).bounding_box() for index in (0, 1))
        assert real is not None
        assert generated is not None
        assert abs(real["y"] - generated["y"]) < 1
        assert real["width"] == pytest.approx(generated["width"], abs=1)
        assert generated["x"] >= real["x"] + real["width"]
        assert card.locator("figcaption").all_text_contents() == ["Real image", "Generated image"]

        def inked() -> int:
            page.wait_for_timeout(200)
            found: int = card.locator("canvas").evaluate(
                "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
                ".filter((value, index) => index % 4 === 3 && value > 110).length"
            )
            return found

        # No mask lies over the real image until somebody asks where an object is.
        assert not inked()
        card.locator(".phrase").first.hover()
        assert inked()
        page.set_viewport_size({"width": 500, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 500
        assert not problems
        browser.close()

"""The gallery: hostile text stays text, masks light up, and the page is the same in every run."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">\u2028&amp;"


def picture(seed: int, height: int = 40, width: int = 60) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def samples(count: int) -> Iterator[Sample]:
    for number in range(count):
        mask = np.zeros((40, 60), np.uint8)
        mask[5:20, 10 : 30 + number % 7] = 1
        other = np.zeros((40, 60), np.uint8)
        other[25:38, 2:50] = 1
        yield Sample(
            sample_id=f"s{number}",
            image=ImageReference(bytes=picture(number) if number != 3 else b"no image", path=f"{number}.png"),
            width=60,
            height=40,
            source="made",
            caption=f"caption {number} {HOSTILE}",
            question=f"where? {HOSTILE}",
            answer=f"there <LCL-2>, not <LCL-9> {HOSTILE}",
            objects=tuple(
                MaskedObject(
                    phrases=(f"left {HOSTILE}",), segmentation=Mask.from_array(array).to_record(), category="thing"
                )
                for array in (mask, other)
            ),
        )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    return write_dataset(tmp_path / "data set", {"train": samples(9), "test": samples(0)}, shard_rows=4)


def page_data(page: str) -> Any:
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_hostile_text_cannot_leave_its_string(dataset: Dataset, tmp_path: Path) -> None:
    page_file = tmp_path / "page.html"
    assert run(["browse", str(dataset.path), "-o", str(page_file), "-q"]) == 0
    page = page_file.read_text("utf-8")
    assert "<script>document" not in page
    assert "onerror" in page
    assert "<img src=x" not in page
    assert page.count("<script") == 2
    records = page_data(page)["records"]
    assert [record["id"] for record in records] == [f"s{i}" for i in range(9)]
    assert records[0]["texts"][2][1] == f"caption 0 {HOSTILE}"
    assert records[3]["image"] is None
    assert "MM502" in records[3]["trouble"]
    assert "://" not in page


def test_the_page_is_the_same_in_every_run(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        assert run(["browse", str(dataset.path), "-o", str(tmp_path / name), "-q"]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_selection(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "p.html"

    def shown(*arguments: str) -> list[str]:
        assert run(["browse", str(dataset.path), "-o", str(page), "--force", "-q", *arguments]) == 0
        return [record["id"] for record in page_data(page.read_text("utf-8"))["records"]]

    assert shown("--limit", "3") == ["s0", "s3", "s6"]
    assert shown("--id", "s7", "--id", "s2") == ["s7", "s2"]
    assert shown("--limit", "0") == [f"s{i}" for i in range(9)]
    (dataset.path / "findings.jsonl").write_text(
        json.dumps({"code": "MM501", "message": "gone", "place": {"sample": "s4"}}) + "\n", "utf-8"
    )
    assert shown("--code", "MM5") == ["s4"]
    assert run(["browse", str(dataset.path), "-o", str(page), "-q"]) == 2
    assert "MM003" in capsys.readouterr().err
    for wrong, code in ((("--id", "nobody"), "MM109"), (("--split", "dev"), "MM108"), (("--split", "test"), "MM001")):
        assert run(["browse", str(dataset.path), "-o", str(page), "--force", *wrong]) == 2
        assert code in capsys.readouterr().err


def test_sheets_hold_every_sample(dataset: Dataset, tmp_path: Path) -> None:
    from mmud.web.sheets import painted, write_sheets

    pages = write_sheets(tmp_path / "sheets", dataset.samples(images=True), columns=2, rows=2)
    assert [page.name for page in pages] == ["sheet-001.png", "sheet-002.png", "sheet-003.png"]
    sample = next(dataset.samples(images=True))
    plain = np.asarray(Image.open(io.BytesIO(sample.image_bytes())).convert("RGB"))
    segmentation = sample.objects[0].segmentation
    assert segmentation is not None
    changed = (painted(sample) != plain).any(axis=2)
    union = np.zeros((40, 60), bool)
    for item in sample.objects:
        assert item.segmentation is not None
        union |= Mask.of(item.segmentation).decode().astype(bool)
    # A tint can equal the pixel it covers; outside the masks nothing may change, inside nearly everything must.
    assert not (changed & ~union).any()
    assert changed[union].mean() > 0.97


@pytest.mark.browser
def test_in_a_browser(dataset: Dataset, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    page_file = tmp_path / "page.html"
    assert run(["browse", str(dataset.path), "-o", str(page_file), "-q"]) == 0
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        problems: list[str] = []
        # The test itself reads the canvas back, which Chromium remarks on.
        page.on("console", lambda message: "willReadFrequently" in message.text or problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())
        assert page.title() == "data set"
        assert page.text_content("#count") == "9 of 9"
        assert page.locator("article").count() == 9
        assert page.locator("#sample-1 .tag.lost").count() == 1
        # Pointing at the tag lights up the object's phrase, and darkens what is outside its mask.
        page.hover("#sample-1 .tag[data-object='2']")
        assert page.locator("#sample-1 .phrase.lit").get_attribute("data-object") == "2"
        alpha = page.evaluate(
            """() => { const c = document.querySelector('#sample-1 canvas').getContext('2d');
                       return [c.getImageData(5, 30, 1, 1).data[3], c.getImageData(15, 10, 1, 1).data[3],
                               c.getImageData(55, 2, 1, 1).data[2]]; }"""
        )
        assert alpha == [140, 110, 0]
        # Pointing at the object in the image lights up its phrase.
        box = page.locator("#sample-1 canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 15.5 / 60, box["y"] + box["height"] * 10.5 / 40)
        assert page.locator("#sample-1 .phrase.lit").get_attribute("data-object") == "1"
        page.fill("#search", "caption 7")
        assert page.text_content("#count") == "1 of 9"
        page.fill("#search", "")
        page.locator("h1").click()
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "sample-2"
        assert page.title() == "data set"
        assert problems == []
        browser.close()


def test_a_title_that_looks_like_a_place_of_the_template_stays_text(tmp_path: Path) -> None:
    from mmud.web.gallery import write_page

    assert write_page(tmp_path / "p.html", "@@data@@ @@script@@ @@nonce@@", "@@title@@", []) == 0
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "<h1>@@data@@ @@script@@ @@nonce@@</h1>" in page
    assert page_data(page)["records"] == []

"""From real images with objects to a complete dataset: built, drafted, filtered, reviewed in a real browser, validated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from review_server import chromium_page, serving, shown

from mmud.cli import run
from mmud.dataset.store import Dataset

pytestmark = [pytest.mark.browser, pytest.mark.data]


def refer(data: Path) -> list[str]:
    folder = data / "mini_refcoco"
    files = ["--instances", str(folder / "instances.json"), "--captions", str(folder / "captions.json")]
    return [
        "refer",
        str(folder),
        "--dataset",
        "refcoco",
        "--split-by",
        "unc",
        *files,
        "--images",
        str(folder / "images"),
    ]


def coco(data: Path) -> list[str]:
    folder = data / "coco_mini"
    notes = folder / "annotations"
    files = ["--instances", str(notes / "instances_val2017.json"), "--captions", str(notes / "captions_val2017.json")]
    return ["coco", *files, "--images", str(folder / "val2017"), "--limit", "9"]


@pytest.mark.parametrize("source", [refer, coco])
def test_from_build_to_a_complete_dataset(
    source: Callable[[Path], list[str]],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    built, drafted, kept, made = (str(tmp_path / name) for name in ("built", "drafted", "kept", "made"))
    assert run(["build", *source(shared_data), "-o", built, "-q"]) == 0
    assert run(["annotate", built, "-a", "template", "-o", drafted, "-q"]) == 0
    assert run(["filter", drafted, "-o", kept, "--drop", "samples", "-q"]) in (0, 3)
    dataset = Dataset(kept)
    ids = [sample.sample_id for sample in dataset.samples()]
    assert len(ids) >= 3
    with chromium_page() as page, serving("review", kept, "--reviewer", "anna") as server:
        page.goto(server.address)
        shown(page, ids[0])
        page.keyboard.press("c")
        page.keyboard.press("End")
        page.keyboard.type(" A person has read this.")
        page.keyboard.press("Escape")
        page.wait_for_selector("[data-field=caption] .mark:visible")
        for number in range(len(ids) - 1):
            page.keyboard.press("a")
            shown(page, ids[number + 1])
        page.keyboard.press("r")
        page.wait_for_selector("#reject-dialog[open]")
        page.keyboard.press("5")
        page.wait_for_selector(f"#tally:has-text('{len(ids) - 1} accepted, 1 rejected')")
        assert page.problems == []
    assert run(["review", kept, "--apply", "-o", made, "-q"]) == 0
    # Exit code 0: no error among all checks, images included.
    assert run(["validate", made, "-q"]) == 0
    samples = list(Dataset(made).samples())
    assert [sample.sample_id for sample in samples] == ids[:-1]
    assert samples[0].caption.endswith("A person has read this.")
    for sample in samples:
        assert sample.objects
        assert sample.caption
        assert sample.question
        assert "<LCL-" in sample.answer
        assert sample.provenance["reviews"][0]["by"][0]["reviewer"] == "anna"

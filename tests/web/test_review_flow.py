"""From real images with objects to a complete dataset: built, drafted, filtered, reviewed in a real browser, validated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_service import Body, text_of
from chat_service import serving as answering
from review_server import chromium_page, refer, serving, shown

from mmud.annotations.asking import has_labels
from mmud.annotations.provenance import label_origins
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.records import Task

pytestmark = [pytest.mark.browser, pytest.mark.data]


def coco(data: Path) -> list[str]:
    folder = data / "coco_mini"
    notes = folder / "annotations"
    files = ["--instances", str(notes / "instances_val2017.json"), "--captions", str(notes / "captions_val2017.json")]
    return ["coco", *files, "--images", str(folder / "val2017"), "--set", "phrases=names", "--limit", "9"]


def seen(body: Body) -> str:
    """What a model might answer: it names the objects that the prompt lists, by category and phrases."""
    listed = re.findall(r"^<LCL-(\d+)> (.+); left (\d+) %", text_of(body), re.MULTILINE)
    things = [(number, words.partition(",")[0], re.findall('"(.+?)"', words), left) for number, words, left in listed]
    if '"caption"' in text_of(body):
        parts = [f"{', or '.join(['a ' + kind, *phrases])}, {left} steps away" for _, kind, phrases, left in things]
        return json.dumps({"caption": f"One can make out {'; then '.join(parts)}."})
    number, kind, phrases, _ = things[0]
    others = " or ".join(phrase for thing in things[1:4] for phrase in thing[2]) or "its surroundings"
    question = f"What would a visitor notice before {others}, going by its size?"
    answer = f"The {kind} <LCL-{number}>, {', '.join(phrases)}, since it stands out."
    return json.dumps({"question": question, "answer": answer})


@pytest.fixture(params=["template", "model"])
def drafter(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Flags of who drafts: rules, or a model behind an address on this machine."""
    if request.param == "template":
        yield ["-a", "template"]
        return
    with answering(seen) as service:
        yield ["--endpoint", service.endpoint, "--model", "seer"]


@pytest.mark.parametrize("source", [refer, coco])
def test_from_build_to_a_complete_dataset(
    source: Callable[[Path], list[str]],
    drafter: list[str],
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    names = ("built", "drafted", "linked", "kept", "made")
    built, drafted, linked, kept, made = (str(tmp_path / name) for name in names)
    assert run(["build", *source(shared_data), "-o", built, "-q"]) == 0
    # Captions that the source brought are drafted anew: they are short, and some images have none.
    assert run(["annotate", built, *drafter, "--replace", "-o", drafted, "-q"]) == 0
    assert run(["link", drafted, "-o", linked, "-q"]) == 0
    assert run(["filter", linked, "-o", kept, "--drop", "samples", "-q"]) == 0
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
        assert all(has_labels(sample, task) for task in Task)
        assert "<LCL-" in sample.answer
        assert sample.provenance["reviews"][0]["by"][0]["reviewer"] == "anna"
        origins = label_origins(sample.provenance)
        wanted = "template" if "template" in drafter else "openai"
        assert {origins[label]["annotator"] for label in ("caption", "question", "answer")} == {wanted}
    card = Path(made, "README.md").read_text("utf-8")
    assert "| caption | anna | 1 |" in card
    for task in Task:
        assert re.search(rf"^\| {task.value} .*\| {len(samples)} \|$", card, re.MULTILINE)

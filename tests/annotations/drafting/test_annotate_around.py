"""Around drafting: Ctrl-C, half pairs, linked images, chains of annotators, progress."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from chat_service import Service

from mmud.annotations.provenance import label_origins, now, with_edit
from mmud.cli import run
from mmud.commands.common import Progress
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference

ROOT = Path(__file__).resolve().parents[3]


def test_ctrl_c_keeps_what_was_answered(service: Service, silent: Dataset, tmp_path: Path) -> None:
    service.latency = 0.1
    arguments = ["annotate", str(silent.path), "-o", str(tmp_path / "out"), "--endpoint", service.endpoint, "-q"]
    arguments += ["--model", "seer", "--concurrency", "2", "--tasks", "caption"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A suite that runs in the background of a shell has the signal switched off, and so have its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.monotonic() + 60
    while sum(service.answered.values()) < 5:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"run the same command again" in said
    assert b"Traceback" not in said
    first = sum(service.answered.values())
    assert 5 <= first < len(silent)
    assert run(arguments) == 0
    # What was on its way when the key was struck was waited for and kept.
    assert sum(service.answered.values()) == len(silent)
    assert max(service.answered.values()) == 1


def test_half_a_pair_is_left_unless_replaced(told: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [sample for _, sample in zip(range(3), told.samples(images=True), strict=False)]
    samples[0] = samples[0].model_copy(update={"answer": ""})
    samples[1] = samples[1].model_copy(update={"question": " ", "answer": ""})
    data = write_dataset(tmp_path / "half", {"train": samples})
    base = ["annotate", str(data.path), "-a", "template", "-q", "--json"]
    assert run([*base, "-o", str(tmp_path / "left")]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (report["half_pairs"], report["drafted"]) == (1, {"question": 1})
    left = list(Dataset(tmp_path / "left").samples())
    assert (left[0].question, left[0].answer) == (samples[0].question, "")
    assert left[1].answer
    assert run([*base, "-o", str(tmp_path / "new"), "--replace", "--tasks", "question"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["half_pairs"], report["drafted"]) == (0, {"question": 3})


def test_linked_images_stay_linked(service: Service, silent: Dataset, tmp_path: Path) -> None:
    first = silent.first(images=True)
    file = tmp_path / "picture.png"
    file.write_bytes(first.image_bytes())
    linked = first.model_copy(update={"image": ImageReference(path=str(file))})
    data = write_dataset(tmp_path / "linked", {"train": [linked]}, images="link")
    arguments = ["annotate", str(data.path), "-o", str(tmp_path / "out"), "--endpoint", service.endpoint, "-q"]
    assert run([*arguments, "--model", "seer"]) == 0
    out = Dataset(tmp_path / "out")
    assert out.manifest.images == "link"
    sample = out.first(images=True)
    assert sample.image == ImageReference(path=str(file))
    assert sample.caption


def test_later_annotators_keep_what_earlier_ones_said(service: Service, silent: Dataset, tmp_path: Path) -> None:
    """Caption by rule, questions by a model, one caption mended: each label tells its own story, and so does the card."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(["annotate", str(silent.path), "-o", str(first), "-a", "template", "--tasks", "caption", "-q"]) == 0
    more = ["annotate", str(first), "-o", str(second), "--endpoint", service.endpoint, "--model", "seer", "-q"]
    assert run(more) == 0
    # The captions were there: only questions were asked for.
    assert len(service.requests) == len(silent)
    for sample in Dataset(second).samples():
        origins = label_origins(sample.provenance)
        assert [origins[field]["annotator"] for field in ("caption", "question", "answer")] == [
            "template",
            "openai",
            "openai",
        ]
        assert sample.provenance["seed"] == 9
    summary = json.loads((second / "annotation.json").read_bytes())
    assert (summary["annotator"], summary["before"]["annotator"]) == ("openai", "template")
    samples = list(Dataset(second).samples("train", images=True))
    made = label_origins(samples[0].provenance)["caption"]["time"][:10]
    mended = with_edit(samples[0].provenance, "caption", {"by": "ann", "time": now(), "what": "edited"})
    samples[0] = samples[0].model_copy(update={"provenance": mended})
    mended = with_edit(mended, "answer", {"by": "label-studio bob@example.org", "what": "edited in Label Studio"})
    samples[0] = samples[0].model_copy(update={"provenance": mended})
    refused = with_edit(samples[1].provenance, "caption", {"by": "mmud filter", "what": "refused"})
    samples[1] = samples[1].model_copy(update={"caption": "", "provenance": refused})
    third = write_dataset(tmp_path / "third", {"train": samples})
    card = (third.path / "README.md").read_text("utf-8")
    prompt = summary["made_with"]["question"]["prompt"]
    # The two runs may have seen midnight between them.
    days = card.split(f"| answer | openai | seer-2026 | {prompt} | ")[1].split(" |")[0]
    assert f"| caption | template |  |  | {made} | {len(samples)} |" in card
    assert f"| answer | openai | seer-2026 | {prompt} | {days} | {len(samples)} |" in card
    assert made <= days
    assert "| caption | ann | 1 |" in card
    assert "| caption | mmud filter | 1 |" in card
    assert "| answer | label-studio bob@… | 1 |" in card
    assert "example.org" not in card


def test_progress_tells_rate_cost_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress("drafts", 100, shown=True, bar=True)
    bar.BAR_SECONDS = 0.0  # type: ignore[misc]
    bar.spare(60)
    bar.remark = "1.25 spent"
    time.sleep(0.05)
    bar.advance(10)
    bar.close()
    said = capsys.readouterr().err
    # A quarter of the forty that need work; what was there already makes neither rate nor time left look better.
    assert "drafts: 10/40 (25 %)" in said
    assert "/s, " in said
    assert "left, 1.25 spent" in said

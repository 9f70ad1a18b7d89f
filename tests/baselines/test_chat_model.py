"""A chat model behind a server of our own on this machine that is slow, busy, broken or cut off; no answer is asked for twice."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_service import KEY, Service, serving
from PIL import Image

from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.evaluators.evaluation import evaluate


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as server:
        yield server


def command(service: Service, data: Dataset, output: Path, *more: str) -> list[str]:
    base = ["predict", "openai", "--endpoint", service.endpoint, "--model", "seer", "--data", str(data.path)]
    return [*base, "-o", str(output), "-q", "--set", "backoff=0.01", *more]


def test_captions_and_answers(
    service: Service, scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMUD_OPENAI_KEY", KEY)
    service.faults = ["slow"] * 6  # so that requests overlap on a busy machine too
    assert run(command(service, scenes, tmp_path / "p", "--set", "concurrency=3")) == 0
    test = scenes.length("test")
    assert len(service.requests) == 2 * test
    assert 1 < service.most <= 3
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in service.headers)
    questions = {sample.question for sample in scenes.samples("test")}
    asked = [request["messages"][0]["content"][1]["text"] for request in service.requests]
    assert sum(any(question in text for question in questions) for text in asked) == test
    assert {request["model"] for request in service.requests} == {"seer"}
    url = service.requests[0]["messages"][0]["content"][0]["image_url"]["url"]
    shown = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
    assert (shown.format, shown.size) == ("JPEG", (64, 64))
    scores = evaluate(tmp_path / "p", scenes).scores["tasks"]
    assert {"captioning", "reasoning_segmentation"} <= set(scores)
    # Tags that no mask stands behind are taken out of answers.
    assert b"<LCL" not in (tmp_path / "p" / "reasoning_segmentation.jsonl").read_bytes()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()


def test_nobody_there_is_exit_6(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Service()
    arguments = command(server, scenes, tmp_path / "p", "--set", "attempts=1")
    server.server_close()
    assert run(arguments) == 6
    assert "MM950" in capsys.readouterr().err


@pytest.mark.parametrize("fault", [500, "cut", b"{"])
def test_every_answer_is_asked_for_once(
    service: Service, scenes: Dataset, tmp_path: Path, fault: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(service, scenes, tmp_path / "p", "--set", "attempts=1", "--tasks", "captioning")
    service.faults = [None, None, fault]
    assert run(arguments) == 6
    assert "Traceback" not in capsys.readouterr().err
    first = sum(service.answered.values())
    assert first >= 2
    kept = (tmp_path / "p" / ".captioning.jsonl.partial").read_text().splitlines()
    assert len(kept) == first
    # How many requests at a time cannot change an answer: it may differ.
    assert run([*arguments, "--set", "concurrency=1"]) == 0
    assert sum(service.answered.values()) == scenes.length("test")
    assert set(service.answered.values()) == {1}
    assert len((tmp_path / "p" / "captioning.jsonl").read_text().splitlines()) == scenes.length("test")


def test_one_refused_sample_can_be_left_empty(service: Service, scenes: Dataset, tmp_path: Path) -> None:
    service.faults = [400]
    arguments = command(service, scenes, tmp_path / "p", "--tasks", "captioning", "--set", "concurrency=1")
    assert run(arguments) == 6
    service.faults = ["filtered"]
    assert run([*arguments, "--set", "on_refusal=empty"]) == 0
    captions = [json.loads(line)["caption"] for line in (tmp_path / "p" / "captioning.jsonl").read_text().splitlines()]
    assert captions.count("") == 1

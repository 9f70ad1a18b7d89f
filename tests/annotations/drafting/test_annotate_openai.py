"""`mmud annotate --annotator openai` against a server of our own: every answer is kept before it is used, and paid for once."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_service import KEY, Service, drafted, image_of, serving, text_of
from PIL import Image

from mmud.annotations import tags
from mmud.annotations.drafting.base import DraftTask
from mmud.annotations.drafting.budget import Budget, Meter
from mmud.annotations.drafting.chat import ChatAnnotator
from mmud.annotations.provenance import label_origins
from mmud.cli import run
from mmud.dataset.annotating import writing
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = 24


def command(service: Service | str, data: Dataset, output: Path, *more: str) -> list[str]:
    endpoint = service if isinstance(service, str) else service.endpoint
    base = ["annotate", str(data.path), "-o", str(output), "--endpoint", endpoint, "--model", "seer", "-q"]
    return [*base, "--concurrency", "4", "--set", "backoff=0.01", *more]


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_whole_round(
    service: Service,
    silent: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MMUD_OPENAI_KEY", KEY)
    assert run(command(service, silent, tmp_path / "out", "--json", "--price-in", "2", "--price-out", "8")) == 0
    report = result(capsys)
    assert report["drafted"] == report["wanted"] == report["kept"] == {"caption": SAMPLES, "question": SAMPLES}
    # The server counts 100 tokens sent and 20 answered for each request.
    assert report["usage"] == {"requests": 48, "prompt_tokens": 4800, "completion_tokens": 960}
    assert report["cost"] == pytest.approx(48 * (100 * 2 + 20 * 8) / 1e6)
    out = Dataset(tmp_path / "out")
    assert [shard.rows for shard in out.shards()] == [shard.rows for shard in silent.shards()]
    for before, after in zip(silent.samples(images=True), out.samples(images=True), strict=True):
        assert after.caption.startswith("A picture of")
        assert after.answer == "The shape <LCL-1> is."
        origin = label_origins(after.provenance)
        assert set(origin) == {"caption", "question", "answer"}
        assert (origin["caption"]["annotator"], origin["caption"]["model"]) == ("openai", "seer-2026")
        assert origin["answer"]["prompt"].startswith("question-1:")
        kept = {"caption", "question", "answer", "provenance"}
        assert before.model_dump(exclude=kept) == after.model_dump(exclude=kept)
        assert {**after.provenance, "labels": None} == {**before.provenance, "labels": None}
    # Each question was asked about the image that it belongs to.
    sizes = Counter(len(image_of(body)) for body in service.requests)
    assert all(sizes[size] % 2 == 0 for size in sizes)
    assert run(["validate", str(tmp_path / "out"), "-q", "--fail-on", "error"]) == 0
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "seer-2026" in card
    assert "caption-1:" in card
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in service.headers)


def test_the_key_is_not_kept_when_the_service_quotes_it(
    service: Service,
    silent: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    service.answer = lambda body: json.dumps({"caption": f"The key {KEY} opens a door in this scene."})
    service.faults = [429, 500]
    assert run(command(service, silent, tmp_path / "out", "--tasks", "caption", "-v")) == 0
    service.always = 401
    assert run(command(service, silent, tmp_path / "other", "--tasks", "caption")) == 6
    said = capfd.readouterr()
    assert KEY not in said.out + said.err
    assert "(key)" in said.err
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()


def test_the_image_is_scaled_and_marked(service: Service, silent: Dataset, tmp_path: Path) -> None:
    one = ["--limit", "1", "--tasks", "caption", "--image-side", "32"]
    assert run(command(service, silent, tmp_path / "marked", *one)) == 0
    assert run(command(service, silent, tmp_path / "plain", "--no-marks", *one)) == 0
    pictures = [Image.open(io.BytesIO(base64.b64decode(image_of(body).partition(",")[2]))) for body in service.requests]
    assert [picture.size for picture in pictures] == [(32, 32), (32, 32)]
    texts = [text_of(body) for body in service.requests]
    assert ["drawn on the image" in text for text in texts] == [True, False]
    sample = silent.first()
    for number in range(1, len(sample.objects) + 1):
        assert f"<LCL-{number}>" in texts[0]
    marked, plain = (np.asarray(picture.convert("RGB"), dtype=int) for picture in pictures)
    assert np.abs(marked - plain).max() > 60
    schema = service.requests[0]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["caption"]


def test_no_schema_where_the_server_knows_none(service: Service, silent: Dataset, tmp_path: Path) -> None:
    service.refuses_schema = True
    assert run(command(service, silent, tmp_path / "out", "--concurrency", "1")) == 0
    asked = ["response_format" in body for body in service.requests]
    assert asked == [True] + [False] * (2 * SAMPLES)


@pytest.mark.parametrize("fault", [429, 500, 503, "cut", "hang up", b"{no json", b"{}", "slow"])
def test_what_may_pass_is_tried_again(service: Service, silent: Dataset, tmp_path: Path, fault: Any) -> None:
    service.faults = [fault] * 3
    assert run(command(service, silent, tmp_path / "out")) == 0
    assert sum(service.answered.values()) == 2 * SAMPLES
    assert max(service.answered.values()) == 1


UNUSABLE = [
    "I am sorry, there is no way.",
    '{"caption": ""}',
    '{"question": "What is it here?", "answer": ""}',
    '{"question": "What is it here?", "answer": "The shape <LCL-99> is."}',
    '{"question": "What is it here?", "answer": "The shape is."}',
    '{"question": "What is it here?", "answer": "The <LCL-one> is."}',
    '{"question": ["What"], "answer": 3 }',
]


@pytest.mark.parametrize("text", UNUSABLE)
def test_an_unusable_answer_is_repaired_once(service: Service, silent: Dataset, tmp_path: Path, text: str) -> None:
    task = "caption" if "caption" in text or "sorry" in text else "question"
    service.faults = [text]
    arguments = command(service, silent, tmp_path / "out", "--tasks", task, "--concurrency", "1", "--limit", "2")
    assert run(arguments) == 0
    assert len(service.requests) == 3
    # What was wrong is said, after the answer that was wrong.
    _, wrong, complaint = service.requests[1]["messages"]
    assert wrong == {"role": "assistant", "content": text}
    assert complaint["content"].startswith("That cannot be used:")
    first = Dataset(tmp_path / "out").first()
    assert label_origins(first.provenance)[task]["repaired"] is True


def test_what_stays_unusable_is_left_out_and_asked_for_again(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults = ["no JSON at all", "nor this time", "filtered", 400, 400]
    arguments = command(service, silent, tmp_path / "out", "--tasks", "caption", "--concurrency", "1", "--json")
    assert run(arguments) == 0
    report = result(capsys)
    assert report["left_out"] == {"MM961": 2, "MM962": 1}
    assert report["drafted"] == {"caption": SAMPLES - 3}
    # What was paid for the unusable ones is counted: two requests, and those that were refused took no tokens.
    assert report["usage"]["requests"] == 5 + SAMPLES - 3
    assert report["usage"]["prompt_tokens"] == 100 * (2 + SAMPLES - 3)
    captions = [sample.caption for sample in Dataset(tmp_path / "out").samples()]
    assert [bool(caption) for caption in captions] == [False] * 3 + [True] * (SAMPLES - 3)
    lines = (tmp_path / "out" / "findings.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["code"] for line in lines] == ["MM962", "MM961", "MM961"]
    before = len(service.requests)
    assert run([*arguments, "--force"]) == 0
    assert len(service.requests) == before + 3
    assert all(sample.caption for sample in Dataset(tmp_path / "out").samples())


def test_a_model_that_is_unfit_ends_the_run(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.always = "I would rather not say."
    assert run(command(service, silent, tmp_path / "out", "--concurrency", "1", "--set", "give_up=3")) == 6
    assert "MM965" in capsys.readouterr().err
    # Three samples, two drafts each, each tried twice; and what was under way.
    assert 12 <= len(service.requests) <= 20
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", [500, "cut", b"{", 401])
def test_a_service_that_fails_is_exit_6_and_gone_on_with(
    service: Service, silent: Dataset, tmp_path: Path, fault: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(service, silent, tmp_path / "o ut", "--set", "attempts=1", "--tasks", "caption")
    service.faults = [None] * 7 + [fault]
    assert run(arguments) == 6
    said = capsys.readouterr().err
    assert "Traceback" not in said
    first = sum(service.answered.values())
    assert first >= 7
    # The command of the message, word for word, goes on.
    line = next(line for line in said.splitlines() if "Go on with: " in line).partition("Go on with: ")[2]
    words = shlex.split(line)
    assert words[:2] == ["mmud", "annotate"]
    assert run([*words[1:], "-q"]) == 0
    assert sum(service.answered.values()) == SAMPLES
    assert max(service.answered.values()) == 1
    assert all(sample.caption for sample in Dataset(tmp_path / "o ut").samples())


def test_the_order_of_answers_changes_nothing(service: Service, silent: Dataset, tmp_path: Path) -> None:
    draw = random.Random(3)
    plain = service.answer

    def late(body: dict[str, Any]) -> str:
        time.sleep(draw.uniform(0, 0.05))
        return plain(body)

    service.answer = late
    for name, concurrency in (("one", "1"), ("many", "16")):
        assert run(command(service, silent, tmp_path / name, "--concurrency", concurrency)) == 0
    assert service.most > 4
    assert Dataset(tmp_path / "one").fingerprint == Dataset(tmp_path / "many").fingerprint


def test_equal_samples_share_an_answer(service: Service, silent: Dataset, tmp_path: Path) -> None:
    first = silent.first(images=True)
    twins = [first.model_copy(update={"sample_id": f"twin-{number}"}) for number in range(6)]
    data = write_dataset(tmp_path / "twins", {"train": twins})
    assert run(command(service, data, tmp_path / "out", "--tasks", "caption")) == 0
    assert len(service.requests) == 1
    assert len({sample.caption for sample in Dataset(tmp_path / "out").samples()}) == 1


def test_only_missing_labels_are_asked_for(
    service: Service, told: Dataset, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(service, told, tmp_path / "none")) == 0
    assert len(service.requests) == 0
    assert Dataset(tmp_path / "none").fingerprint == told.fingerprint
    assert run(command(service, told, tmp_path / "new", "--replace", "--tasks", "caption", "--limit", "3")) == 0
    assert len(service.requests) == 3
    texts = [(a.caption, b.caption) for a, b in zip(told.samples(), Dataset(tmp_path / "new").samples(), strict=True)]
    assert [old == new for old, new in texts] == [False] * 3 + [True] * (SAMPLES - 3)
    assert run(command(service, silent, tmp_path / "split", "--split", "train", "--tasks", "caption")) == 0
    assert len(service.requests) == 3 + silent.length("train")
    assert run(command(service, silent, tmp_path / "nowhere", "--split", "dev")) == 2
    assert run(["annotate", str(told.path), "-o", str(told.path), "-a", "template", "--force"]) == 2
    assert "never edited in place" in capsys.readouterr().err


def test_another_model_prompt_or_mark_is_another_answer(service: Service, silent: Dataset, tmp_path: Path) -> None:
    prompt = tmp_path / "mine.txt"
    prompt.write_text('Say something of\n{objects}\nas {"caption": "…"}', "utf-8")
    answers = ["--answers", str(tmp_path / "kept.sqlite"), "--limit", "2", "--tasks", "caption", "--force"]
    asked = []
    ways: tuple[list[str], ...] = (
        [],
        [],
        ["--concurrency", "1", "--set", "timeout=9"],
        ["--no-marks"],
        ["--model", "other"],
        ["--seed", "3"],
        ["--set", "temperature=0.5"],
        ["--set", f"caption_prompt={prompt}"],
    )
    for way in ways:
        before = len(service.requests)
        assert run([*command(service, silent, tmp_path / "out"), *answers, *way]) == 0
        asked.append(len(service.requests) - before)
    assert asked == [2, 0, 0, 2, 2, 2, 2, 2]
    origin = label_origins(Dataset(tmp_path / "out").first().provenance)["caption"]
    assert origin["prompt"].startswith("mine:")


def test_a_budget_is_never_exceeded(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.latency = 0.02
    prices = ["--price-in", "1000", "--price-out", "1000", "--set", "max_tokens=20"]
    base = [*command(service, silent, tmp_path / "out", "--tasks", "caption", "--concurrency", "8"), *prices]
    assert run([*base, "--max-cost", "2"]) == 6
    assert "MM964" in capsys.readouterr().err
    first = len(service.requests)
    # One request costs 0.12, and is expected to cost more until the first answer has come.
    assert 0 < first * 0.12 <= 2
    assert run([*base, "--max-cost", "2"]) == 6
    assert (len(service.requests) - first) * 0.12 + first * 0.12 <= 2
    assert run([*base, "--max-cost", "2", "--partial"]) == 0
    there = sum(bool(sample.caption) for sample in Dataset(tmp_path / "out").samples())
    assert there == len(service.requests) == sum(service.answered.values())
    assert run([*base, "--max-cost", "200", "--force"]) == 0
    assert len(service.requests) == SAMPLES
    assert run(command(service, silent, tmp_path / "x", "--max-cost", "1")) == 2


def test_no_more_requests_than_allowed(service: Service, silent: Dataset, tmp_path: Path) -> None:
    service.faults = [500] * 4
    base = command(service, silent, tmp_path / "out", "--tasks", "caption", "--concurrency", "8")
    assert run([*base, "--max-requests", "10"]) == 6
    assert len(service.requests) == 10
    assert run([*base, "--max-requests", "10"]) == 6
    assert len(service.requests) == 10
    assert run(base) == 0
    assert sum(service.answered.values()) == SAMPLES


def test_what_is_kept_of_half_a_sample_counts(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine requests, two a sample: of at least one sample only the caption is there when the budget ends."""
    assert run([*command(service, silent, tmp_path / "out"), "--max-requests", "9"]) == 6
    assert "(9 answers are kept)" in capsys.readouterr().err
    assert sum(service.answered.values()) == 9


def test_a_dry_run_asks_and_writes_nothing(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = [*command(service, silent, tmp_path / "out"), "--dry-run", "--json", "--price-in", "1", "--price-out", "10"]
    assert run(dry) == 0
    report = result(capsys)
    assert report["expected"]["requests"] == 2 * SAMPLES
    tokens = report["expected"]
    assert report["cost"] == pytest.approx((tokens["prompt_tokens"] + 10 * tokens["completion_tokens"]) / 1e6)
    assert not service.requests
    assert not list(tmp_path.iterdir())
    assert run(command(service, silent, tmp_path / "out", "--tasks", "caption")) == 0
    capsys.readouterr()
    assert run(dry) == 0
    report = result(capsys)
    assert (report["found"], report["expected"]["requests"]) == ({"caption": SAMPLES}, SAMPLES)


def test_one_run_at_a_time(
    service: Service, silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = sqlite3.connect(tmp_path / "out.answers.sqlite", isolation_level=None)
    other.execute("begin exclusive")
    assert run(command(service, silent, tmp_path / "out")) == 2
    assert "MM966" in capsys.readouterr().err
    other.close()
    (tmp_path / "out.answers.sqlite").write_bytes(b"no database " * 500)
    assert run(command(service, silent, tmp_path / "out")) == 2
    assert "MM966" in capsys.readouterr().err
    assert not service.requests


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened for too long"
        time.sleep(0.01)


def test_kill_9_and_go_on_pays_for_each_sample_once(service: Service, silent: Dataset, tmp_path: Path) -> None:
    """The process is killed with answers kept and requests under way; as many answers as samples are paid for in the end."""
    arguments = command(service, silent, tmp_path / "out", "--tasks", "caption")
    for stop in (5, 13):
        service.hold_after = len(service.requests) + stop - sum(service.answered.values())
        process = start(arguments)
        # All under way wait at the server, and those answered before have had the time to reach the disk.
        until(lambda stop=stop: service.running == 4 and sum(service.answered.values()) == stop)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        service.released.set()
        until(lambda: service.running == 0)
        service.released.clear()
        assert not (tmp_path / "out").exists()
    service.hold_after = None
    assert run(arguments) == 0
    assert sum(service.answered.values()) == SAMPLES
    assert max(service.answered.values()) == 1
    whole = tmp_path / "whole"
    assert run(command(service, silent, whole, "--tasks", "caption")) == 0
    assert Dataset(whole).fingerprint == Dataset(tmp_path / "out").fingerprint


@pytest.mark.slow
def test_kill_9_at_any_time(silent: Dataset, tmp_path: Path) -> None:
    """Killed at random, what is paid for twice is at most what was on its way; the result is that of a run in peace."""
    draw = random.Random(11)
    with serving(drafted, latency=0.05) as service:
        arguments = command(service, silent, tmp_path / "out", "--concurrency", "2")
        kills = 0
        while not (tmp_path / "out").exists() and kills < 6:
            process = start(arguments)
            seen = len(service.requests)
            until(lambda process=process, seen=seen: len(service.requests) > seen + 3 or process.poll() is not None)
            time.sleep(draw.uniform(0, 0.2))
            process.kill()
            process.wait()
            kills += 1
        assert run([*arguments, "--force"]) == 0
        assert 2 * SAMPLES <= sum(service.answered.values()) <= 2 * SAMPLES + 2 * kills
        out = list(Dataset(tmp_path / "out").samples())
        assert all(sample.caption and tags.parse(sample.answer) for sample in out)


def test_writing_goes_on_after_a_kill(
    service: Service, silent: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that ends half-way leaves nothing under the output's name, and its finished shards are taken as they are."""
    real, calls = writing.write_shard, []

    def failing(path: Path, *arguments: Any) -> Any:
        calls.append(path.name)
        if len(calls) == 3:
            raise OSError("the disk is full")
        return real(path, *arguments)

    monkeypatch.setattr(writing, "write_shard", failing)
    arguments = command(service, silent, tmp_path / "out")
    assert run(arguments) == 2
    assert not (tmp_path / "out").exists()
    assert run(arguments) == 0
    assert len(service.requests) == 2 * SAMPLES
    assert len(calls) == 1 + len(silent.shards())
    peace = tmp_path / "peace"
    shutil.copyfile(tmp_path / "out.answers.sqlite", tmp_path / "peace.answers.sqlite")
    assert run(command(service, silent, peace)) == 0
    assert len(service.requests) == 2 * SAMPLES
    bytes_of = [
        [(folder / shard.file).read_bytes() for shard in silent.shards()] for folder in (tmp_path / "out", peace)
    ]
    assert bytes_of[0] == bytes_of[1]


def test_who_drafts_must_be_said(silent: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["annotate", str(silent.path), "-o", str(tmp_path / "out")]
    for more, code in (
        ([], "MM001"),
        (["-a", "nobody"], "MM004"),
        (["-a", "openai", "--model", "x"], "MM960"),
        (["-a", "openai", "--endpoint", "http://127.0.0.1:1", "--model", "x", "--set", "image_side=2"], "MM960"),
        (["-a", "template", "--concurrency", "3"], "MM960"),
        (["-a", "template", "--tasks", "caption,poem"], "MM001"),
        (["-a", "openai", "--endpoint", "http://127.0.0.1:1", "--model", "x", "--set", "caption_prompt=/no"], "MM968"),
    ):
        assert run([*base, *more]) == 2
        assert code in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_broken_image_costs_one_sample(service: Service, silent: Dataset, tmp_path: Path) -> None:
    samples = [sample for _, sample in zip(range(4), silent.samples(images=True), strict=False)]
    samples[1] = samples[1].model_copy(update={"image": ImageReference(bytes=b"no image")})
    samples[2] = samples[2].model_copy(update={"image": ImageReference()})
    data = write_dataset(tmp_path / "broken", {"train": samples})
    assert run(command(service, data, tmp_path / "out", "--tasks", "caption")) == 0
    found = [bool(sample.caption) for sample in Dataset(tmp_path / "out").samples()]
    assert found == [True, False, False, True]
    lines = (tmp_path / "out" / "findings.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["code"] for line in lines] == ["MM502", "MM501"]


def test_errors_cross_threads_with_their_code(service: Service, silent: Dataset) -> None:
    service.always = 404
    annotator = ChatAnnotator({"endpoint": service.endpoint, "model": "seer"})
    with pytest.raises(MmudError, match="MM951"):
        annotator.draft(silent.first(images=True), DraftTask.CAPTION, Meter(Budget()))

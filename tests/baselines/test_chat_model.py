"""A chat model behind a server of our own on this machine that is slow, busy, broken or cut off; no answer is asked for twice."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmud.baselines.chat_client import ChatClient, Retries
from mmud.baselines.chat_model import data_uri
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.evaluators.evaluation import evaluate

KEY = "sk-secret-0123456789"


class Service(ThreadingHTTPServer):
    """Answers with the number of bytes of the image; ``faults`` are used up first, one a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Any] = []
        self.always: Any = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered: Counter[str] = Counter()
        self.running = self.most = 0
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.headers.append(dict(self.headers))
            fault = self.server.faults.pop(0) if self.server.faults else self.server.always
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            self.answer(body, fault)
        finally:
            with self.server.lock:
                self.server.running -= 1

    def answer(self, body: dict[str, Any], fault: Any) -> None:
        image = body["messages"][0]["content"][0]["image_url"]["url"]
        text = f"An image of {len(image)} characters <LCL-1>."
        whole = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
        if isinstance(fault, int):
            self.reply(fault, json.dumps({"error": f"no: {KEY}"}).encode(), {"Retry-After": "0"})
        elif fault == "redirect":
            self.reply(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"})
        elif fault == "slow":
            time.sleep(0.3)
            self.reply(200, whole)
        elif fault == "drip":
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            for byte in whole:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[:20])
            self.close_connection = True
        elif fault == "hang up":
            self.close_connection = True
        elif isinstance(fault, bytes):
            self.reply(200, fault)
        else:
            with self.server.lock:
                self.server.answered[image] += 1
            self.reply(200, whole)

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def command(service: Service, data: Dataset, output: Path, *more: str) -> list[str]:
    base = ["predict", "openai", "--endpoint", service.endpoint, "--model", "seer", "--data", str(data.path)]
    return [*base, "-o", str(output), "-q", "--set", "backoff=0.01", *more]


def ask(service: Service, timeout: float = 5.0, attempts: int = 2) -> str:
    content = [{"type": "image_url", "image_url": {"url": "x"}}]
    client = ChatClient(service.endpoint, timeout, Retries(attempts, 0.01))
    return client.complete({"messages": [{"content": content}]}, Place(sample="s"))


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


@pytest.mark.parametrize(
    "fault", [429, 500, 503, "cut", "hang up", b"{no json", b"{}", b'{"choices": []}', b"[1]", "slow"]
)
def test_what_may_pass_is_tried_again(service: Service, fault: Any) -> None:
    service.faults = [fault]
    assert ask(service).startswith("An image")
    assert len(service.requests) == (1 if fault == "slow" else 2)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (429, "MM950"),
        (500, "MM950"),
        ("cut", "MM950"),
        ("hang up", "MM950"),
        (b"<html>", "MM952"),
        (b'{"a": 1}', "MM952"),
    ],
)
def test_what_does_not_pass_ends(service: Service, fault: Any, code: str) -> None:
    service.always = fault
    with pytest.raises(MmudError, match=rf"{code}.*tried 3 times"):
        ask(service, attempts=3)
    assert len(service.requests) == 3


@pytest.mark.parametrize("fault", [401, 403, 404, "redirect", 400])
def test_what_is_wrong_is_not_tried_again(service: Service, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    service.always = fault
    with pytest.raises(MmudError, match="MM951") as caught:
        ask(service)
    assert len(service.requests) == 1
    assert KEY not in str(caught.value)
    if fault != "redirect":
        assert "(key)" in str(caught.value)


def test_an_answer_that_drips_is_cut_off(service: Service) -> None:
    service.always = "drip"
    start = time.monotonic()
    with pytest.raises(MmudError, match=r"MM950.*takes too long"):
        ask(service, timeout=0.4, attempts=1)
    assert time.monotonic() - start < 2.0


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
    filtered = json.dumps({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}).encode()
    service.faults = [400]
    arguments = command(service, scenes, tmp_path / "p", "--tasks", "captioning", "--set", "concurrency=1")
    assert run(arguments) == 6
    service.faults = [filtered]
    assert run([*arguments, "--set", "on_refusal=empty"]) == 0
    captions = [json.loads(line)["caption"] for line in (tmp_path / "p" / "captioning.jsonl").read_text().splitlines()]
    assert captions.count("") == 1


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://x", "127.0.0.1:80", "http://", "http://user:word@h/v1", "https://h/v1?key=1", "http://[", "http://a b"],
)
def test_strange_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(MmudError, match="MM001"):
        ChatClient(endpoint, 1.0, Retries())


def test_a_key_goes_nowhere_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    ChatClient("http://example.org/v1", 1.0, Retries())
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ChatClient("https://example.org/v1", 1.0, Retries())
    ChatClient("http://localhost:8000/v1", 1.0, Retries())
    with pytest.raises(MmudError, match=r"MM001.*unencrypted"):
        ChatClient("http://example.org/v1", 1.0, Retries())


def test_images_are_scaled_down_and_never_up() -> None:
    for size, expected in (((2000, 500), (768, 192)), ((30, 20), (30, 20))):
        stream = io.BytesIO()
        Image.new("RGBA", size, (10, 200, 30, 128)).save(stream, "PNG")
        data = base64.b64decode(data_uri(stream.getvalue(), 768, Place()).partition(",")[2])
        assert Image.open(io.BytesIO(data)).size == expected

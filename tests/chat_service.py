"""A chat completions server of our own on this machine that is slow, busy, broken or cut off when it is told to be."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789"

Body = dict[str, Any]


def image_of(body: Body) -> str:
    """The ``data:`` address of the request's image; empty where it has none."""
    content = body["messages"][0]["content"]
    return next((part["image_url"]["url"] for part in content if part.get("type") == "image_url"), "")


def text_of(body: Body) -> str:
    """What the first message says."""
    content = body["messages"][0]["content"]
    return next((part["text"] for part in content if part.get("type") == "text"), "")


def describe(body: Body) -> str:
    """The answer where nothing else is asked for: it differs from image to image."""
    return f"An image of {len(image_of(body))} characters <LCL-1>."


def drafted(body: Body) -> str:
    """What a model that keeps to the form answers: it differs from image to image."""
    size = len(image_of(body))
    if '"caption"' in text_of(body):
        return json.dumps({"caption": f"A picture of {size} characters with shapes on a background."})
    return json.dumps({"question": f"What is near the middle of these {size}?", "answer": "The shape<LCL-1> is."})


class Service(ThreadingHTTPServer):
    """A server; ``faults`` are used up first, one a request, then ``always`` holds.

    A fault is a status, bytes to send as they are, a text to answer with, or one of "redirect", "slow", "drip", "cut",
    "hang up", "filtered".

    Args:
        answer: from a request to the text of the answer.
        latency: seconds that each answer takes.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[Body], str] = describe, latency: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.latency = latency
        self.faults: list[Any] = []
        self.always: Any = None
        self.retry_after = "0"
        self.refuses_schema = False
        self.keeps_requests = True
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.answered: Counter[str] = Counter()
        """Answers that were sent whole and paid for, by image and first words of the request."""
        self.running = self.most = 0
        self.lock = threading.Lock()
        self.hold_after: int | None = None
        """After so many answers every request waits until `released`, and is then hung up on."""
        self.released = threading.Event()

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
        server = self.server
        with server.lock:
            if server.keeps_requests:
                server.requests.append(body)
                server.headers.append(dict(self.headers))
            fault = server.faults.pop(0) if server.faults else server.always
            server.running += 1
            self.runs = True
            server.most = max(server.most, server.running)
            held = server.hold_after is not None and len(server.requests) > server.hold_after
        try:
            if held:
                server.released.wait(60)
                self.close_connection = True
            else:
                self.answer(body, fault)
        finally:
            self.stop_running()

    def stop_running(self) -> None:
        """The request is no longer under way; before its last byte goes out, since the next one may follow at once."""
        with self.server.lock:
            self.server.running -= self.runs
            self.runs = False

    def answer(self, body: Body, fault: Any) -> None:
        if self.server.latency:
            time.sleep(self.server.latency)
        if self.server.refuses_schema and "response_format" in body:
            fault = 400
        text = fault if isinstance(fault, str) and " " in fault.replace("hang up", "") else self.server.answer(body)
        whole = completion(text)
        if isinstance(fault, int):
            self.reply(fault, json.dumps({"error": f"no: {KEY}"}).encode(), {"Retry-After": self.server.retry_after})
        elif fault == "redirect":
            self.reply(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"})
        elif fault == "slow":
            time.sleep(0.3)
            self.pay(body, whole)
        elif fault == "drip":
            self.begin(len(whole))
            for byte in whole:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
        elif fault == "cut":
            self.begin(len(whole))
            self.wfile.write(whole[:20])
            self.close_connection = True
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "filtered":
            choice = {"message": {"content": None}, "finish_reason": "content_filter"}
            self.reply(200, json.dumps({"choices": [choice]}).encode())
        elif isinstance(fault, bytes):
            self.reply(200, fault)
        else:
            self.pay(body, whole)

    def pay(self, body: Body, whole: bytes) -> None:
        self.stop_running()
        # Counted first: whoever has read an answer finds it counted.
        self.count(body, 1)
        try:
            self.reply(200, whole)
        except OSError:
            self.count(body, -1)
            raise

    def count(self, body: Body, by: int) -> None:
        with self.server.lock:
            if self.server.keeps_requests:
                self.server.answered[image_of(body) + text_of(body)[:60]] += by

    def begin(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def completion(text: str) -> bytes:
    """A chat completion with this text: 100 tokens asked, 20 answered."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    return json.dumps({"model": "seer-2026", "choices": [choice], "usage": usage}).encode()


@contextmanager
def serving(answer: Callable[[Body], str] = describe, latency: float = 0.0) -> Iterator[Service]:
    """A server at work."""
    server = Service(answer, latency)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""The chat client behind a server of our own on this machine: what may pass is tried again, what is wrong is not."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from chat_service import KEY, Service, completion, serving
from PIL import Image

from mmud.errors import MmudError, Place
from mmud.remote.chat_client import ChatClient, Completion, Retries
from mmud.remote.pictures import data_uri


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as server:
        yield server


def ask(service: Service, timeout: float = 5.0, attempts: int = 2) -> Completion:
    content = [{"type": "image_url", "image_url": {"url": "x"}}]
    client = ChatClient(service.endpoint, timeout, Retries(attempts, 0.01))
    return client.complete({"messages": [{"content": content}]}, Place(sample="s"))


@pytest.mark.parametrize(
    "fault", [429, 500, 503, "cut", "hang up", b"{no json", b"{}", b'{"choices": []}', b"[1]", "slow"]
)
def test_what_may_pass_is_tried_again(service: Service, fault: Any) -> None:
    service.faults = [fault]
    assert ask(service).text.startswith("An image")
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


def test_what_the_service_counts_is_told(service: Service) -> None:
    assert ask(service) == Completion("An image of 1 characters <LCL-1>.", "seer-2026", 100, 20)
    service.always = (
        b'{"choices": [{"message": {"content": "cut"}, "finish_reason": "length"}], "usage": {"prompt_tokens": "many"}}'
    )
    assert ask(service) == Completion("cut", cut=True)


def test_the_key_is_not_kept_even_where_the_service_sends_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_OPENAI_KEY", KEY)
    service.always = completion(f"You said {KEY}.")
    assert ask(service).text == "You said (key)."


@pytest.mark.parametrize("asked", ["0.4", "date"])
def test_a_wait_that_is_asked_for_is_kept_by_all(service: Service, asked: str) -> None:
    # A date has whole seconds: two seconds from now is at least one.
    service.retry_after = formatdate(time.time() + 2, usegmt=True) if asked == "date" else asked
    service.faults = [429]
    client = ChatClient(service.endpoint, 5.0, Retries(2, 0.01))
    start = time.monotonic()
    client.complete({"messages": [{"content": []}]}, Place())
    client.complete({"messages": [{"content": []}]}, Place())
    waited = time.monotonic() - start
    assert waited >= (1.0 if asked == "date" else 0.4)
    assert len(service.requests) == 3


def test_a_service_that_has_closed_for_the_day_ends_at_once(service: Service) -> None:
    service.always, service.retry_after = 429, "86400"
    with pytest.raises(MmudError, match=r"MM950.*asks to wait 86,400 s"):
        ask(service)
    assert len(service.requests) == 1


def test_every_attempt_is_admitted(service: Service) -> None:
    service.faults = [500, 500]
    admitted: list[int] = []
    client = ChatClient(service.endpoint, 5.0, Retries(5, 0.01))
    client.complete({"messages": [{"content": []}]}, Place(), lambda: admitted.append(1))
    assert len(admitted) == len(service.requests) == 3

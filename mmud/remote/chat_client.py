"""A small client of OpenAI's chat completions, on the standard library: bounded in time and size, patient with a busy service."""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import os
import random
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from mmud import codes as general_codes
from mmud.errors import Code, MmudError, Place
from mmud.remote import codes

KEY_VARIABLES = ("MMUD_OPENAI_KEY", "OPENAI_API_KEY")
MAX_RESPONSE_BYTES = 8 << 20
MAX_WAIT = 60.0
"""Seconds between two attempts at most, where the service does not say how long to wait."""

MAX_ASKED_WAIT = 300.0
"""A service that asks for a longer wait, in seconds, has closed for now: the request fails at once."""

_PIECE = 1 << 16
_SHOWN = 300
_SAMPLE_REFUSED = (400, 413, 422)
_REQUEST_WRONG = (401, 403, 404, 405)


class Refused(MmudError):
    """The service will not answer this one sample.

    Attributes:
        status: that it answered with; 0 where it took the text of an answer away.
    """

    status: int = 0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried, and the seconds before the second attempt; doubled each time."""

    attempts: int = 6
    backoff: float = 1.0

    def seconds(self, attempt: int, asked: float | None) -> float:
        """To wait after a failed attempt, counted from 1."""
        return asked if asked is not None else min(MAX_WAIT, self.backoff * 2.0 ** (attempt - 1))


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model answered.

    Attributes:
        text: of the first choice, without white space around it.
        model: as the service names it; empty where it does not.
        prompt_tokens, completion_tokens: as the service counts them; None where it does not.
        cut: the model stopped because it was allowed no more tokens.
    """

    text: str
    model: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cut: bool = False


def _admit() -> None:
    """Every attempt is let through."""


class _Transient(Exception):
    """A failure that may pass: its code, what was seen, how long the service asks to wait, whether it is too busy for all."""

    def __init__(self, code: Code, message: str, wait: float | None = None, busy: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.wait = wait
        self.busy = busy


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key goes to the endpoint that was named and nowhere else."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class ChatClient:
    """Sends requests to one endpoint; safe to share between threads. When the service is too busy for one, all of them wait.

    Args:
        endpoint: base address, with or without ``/chat/completions``.
        timeout: seconds that one attempt may take in all, however slowly bytes come in.
        retries: how often a request is tried.

    Raises:
        MmudError: MM001 when the endpoint is no http(s) address, holds a user name or password, or would get a key over an
            unencrypted connection to another machine.
    """

    def __init__(self, endpoint: str, timeout: float, retries: Retries) -> None:
        self._key = next((value for name in KEY_VARIABLES if (value := os.environ.get(name, "").strip())), "")
        self._url = _checked_url(endpoint, bool(self._key))
        self._timeout = timeout
        self._retries = retries
        self._stopped = threading.Event()
        self._not_before = 0.0
        self._opener = urllib.request.build_opener(_NoRedirects)

    def stop(self) -> None:
        """Begin no attempt any more, and wake those that wait for their next one."""
        self._stopped.set()

    def complete(self, body: Mapping[str, Any], place: Place, admit: Callable[[], None] = _admit) -> Completion:
        """What the model answers.

        Args:
            body: the request.
            place: whose request it is, for messages.
            admit: called before each attempt; what it raises ends the request.

        Raises:
            Refused: MM951, this request alone will not be answered.
            MmudError: MM950 when it failed as often as it is tried, MM951 when trying again would not help, MM952 when what came
                back could not be read.
        """
        data = json.dumps(body).encode("utf-8")
        for attempt in range(1, self._retries.attempts + 1):
            self._stopped.wait(max(0.0, self._not_before - time.monotonic()))
            if self._stopped.is_set():
                break
            admit()
            try:
                return self._completion(self._post(data, place), place)
            except _Transient as problem:
                self._pause(problem, attempt, place)
        raise MmudError(codes.REMOTE_FAILED, "stopped because another request failed", place)

    def _pause(self, problem: _Transient, attempt: int, place: Place) -> None:
        """Wait for the next attempt, or give up."""
        shown = self._shown(str(problem))
        if problem.wait is not None and problem.wait > MAX_ASKED_WAIT:
            raise MmudError(problem.code, f"{shown} (asks to wait {problem.wait:,.0f} s)", place) from None
        if attempt == self._retries.attempts:
            raise MmudError(problem.code, f"{shown} (tried {attempt} times)", place) from None
        # A little more for each, by chance: requests that were turned away together must not come back together.
        seconds = self._retries.seconds(attempt, problem.wait) * random.uniform(1.0, 1.25)
        if problem.busy:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        self._stopped.wait(seconds)

    def _post(self, data: bytes, place: Place) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "mmud"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, data, headers, method="POST")
        deadline = time.monotonic() + self._timeout
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._status_error(error, deadline, place) from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise _Transient(codes.REMOTE_FAILED, f"{type(reason).__name__}: {reason}") from error

    def _status_error(self, error: urllib.error.HTTPError, deadline: float, place: Place) -> Exception:
        try:
            said = _read(error, deadline).decode("utf-8", "replace")
        except (_Transient, OSError, http.client.HTTPException):
            said = ""
        message = self._shown(f"status {error.code}: {' '.join(said.split())}")
        if error.code in _SAMPLE_REFUSED:
            refused = Refused(codes.REMOTE_REFUSED, message, place)
            refused.status = error.code
            return refused
        if error.code in _REQUEST_WRONG or 300 <= error.code < 400:
            return MmudError(codes.REMOTE_REFUSED, message, place)
        wait = _seconds(error.headers.get("Retry-After"))
        return _Transient(codes.REMOTE_FAILED, message, wait, busy=error.code == 429 or wait is not None)

    def _completion(self, data: bytes, place: Place) -> Completion:
        try:
            answer = json.loads(data)
            choice = answer["choices"][0]
            content = choice["message"].get("content")
            ending = choice.get("finish_reason")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise _Transient(codes.REMOTE_UNREADABLE, f"no chat completion: {type(error).__name__}: {error}") from error
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if content is None or ending == "content_filter":
            raise Refused(codes.REMOTE_REFUSED, "the model gave no text", place)
        if not isinstance(content, str):
            raise _Transient(codes.REMOTE_UNREADABLE, f"the text is of type {type(content).__name__}")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        model = answer.get("model")
        return Completion(
            text=self._without_key(content.strip()),
            model=self._shown(model) if isinstance(model, str) else "",
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            cut=ending == "length",
        )

    def _without_key(self, text: str) -> str:
        """The text without the key: what a service quotes would be stored."""
        return text.replace(self._key, "(key)") if self._key else text

    def _shown(self, text: str) -> str:
        """A text that can be shown: short, printable, and without the key, which services like to quote."""
        plain = self._without_key(text)
        plain = "".join(character if character.isprintable() else " " for character in plain)
        return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + " …"


def _checked_url(endpoint: str, has_key: bool) -> str:
    try:
        parts = urllib.parse.urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise MmudError(general_codes.USAGE, f"the endpoint is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host or any(character.isspace() for character in endpoint):
        raise MmudError(general_codes.USAGE, f"the endpoint is an http or https address, not {endpoint!r}")
    if parts.username is not None or parts.password is not None:
        raise MmudError(
            general_codes.USAGE, "an endpoint holds no user name and no password; the key is MMUD_OPENAI_KEY"
        )
    if parts.query or parts.fragment:
        raise MmudError(general_codes.USAGE, "an endpoint has nothing after its path: it is kept with the predictions")
    if has_key and parts.scheme == "http" and not _is_this_machine(host):
        raise MmudError(general_codes.USAGE, "a key is not sent over an unencrypted connection: use https")
    base = endpoint.rstrip("/")
    return base if base.endswith("/chat/completions") else f"{base}/chat/completions"


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(response: Any, deadline: float) -> bytes:
    """The body, within its bounds of size and time."""
    pieces: list[bytes] = []
    size = 0
    while True:
        if time.monotonic() > deadline:
            raise _Transient(codes.REMOTE_FAILED, "the answer takes too long")
        # read1 returns what one receive brings, so that a service which sends byte by byte cannot outwait the deadline.
        piece = response.read1(_PIECE)
        if not piece:
            break
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise _Transient(codes.REMOTE_UNREADABLE, f"the answer is longer than {MAX_RESPONSE_BYTES:,} bytes")
        pieces.append(piece)
    length = response.headers.get("Content-Length")
    if length is not None and length.isdigit() and size < int(length):
        raise _Transient(codes.REMOTE_FAILED, f"the connection broke off after {size} of {length} bytes")
    return b"".join(pieces)


def _count(value: Any) -> int | None:
    """A number of tokens; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After``, a number of seconds or a date, in seconds from now; None for anything else."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None

"""A small client of OpenAI's chat completions, on the standard library: bounded in time and size, patient with a busy service."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.errors import Code, MmudError, Place

KEY_VARIABLES = ("MMUD_OPENAI_KEY", "OPENAI_API_KEY")
MAX_RESPONSE_BYTES = 8 << 20
MAX_WAIT = 60.0
"""Seconds between two attempts at most, whatever the service asks for."""

_PIECE = 1 << 16
_SHOWN = 300
_SAMPLE_REFUSED = (400, 413, 422)
_REQUEST_WRONG = (401, 403, 404, 405)


class Refused(MmudError):
    """The service will not answer this one sample."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is tried, and the seconds before the second attempt; doubled each time."""

    attempts: int = 6
    backoff: float = 1.0

    def seconds(self, attempt: int, asked: float | None) -> float:
        """To wait after a failed attempt, counted from 1."""
        return min(MAX_WAIT, asked if asked is not None else self.backoff * 2.0 ** (attempt - 1))


class _Transient(Exception):
    """A failure that may pass: its code, what was seen, and how long the service asks to wait."""

    def __init__(self, code: Code, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.wait = wait


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key goes to the endpoint that was named and nowhere else."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        return None


class ChatClient:
    """Sends requests to one endpoint; safe to share between threads.

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
        self._opener = urllib.request.build_opener(_NoRedirects)

    def stop(self) -> None:
        """Begin no attempt any more, and wake those that wait for their next one."""
        self._stopped.set()

    def complete(self, body: Mapping[str, Any], place: Place) -> str:
        """The text that the model answers with.

        Args:
            body: the request.
            place: whose request it is, for messages.

        Raises:
            Refused: MM951, this request alone will not be answered.
            MmudError: MM950 when it failed as often as it is tried, MM951 when trying again would not help, MM952 when what came
                back could not be read.
        """
        data = json.dumps(body).encode("utf-8")
        for attempt in range(1, self._retries.attempts + 1):
            if self._stopped.is_set():
                break
            try:
                return _text_of(self._post(data, place), place)
            except _Transient as problem:
                if attempt == self._retries.attempts:
                    message = f"{self._shown(str(problem))} (tried {attempt} times)"
                    raise MmudError(problem.code, message, place) from None
                self._stopped.wait(self._retries.seconds(attempt, problem.wait))
        raise MmudError(codes.REMOTE_FAILED, "stopped because another request failed", place)

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
            return Refused(codes.REMOTE_REFUSED, message, place)
        if error.code in _REQUEST_WRONG or 300 <= error.code < 400:
            return MmudError(codes.REMOTE_REFUSED, message, place)
        return _Transient(codes.REMOTE_FAILED, message, _seconds(error.headers.get("Retry-After")))

    def _shown(self, text: str) -> str:
        """A text that can be shown: short, printable, and without the key, which services like to quote."""
        plain = text.replace(self._key, "(key)") if self._key else text
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


def _text_of(data: bytes, place: Place) -> str:
    try:
        choice = json.loads(data)["choices"][0]
        content = choice["message"].get("content")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _Transient(codes.REMOTE_UNREADABLE, f"no chat completion: {type(error).__name__}: {error}") from error
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if content is None or choice.get("finish_reason") == "content_filter":
        raise Refused(codes.REMOTE_REFUSED, "the model gave no text", place)
    if not isinstance(content, str):
        raise _Transient(codes.REMOTE_UNREADABLE, f"the text is of type {type(content).__name__}")
    return content.strip()


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds; None for a date or nothing."""
    try:
        return None if retry_after is None else max(0.0, float(retry_after))
    except ValueError:
        return None

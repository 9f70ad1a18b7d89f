"""A text-only model behind an address, for the filter `blind`; each answer is kept before it is used: none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mmud import codes as common
from mmud.annotations.filters.blind import PROMPT_NAME
from mmud.errors import MmudError, Place
from mmud.remote.chat_client import ChatClient, Refused, Retries

MAX_TOKENS = 100


class ChatAsker:
    """Asks an OpenAI-compatible service, at temperature 0; safe to ask from several threads.

    The key comes from the environment, as `mmud.remote.chat_client` says. Failures are not kept.

    Args:
        endpoint: the service's base address.
        model: its name there.
        answers: the file of answers, one a line, to which lines are only added.
        timeout: seconds that one request may take.
        retries: how often a request is tried.

    Raises:
        MmudError: MM001 for an address that cannot be used, MM008 when the file cannot be written.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        answers: Path,
        timeout: float = 120.0,
        retries: Retries = Retries(),  # noqa: B008
    ) -> None:
        self._client = ChatClient(endpoint, timeout, retries)
        self._model = model
        self._path = answers
        self._lock = threading.Lock()
        self._known = _read(answers)
        self._file = self._open()
        self.asked = 0
        """Requests that were answered in this run."""

    def _open(self) -> IO[bytes]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return open(self._path, "ab")
        except OSError as error:
            raise MmudError(common.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(self._path))) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop()
        self._file.close()

    def ask(self, prompt: str) -> str:
        """What the model answers; nothing where the service refuses this prompt.

        Raises:
            MmudError: MM950 to MM952 when the service fails; requests that wait are stopped.
        """
        body = {
            "model": self._model,
            "temperature": 0.0,
            "max_tokens": MAX_TOKENS,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        }
        key = hashlib.sha256(json.dumps([PROMPT_NAME, body], sort_keys=True).encode("ascii")).hexdigest()
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        try:
            text = self._client.complete(body, Place()).text
        except Refused:
            return ""
        except MmudError:
            self._client.stop()
            raise
        self._keep(key, text)
        return text

    def _keep(self, key: str, text: str) -> None:
        line = json.dumps({"key": key, "prompt": PROMPT_NAME, "model": self._model, "answer": text}) + "\n"
        with self._lock:
            try:
                # A line that a kill cut short has no line feed: begin on a fresh one.
                self._file.write(b"\n" + line.encode("ascii"))
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise MmudError(common.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(self._path))) from error
            self._known[key] = text
            self.asked += 1


def _read(path: Path) -> dict[str, str]:
    """The answers of earlier runs; a line that a kill cut short is no answer."""
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    with open(path, "rb") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("key"), str) and isinstance(entry.get("answer"), str):
                found[entry["key"]] = entry["answer"]
    return found

"""A server of `mmud review` or `mmud browse --serve` as a process of its own, for tests that talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def refer(data: Path) -> list[str]:
    """What `mmud build` is told to read 9 real photographs of RefCOCO in."""
    folder = data / "mini_refcoco"
    files = ["--instances", str(folder / "instances.json"), "--captions", str(folder / "captions.json")]
    return [
        "refer",
        str(folder),
        "--dataset",
        "refcoco",
        "--split-by",
        "unc",
        *files,
        "--images",
        str(folder / "images"),
    ]


class Server:
    """A running server: ``address`` opens its page."""

    def __init__(self, arguments: list[str]) -> None:
        command = [sys.executable, "cli.py", *arguments, "--port", "0", "--json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        said = ""
        while not said.endswith("}\n"):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(self.process.stderr.read())
            said += line
        facts: dict[str, Any] = json.loads(said)
        self.address: str = facts["address"]
        self.token: str = facts["token"]
        self.port: int = facts["port"]

    def kill(self) -> None:
        """As a machine that loses its power would."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """As a person ends it: Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(20)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@contextlib.contextmanager
def serving(*arguments: str | Path) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server([str(argument) for argument in arguments])
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def chromium_page(**options: Any) -> Iterator[Any]:
    """A page of headless Chromium; the test is skipped where Playwright or the browser is absent.

    What the page says on its console, its errors and its dialogs are gathered in ``page.problems``.
    """
    import shutil

    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(**({"viewport": {"width": 1280, "height": 860}} | options))
        problems: list[str] = []
        page.problems = problems
        # A test that reads the canvas back makes Chromium remark on it.
        page.on("console", lambda message: "willReadFrequently" in message.text or problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))

        def refuse(dialog: Any) -> None:
            problems.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", refuse)
        yield page
        browser.close()


def shown(page: Any, sample: str) -> None:
    """Wait until the page has painted a sample."""
    page.wait_for_selector(f"html[data-shown='{sample}']")

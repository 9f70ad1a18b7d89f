"""Fixtures of the caption tests."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def java() -> str:
    """The Java runtime; tests that need it are skipped, with this reason, where it is absent."""
    program = shutil.which("java")
    if program is None:
        pytest.skip("no Java runtime is installed")
    return program

"""MM95x: models behind an address."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

REMOTE_FAILED = declare(
    "MM950",
    "remote model failed",
    "Run the same command again: answers that were given are kept.",
    "The endpoint could not be reached, broke the connection off, was too slow, too busy or answered with an error, more often "
    "than it is tried again.",
    exit_code=ExitCode.REMOTE,
)
REMOTE_REFUSED = declare(
    "MM951",
    "remote model refused",
    "Check endpoint, model and key. With `mmud predict`, --set on_refusal=empty answers what is refused with nothing.",
    "The endpoint said that the request itself is wrong: no such model, a wrong key, or content that it will not answer. Trying "
    "again would not help.",
    exit_code=ExitCode.REMOTE,
)
REMOTE_UNREADABLE = declare(
    "MM952",
    "answer of the remote model unreadable",
    "Check that the endpoint speaks OpenAI's chat completions.",
    "What the endpoint sent is no JSON, or has no text where chat completions have it.",
    exit_code=ExitCode.REMOTE,
)

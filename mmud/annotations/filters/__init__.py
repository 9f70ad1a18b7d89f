"""Filters of drafts: which captions, questions and answers are not worth a person's time, each with a code and a threshold."""

from __future__ import annotations

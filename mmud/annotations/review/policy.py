"""What becomes of samples that are not plainly accepted. Light: the command line shows these choices without loading the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rejected(StrEnum):
    """What becomes of rejected samples: left out, or kept for their masks and phrases with empty texts."""

    DROP = "drop"
    EMPTY = "empty"


class Undecided(StrEnum):
    """What becomes of samples that nobody decided on."""

    KEEP = "keep"
    DROP = "drop"


class Disputed(StrEnum):
    """What becomes of samples on which reviewers disagree."""

    REFUSE = "refuse"
    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of samples that are not accepted."""

    rejected: Rejected = Rejected.DROP
    undecided: Undecided = Undecided.KEEP
    disputed: Disputed = Disputed.REFUSE

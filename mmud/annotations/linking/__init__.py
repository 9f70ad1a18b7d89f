"""Finding the words of a text that name an object, and putting the object's tag behind them."""

from __future__ import annotations

from typing import Final

LEAST_SCORE: Final = 0.8
"""How sure a proposed tag must be to be placed, unless one says otherwise."""

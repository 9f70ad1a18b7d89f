"""Finding the words of a text that name an object, and putting the object's tag behind them."""

from __future__ import annotations

"""What a dataset holds: counts and distributions, read column by column in one pass."""

from __future__ import annotations

from mmud.dataset.statistics.collect import GROUPINGS, Statistics, collect
from mmud.dataset.statistics.summary import SIZE_BOUNDS, Summary
from mmud.dataset.statistics.tally import Tally

__all__ = ["GROUPINGS", "SIZE_BOUNDS", "Statistics", "Summary", "Tally", "collect"]

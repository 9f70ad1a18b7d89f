"""Dealing groups to splits in given shares: seeded, independent of the order of samples, sizes as near as groups allow."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that stay together.

    Attributes:
        key: what the group is called; unique. Together with the seed it decides where the group goes.
        size: its samples.
        stratum: groups of one stratum are dealt in the same shares.
    """

    key: str
    size: int
    stratum: str = ""


def apportion(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up to ``total``, each within 1 of its share (Hamilton's method of largest remainders)."""
    weight = math.fsum(shares.values())
    exact = {name: total * share / weight for name, share in shares.items()}
    found = {name: math.floor(value) for name, value in exact.items()}
    order = {name: position for position, name in enumerate(shares)}
    by_remainder = sorted(shares, key=lambda name: (found[name] - exact[name], order[name]))
    for name in by_remainder[: total - sum(found.values())]:
        found[name] += 1
    return found


def deal(groups: Iterable[Group], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give each group a split.

    Stratum by stratum, large groups first, a group goes to a split with room for it, drawn in proportion to the room that is
    left; where none has room, to the one that is exceeded least. What one stratum misses, the next makes up for. In the end
    groups are moved or exchanged as long as that brings the sizes nearer. With enough groups of one sample the sizes are exactly
    those of `apportion`.

    Args:
        groups: what to deal; their order does not matter.
        shares: split -> share, all positive.
        seed: another seed, another draw.

    Returns:
        The key of each group -> its split.
    """
    drawn = sorted(groups, key=lambda group: (-group.size, _draw(seed, group.key)))
    strata: dict[str, list[Group]] = defaultdict(list)
    for group in drawn:
        strata[group.stratum].append(group)
    sizes = dict.fromkeys(shares, 0)
    placed: dict[str, str] = {}
    seen = 0
    for stratum in sorted(strata):
        seen += sum(group.size for group in strata[stratum])
        wanted = apportion(seen, shares)
        room = {name: wanted[name] - sizes[name] for name in shares}
        for group in strata[stratum]:
            name = _choose(group, room, _draw(seed + 1, group.key))
            placed[group.key] = name
            room[name] -= group.size
            sizes[name] += group.size
    _improve(drawn, placed, {name: sizes[name] - wanted for name, wanted in apportion(seen, shares).items()})
    return placed


def _draw(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on nothing but the seed and the key."""
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _choose(group: Group, room: Mapping[str, int], draw: float) -> str:
    fitting = {name: free for name, free in room.items() if free >= group.size}
    if not fitting:
        return max(room, key=lambda name: room[name])
    position = draw * sum(fitting.values())
    for name, free in fitting.items():
        position -= free
        if position < 0:
            return name
    return name


def _improve(groups: Sequence[Group], placed: dict[str, str], excess: dict[str, int]) -> None:
    """Move groups, or exchange two of one stratum, while that lowers the sum of all splits' distances from their sizes."""
    if not any(excess.values()):
        return
    held: dict[str, dict[tuple[str, int], list[str]]] = {name: defaultdict(list) for name in excess}
    for group in groups:
        held[placed[group.key]][group.stratum, group.size].append(group.key)
    while best := _best_exchange(held, excess):
        giver, taker, stratum, given, taken = best
        for name, other, size in ((giver, taker, given), (taker, giver, taken)):
            if size:
                key = held[name][stratum, size].pop()
                held[other][stratum, size].insert(0, key)
                placed[key] = other
        excess[giver] -= given - taken
        excess[taker] += given - taken


def _best_exchange(
    held: Mapping[str, Mapping[tuple[str, int], list[str]]], excess: Mapping[str, int]
) -> tuple[str, str, str, int, int] | None:
    """The exchange (giver, taker, stratum, size given, size taken or 0) that helps most; None where none does."""
    best: tuple[int, tuple[str, str, str, int, int]] | None = None
    for giver, over in excess.items():
        for taker, under in excess.items():
            if over <= under:
                continue
            for (stratum, given), keys in held[giver].items():
                if not keys:
                    continue
                back = [0, *(size for (other, size), there in held[taker].items() if other == stratum and there)]
                for taken in back:
                    moved = given - taken
                    gain = abs(over) + abs(under) - abs(over - moved) - abs(under + moved)
                    if gain > 0 and (best is None or gain > best[0]):
                        best = gain, (giver, taker, stratum, given, taken)
    return None if best is None else best[1]

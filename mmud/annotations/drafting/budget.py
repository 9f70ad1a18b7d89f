"""What drafting may cost: prices, limits, and how much was spent."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from mmud.annotations.drafting import codes
from mmud.errors import MmudError


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests that were sent, and tokens that were read and written for them."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def to_dict(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens, in whatever currency; None where they are not known."""

    prompt: float | None = None
    completion: float | None = None

    @property
    def known(self) -> bool:
        return self.prompt is not None or self.completion is not None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Of so many tokens; a price that is not known counts as nothing."""
        return (prompt_tokens * (self.prompt or 0.0) + completion_tokens * (self.completion or 0.0)) / 1e6


class Budget:
    """Lets requests through while they can be paid for; safe to share between threads.

    A request is admitted when what was spent, what those under way may cost at most, and what it may cost at most itself stay
    within the limit. It waits while those under way hold the rest back.

    Args:
        prices: of tokens.
        max_cost: in all; None for no limit.
        max_requests: in all; None for no limit.
        spent: by earlier runs.
    """

    def __init__(
        self,
        prices: Prices = Prices(),
        max_cost: float | None = None,
        max_requests: int | None = None,
        spent: Usage = Usage(),
    ) -> None:
        self.prices = prices
        self._max_cost = max_cost
        self._max_requests = max_requests
        self._spent = spent
        self._held = 0.0
        self._changed = threading.Condition()

    @property
    def spent(self) -> Usage:
        """By earlier runs and this one."""
        with self._changed:
            return self._spent

    @property
    def cost(self) -> float:
        """Of `spent`."""
        spent = self.spent
        return self.prices.cost(spent.prompt_tokens, spent.completion_tokens)

    def hold(self, cost: float, instead: float = 0.0) -> None:
        """Set the cost of a request aside, in place of what was set aside for the same one before.

        Raises:
            MmudError: MM964 when it can never be paid for.
        """
        with self._changed:
            self._held -= instead
            self._changed.notify_all()
            while self._max_cost is not None and self._now() + self._held + cost > self._max_cost:
                if self._held <= 1e-12:
                    raise MmudError(
                        codes.BUDGET_SPENT,
                        f"{self._now():.4f} of {self._max_cost:g} are spent, and the next request may cost {cost:.4f}",
                    )
                self._changed.wait()
            if self._max_requests is not None and self._spent.requests >= self._max_requests:
                raise MmudError(codes.BUDGET_SPENT, f"all of {self._max_requests:,} requests were sent")
            self._spent += Usage(requests=1)
            self._held += cost

    def _now(self) -> float:
        return self.prices.cost(self._spent.prompt_tokens, self._spent.completion_tokens)

    def settle(self, held: float, usage: Usage) -> None:
        """Give back what was set aside, and count what was spent instead."""
        with self._changed:
            self._held -= held
            self._spent += usage
            self._changed.notify_all()


class Meter:
    """What one draft takes of a budget. Close it at the end."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0.0
        self.usage = Usage()

    def admit(self, prompt_tokens: int, completion_tokens: int) -> None:
        """To be called before each request, and before each attempt anew.

        Args:
            prompt_tokens: that it sends, as far as can be told.
            completion_tokens: that it may be answered with at most.

        Raises:
            MmudError: MM964 when the budget does not allow it.
        """
        cost = self._budget.prices.cost(prompt_tokens, completion_tokens)
        instead, self._held = self._held, 0.0
        self._budget.hold(cost, instead)
        self._held = cost
        self.usage += Usage(requests=1)

    def paid(self, prompt_tokens: int, completion_tokens: int) -> None:
        """What the answered request took."""
        used = Usage(0, prompt_tokens, completion_tokens)
        held, self._held = self._held, 0.0
        self._budget.settle(held, used)
        self.usage += used

    def close(self) -> None:
        """Give back what is still set aside."""
        held, self._held = self._held, 0.0
        self._budget.settle(held, Usage())

"""What calls to a language model cost, and a cap that they never exceed.

Belongs here: reserving, settling and counting. Does not belong here: calling (`llm.py`).

A call's use is known only when its answer is there, so the most it can use is reserved before it is sent: what is
spent and what is reserved together never exceed the cap. A call whose answer was lost on the way may have been charged;
its reservation is therefore kept, and shown apart from what is known.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """Tokens of one call, or of many."""

    tokens_in: int = 0
    tokens_out: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Use) -> Use:
        return Use(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)

    def __sub__(self, other: Use) -> Use:
        return Use(self.tokens_in - other.tokens_in, self.tokens_out - other.tokens_out)


class OverBudgetError(Exception):
    """The call does not fit under the cap any more, and nothing under way can make room for it."""


@dataclass(frozen=True)
class Prices:
    """Currency per million tokens; None if nobody said. `share` is what is paid of them (half of it in a batch)."""

    tokens_in: float | None = None
    tokens_out: float | None = None

    def cost(self, use: Use, share: float = 1.0) -> float:
        return share * ((self.tokens_in or 0.0) * use.tokens_in + (self.tokens_out or 0.0) * use.tokens_out) / 1e6

    @property
    def known(self) -> bool:
        return self.tokens_in is not None and self.tokens_out is not None


class Meter:
    """Counts calls, tokens and money of one run, and refuses what could exceed `budget` or `token_cap`.

    `reserve` and `settle` belong to one event loop; the rest may be used while none runs.
    """

    def __init__(self, prices: Prices, budget: float | None = None, token_cap: int | None = None) -> None:
        self.prices = prices
        self.budget = budget
        self.token_cap = token_cap
        self.calls = 0
        self.retries = 0
        self.used = Use()
        self.cost = 0.0
        self.lost_calls = 0
        self.lost_cost = 0.0
        self._lost = Use()
        self._reserved = Use()
        self._aside = Use()
        self._open = 0
        self.underestimated = 1.0
        """By how much a server counted more tokens than the most that was expected: later calls expect that much."""
        self.aside_cost = 0.0
        self.batch_used = Use()
        self.batch_cost = 0.0
        self._settled = asyncio.Event()

    @property
    def most_cost(self) -> float:
        """What was spent at the most: known costs, lost calls, what is still reserved or set aside for a batch."""
        return self.cost + self.lost_cost + self.prices.cost(self._reserved) + self.aside_cost

    def fits(self, most: Use, share: float = 1.0) -> bool:
        """Whether a call that uses at most `most` fits under the caps now."""
        cost = self.most_cost + self.prices.cost(most, share)
        tokens = (self.used + self._lost + self._reserved + self._aside + most).tokens
        # A sum of floats may miss the cap by its rounding error only.
        fits_budget = self.budget is None or cost <= self.budget * (1 + 1e-9)
        return fits_budget and (self.token_cap is None or tokens <= self.token_cap)

    async def reserve(self, most: Use) -> None:
        """Wait until a call of at most `most` fits. Raises OverBudgetError if it never will in this run."""
        while not self.fits(most):
            if not self._open:
                raise OverBudgetError
            self._settled.clear()
            await self._settled.wait()
        self._open += 1
        self._reserved += most

    def settle(self, most: Use, used: Use | None, *, sent: bool = True) -> None:
        """Close a reservation: with what was `used`, as lost if that is unknown, or as not charged (`sent=False`)."""
        self._open -= 1
        self._reserved -= most
        self.calls += 1
        if used is not None:
            self.used += used
            self.cost += self.prices.cost(used)
            for real, expected in ((used.tokens_in, most.tokens_in), (used.tokens_out, most.tokens_out)):
                if real > expected:
                    self.underestimated *= real / max(expected, 1)
        elif sent:
            self.lost_calls += 1
            self._lost += most
            self.lost_cost += self.prices.cost(most)
        self._settled.set()

    def set_aside(self, most: Use, share: float) -> None:
        """Charge this run's caps with the most that a batch can use: what it did use, only a later run will know."""
        self._aside += most
        self.aside_cost += self.prices.cost(most, share)

    def count_batch(self, used: Use, share: float) -> None:
        """Count an answer of a batch; the run that submitted it has paid for it out of its own cap."""
        self.batch_used += used
        self.batch_cost += self.prices.cost(used, share)

"""The cap holds whatever the order of reserving and settling."""

from __future__ import annotations

import asyncio
import random

import pytest

from fashionrec_assets.resources.spending import Meter, OverBudgetError, Prices, Use

PRICES = Prices(1.0, 10.0)


def test_costs_are_per_million_tokens() -> None:
    assert PRICES.cost(Use(1_000_000, 100_000)) == pytest.approx(2.0)
    assert PRICES.cost(Use(1_000_000, 100_000), share=0.5) == pytest.approx(1.0)
    assert Prices().cost(Use(5, 5)) == 0.0
    assert not Prices(1.0, None).known


@pytest.mark.parametrize("seed", range(5))
def test_spent_and_reserved_never_exceed_the_budget(seed: int) -> None:
    draw = random.Random(seed)
    meter = Meter(PRICES, budget=0.01)
    most = Use(400, 100)
    refused = 0

    async def call() -> None:
        nonlocal refused
        try:
            await meter.reserve(most)
        except OverBudgetError:
            refused += 1
            return
        assert meter.most_cost <= 0.01 * (1 + 1e-9)
        await asyncio.sleep(draw.random() / 1000)
        outcome = draw.random()
        if outcome < 0.6:
            meter.settle(most, Use(draw.randint(1, 400), draw.randint(1, 100)))
        else:
            meter.settle(most, None, sent=outcome < 0.8)
        assert meter.most_cost <= 0.01 * (1 + 1e-9)

    async def all_calls() -> None:
        await asyncio.gather(*(call() for _ in range(60)))

    asyncio.run(all_calls())
    assert refused > 0
    assert meter.calls + refused == 60
    # Nothing is left reserved, and not one more certain call would have fitted when the last was refused.
    assert meter.most_cost == pytest.approx(meter.cost + meter.lost_cost)
    assert meter.most_cost + PRICES.cost(most) > 0.01


def test_tokens_have_a_cap_of_their_own() -> None:
    meter = Meter(Prices(), token_cap=1_000)

    async def calls() -> None:
        await meter.reserve(Use(500, 100))
        meter.settle(Use(500, 100), Use(300, 50))
        await meter.reserve(Use(500, 100))
        meter.settle(Use(500, 100), None)
        with pytest.raises(OverBudgetError):
            await meter.reserve(Use(500, 100))

    asyncio.run(calls())
    assert (meter.used.tokens, meter.lost_calls) == (350, 1)


def test_what_a_batch_may_cost_counts_in_the_run_that_submits_it() -> None:
    meter = Meter(PRICES, budget=0.01)
    meter.set_aside(Use(10_000, 500), share=0.5)
    assert meter.most_cost == pytest.approx(0.0075)
    assert not meter.fits(Use(3_000, 0))
    meter.count_batch(Use(8_000, 100), share=0.5)
    assert meter.most_cost == pytest.approx(0.0075)
    assert meter.batch_cost == pytest.approx(0.0045)

"""The desk at which Ray's workers fetch batches: whoever asks gets the first that nobody has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fashionrec_assets.resources.ray_desk import Desk


def played(play: Callable[[Desk], Coroutine[Any, Any, None]], laid: int, attempts: int = 2) -> None:
    """`play` at a desk on which the batches [0], [1], ... are `laid`."""

    async def whole() -> None:
        desk = Desk(attempts)
        for number in range(laid):
            await desk.lay(number, [number])
        await asyncio.wait_for(play(desk), timeout=10)

    asyncio.run(whole())


async def asks(desk: Desk, worker: str, ticket: int) -> asyncio.Task[Any]:
    """`worker` asks for a batch, and has an answer or waits."""
    task = asyncio.create_task(desk.take(worker, ticket))
    for _ in range(9):
        await asyncio.sleep(0)
    return task


def test_batches_go_out_in_their_order_to_whoever_asks_whatever_the_order_of_tickets() -> None:
    async def play(desk: Desk) -> None:
        found = []
        for worker, ticket in (("b", 7), ("a", 3), ("b", 5)):
            found.append(await desk.take(worker, ticket))
            await desk.made(worker)
        assert found == [(0, [0]), (1, [1]), (2, [2])]
        waiting = [await asks(desk, "a", 0), await asks(desk, "b", 1)]
        assert await desk.idle()
        await desk.clear(0)
        await desk.lay(3, [3])
        assert not await desk.idle()
        await desk.lay(4, [4])
        assert sorted([await task for task in waiting]) == [(3, [3]), (4, [4])]

    played(play, laid=3)


def test_what_a_dead_worker_had_is_given_again_and_its_ticket_gets_another() -> None:
    async def play(desk: Desk) -> None:
        assert await desk.take("a", 0) == (0, [0])
        other = await asks(desk, "b", 2)
        # `a` died at ticket 0, and begins again with another one.
        back = await asks(desk, "a", 1)
        assert [task.result() for task in (other, back) if task.done()] == [(0, [0])]
        await desk.lay(1, [1])
        assert sorted([await other, await back]) == [(0, [0]), (1, [1])]
        await desk.made("a")
        await desk.lay(2, [2])
        assert await desk.take("a", 0) == (2, [2])

    played(play, laid=1)


def test_a_ticket_whose_result_was_lost_gets_its_batch_again() -> None:
    async def play(desk: Desk) -> None:
        assert await desk.take("a", 0) == (0, [0])
        await desk.made("a")
        assert await desk.take("b", 0) == (0, [0])

    played(play, laid=2)


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_worker_that_died_as_it_waited_is_counted_once_and_takes_no_attempt(attempts: int) -> None:
    async def play(desk: Desk) -> None:
        dead, again = await asks(desk, "a", 0), await asks(desk, "a", 0)
        assert dead.done() and not again.done() and await desk.idle()
        await desk.lay(0, [0])
        assert await again == (0, [0])
        for attempt in range(2, attempts + 2):
            assert await desk.take("a", 0) == (0, [0] if attempt <= attempts else None)

    played(play, laid=0, attempts=attempts)

"""The desk at which Ray's workers fetch batches: who waits for what, and when more is laid lest all wait forever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fashionrec_assets.resources.ray_compute import _Desk


def played(play: Callable[[_Desk], Coroutine[Any, Any, None]], attempts: int = 2) -> None:
    async def whole() -> None:
        await asyncio.wait_for(play(_Desk(attempts)), timeout=10)

    asyncio.run(whole())


async def asks(desk: _Desk, worker: str, number: int) -> asyncio.Task[Any]:
    """`worker` asks for `number`, and has an answer or waits."""
    task = asyncio.create_task(desk.take(worker, number))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_all_wait_for_the_driver_while_the_result_that_it_wants_is_made_and_under_way() -> None:
    async def play(desk: _Desk) -> None:
        await desk.lay(0, [])
        assert (await asks(desk, "a", 0)).done()
        waiting = [await asks(desk, "b", 1)]
        assert await desk.idle(0) == (0, True)
        await desk.made("a", 0)
        waiting.append(await asks(desk, "a", 2))
        assert await desk.idle(0) == (2, False)
        await desk.clear(0)
        assert await desk.idle(0) == (2, False)
        for number in (1, 2):
            await desk.lay(number, [])
        assert [await task for task in waiting] == [[], []]

    played(play)


def test_the_batch_of_a_dead_worker_is_missing_once_all_wait_for_later_ones() -> None:
    async def play(desk: _Desk) -> None:
        for number in (0, 1):
            await desk.lay(number, [])
        for worker, number in (("a", 0), ("b", 1)):
            assert (await asks(desk, worker, number)).done()
        # `a` dies here: it counts as at work until it is started again and asks.
        await desk.made("b", 1)
        waiting = [await asks(desk, "b", 2)]
        assert await desk.idle(0) == (0, True)
        waiting.append(await asks(desk, "a", 3))
        assert await desk.idle(0) == (2, True)
        for number in (2, 3):
            await desk.lay(number, [])
        await asyncio.gather(*waiting)
        assert await desk.idle(0) == (0, True)

    played(play)


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_worker_that_died_as_it_waited_is_counted_once_and_takes_no_attempt(attempts: int) -> None:
    async def play(desk: _Desk) -> None:
        dead, again = await asks(desk, "a", 0), await asks(desk, "a", 0)
        assert (await desk.idle(0))[0] == 1
        await desk.lay(0, [])
        assert await asyncio.gather(dead, again) == [None, []]
        for attempt in range(2, attempts + 2):
            found = await asks(desk, "a", 0)
            assert found.result() == ([] if attempt <= attempts else None)

    played(play, attempts)

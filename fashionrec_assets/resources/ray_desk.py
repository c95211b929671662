"""Where the process that runs a stage lays batches, and Ray's workers fetch them.

Belongs here: who gets which batch, and what becomes of the batch of a worker that died. Does not belong here: reading
batches, and what comes of them (`ray_compute.py`). It knows nothing of Ray, which runs it as an actor.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import ObjectRef


class Desk:
    """The batches that are laid and not yet cleared, by number: whoever asks gets the first that nobody has, or waits.

    Ray runs the ticket of a worker that died again, without end and maybe behind others of that worker. So the worker's
    next question, whichever ticket's it is, gives its batch back; and a batch is given `attempts` times.
    """

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._laid: dict[int, list[ObjectRef[Any]]] = {}
        self._free: list[int] = []
        self._given: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._waiting: dict[str, object] = {}
        self._at_work: dict[str, int] = {}
        self._changed = asyncio.Condition()

    async def lay(self, number: int, batch: list[ObjectRef[Any]]) -> None:
        self._laid[number] = batch
        await self._offer(number)

    async def take(self, worker: str, ticket: int) -> tuple[int, list[ObjectRef[Any]] | None]:
        """The number of a batch and the batch, None after too many attempts at it."""
        if (held := self._at_work.pop(worker, None)) is not None:
            await self._offer(self._given.pop(held))
        number = self._given.get(ticket)
        # Of a ticket that was done, and whose result was lost, the same.
        if number is None or number not in self._laid:
            self._waiting[worker] = asked = object()
            async with self._changed:
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._free or self._waiting.get(worker) is not asked)
            if self._waiting.get(worker) is not asked:
                # It died as it waited, and is there again; nobody reads this answer.
                return -1, None
            del self._waiting[worker]
            number = heapq.heappop(self._free)
            self._given[ticket] = number
        self._at_work[worker] = ticket
        self._times[number] = self._times.get(number, 0) + 1
        return number, self._laid[number] if self._times[number] <= self._attempts else None

    async def made(self, worker: str) -> None:
        self._at_work.pop(worker, None)

    async def idle(self) -> bool:
        """Whether some wait, nothing is there for them, and none is at work."""
        return bool(self._waiting) and not self._free and not self._at_work

    async def clear(self, number: int) -> None:
        del self._laid[number]

    async def _offer(self, number: int) -> None:
        async with self._changed:
            heapq.heappush(self._free, number)
            self._changed.notify_all()

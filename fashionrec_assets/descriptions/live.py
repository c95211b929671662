"""Asking the language model about items one by one, several at a time.

Belongs here: the event loop beside the main thread, bounded concurrency, the time an item may take. Does not belong
here: what is asked and heard (`conversation.py`), single calls and their retries (`resources.llm`).

Calls go on in a thread of their own while the main thread writes what is finished: a slow transaction neither delays an
answer nor lets a call time out.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from fashionrec_assets.descriptions.conversation import Case, Loop, Outcome, waiting
from fashionrec_assets.resources.llm import Answer, CallFailedError, ChatModel, Failure, quiet

COMMIT_ITEMS = 50
COMMIT_SECONDS = 5.0
"""What is finished is handed over after so many items, or so many seconds: a killed run loses no more than that."""


class Interviewer:
    """Takes cases through the loop, `concurrency` at a time, none longer than `timeout_s` seconds.

    With `photo_optional`, a question with a photo that the server refuses is asked again without it; if no question
    with a photo was ever answered in this run, all further ones go without.
    """

    def __init__(
        self, model: ChatModel, loop: Loop, *, concurrency: int, timeout_s: float, photo_optional: bool
    ) -> None:
        self._model = model
        self._loop = loop
        self._concurrency = concurrency
        self._timeout = timeout_s
        self._photo_optional = photo_optional
        self._photos_answered = 0
        self._photos_off = False

    def outcomes(self, cases: Iterable[Sequence[Case]]) -> Generator[list[Outcome]]:
        """The outcomes of `cases` in groups, in the order in which they are reached.

        `cases` come in portions; a portion is fetched when the one before is done.
        """
        from anyio.from_thread import start_blocking_portal

        with quiet(), start_blocking_portal() as portal:
            portal.call(self._model.open)
            try:
                for portion in cases:
                    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
                    work = portal.start_task_soon(self._all, portion, done)
                    try:
                        yield from _grouped(work, done, len(portion))
                    finally:
                        work.cancel()
            finally:
                portal.call(self._model.close)

    async def _all(self, cases: Sequence[Case], done: queue.SimpleQueue[Outcome]) -> None:
        todo = iter(cases)

        async def work() -> None:
            # All workers draw from one iterator: a slow item holds up one of them only.
            for case in todo:
                done.put(await self.interview(case))

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(cases))):
                group.create_task(work())

    async def interview(self, case: Case) -> Outcome:
        """One item, to its end or to the first failure that retries did not mend."""
        # The state is kept outside of the timeout: what was answered until then was paid for.
        state = [case]
        try:
            async with asyncio.timeout(self._timeout):
                return await self._talk(state)
        except TimeoutError:
            return waiting(state[0], Failure.TIMEOUT)
        except CallFailedError as failed:
            return waiting(state[0], failed.failure)

    async def _talk(self, state: list[Case]) -> Outcome:
        while True:
            case = state[0]
            if self._photos_off and case.talk.photo:
                case = without_photo(case)
            question = self._loop.question(case)
            try:
                answer: Answer = await self._model.ask(question)
            except CallFailedError as failed:
                if failed.failure is not Failure.BAD_REQUEST or question.jpeg is None or not self._photo_optional:
                    raise
                case = without_photo(case)
                answer = await self._model.ask(self._loop.question(case))
                self._photos_off = self._photos_answered == 0
            else:
                self._photos_answered += question.jpeg is not None
            heard = self._loop.hear(case, answer)
            if isinstance(heard, Outcome):
                return heard
            state[0] = heard


def without_photo(case: Case) -> Case:
    """The case from now on without its photo."""
    return replace(case, talk=case.talk.model_copy(update={"photo": False}))


def _grouped(work: Future[None], done: queue.SimpleQueue[Outcome], expected: int) -> Generator[list[Outcome]]:
    """What is `done`, in groups. Raises what the work raised."""
    group: list[Outcome] = []
    since = time.monotonic()
    received = 0
    while received < expected:
        try:
            group.append(done.get(timeout=0.2))
            received += 1
        except queue.Empty:
            if work.done():
                work.result()
        if len(group) >= COMMIT_ITEMS or (group and time.monotonic() - since >= COMMIT_SECONDS):
            yield group
            group, since = [], time.monotonic()
    work.result()
    if group:
        yield group

"""Asking the language model about many items in one file: the Batch API, over several runs.

Belongs here: preparing, submitting and collecting batches. Does not belong here: the protocol (`resources.llm`), what
an answer leads to (`conversation.py`), the rows (`desk.py`).

Every item in a batch is asked its next question, whichever step that is: the drafts come with the first batch, the
judgements with the second, and so on; a step for which too few items are left is asked at once (`batch_api: auto`).
A run never waits for a batch. It collects what is finished, submits what is next, and goes on with fallback texts.

A batch is written down before it is sent, and the server is given its fingerprint as a tag. A run that finds a batch
written down without a server's id was killed, or lost the answer, in between: it looks for the tag among the server's
batches, and submits again only if it is not there. While the server cannot be asked, nothing is submitted again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fashionrec_assets.descriptions.conversation import Case, Loop, Outcome, waiting
from fashionrec_assets.descriptions.desk import BatchRow, Desk
from fashionrec_assets.descriptions.live import without_photo
from fashionrec_assets.resources.llm import BatchLine, CallFailedError, ChatModel, Failure, quiet
from fashionrec_assets.resources.spending import Use
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import batches as portions_of

MOST_BYTES = 150_000_000
"""OpenAI's limits of one batch are 50,000 requests and 200 MB."""
PORTION = 1_000
CLOCKS_APART_S = 86_400.0
_NOT_STARTED = frozenset(
    {Failure.BAD_REQUEST, Failure.UNAUTHORISED, Failure.NOT_FOUND, Failure.QUOTA, Failure.RATE_LIMITED}
)
"""Failures after which it is certain that the server did not start the batch."""


@dataclass(frozen=True)
class _Filled:
    """What went into a file, the most it can use, and the first case that did not fit."""

    cases: list[Case]
    most: Use
    left: Case | None


class BatchOffice:
    """Submits and collects. `supported` turns false when the endpoint turns out to have no Batch API."""

    def __init__(
        self,
        desk: Desk,
        model: ChatModel,
        loop: Loop,
        *,
        folder: Path,
        share: float,
        most_items: int,
        photos: bool,
        photo_optional: bool,
    ) -> None:
        self._desk = desk
        self._model = model
        self._loop = loop
        self._folder = folder
        self._share = share
        self._most_items = most_items
        self._photos = photos
        self._photo_optional = photo_optional
        self.supported = True

    def collect(self) -> set[str]:
        """Take in every finished batch; the items that others still hold."""
        held: set[str] = set()
        with quiet():
            for batch in self._desk.batches():
                try:
                    held |= self._collect(batch)
                except CallFailedError:
                    held |= self._desk.lines(batch.fingerprint).keys()
        return held

    def _collect(self, batch: BatchRow) -> set[str]:
        if batch.batch_id is None:
            found = self._model.find_batch(batch.fingerprint, batch.prepared_at - CLOCKS_APART_S)
            if found is None:
                self._desk.close_batch(batch)
                return set()
            batch = self._desk.started(batch, found)
        state = self._model.batch_state(batch.batch_id or "")
        lines = self._desk.lines(batch.fingerprint)
        if not state.done:
            return set(lines)
        heard = {line.custom_id: line for line in self._model.batch_lines(state)}
        for keys in portions_of(list(lines), PORTION):
            cases = self._desk.cases(keys, photos=self._photos)
            self._desk.write([self._hear(case, heard.get(str(lines[case.item.item_id]))) for case in cases])
        self._desk.close_batch(batch)
        self._model.delete_files(state)
        return set()

    def _hear(self, case: Case, line: BatchLine | None) -> Outcome:
        if line is None or line.answer is None:
            failure = Failure.BATCH_LOST if line is None or line.failure is None else line.failure
            if failure is Failure.BAD_REQUEST and case.jpeg is not None and self._photo_optional:
                case = without_photo(case)
            return waiting(case, failure)
        self._model.meter.count_batch(line.answer.use or Use(), self._share)
        heard = self._loop.hear(case, line.answer)
        return heard if isinstance(heard, Outcome) else waiting(heard, Failure.BATCH_PENDING)

    def submit(self, keys: Sequence[str]) -> set[str]:
        """Submit the next question of each item; the items that are dealt with in this run.

        Items that do not fit under the caps wait, as do those whose batch the server refused for now. If the endpoint
        has no Batch API, nothing was dealt with.
        """
        dealt: set[str] = set()
        cases = (
            case for part in portions_of(list(keys), PORTION) for case in self._desk.cases(part, photos=self._photos)
        )
        path = self._folder / "llm_batch.jsonl"
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with quiet():
                left = next(cases, None)
                while left is not None and self.supported:
                    filled = self._fill(path, left, cases)
                    if not filled.cases:
                        dealt |= self._wait_all(chain([left], cases), Failure.OVER_BUDGET)
                        break
                    if self._send(path, filled):
                        dealt |= {case.item.item_id for case in filled.cases}
                    left = filled.left
        finally:
            path.unlink(missing_ok=True)
        return dealt

    def _wait_all(self, cases: Iterable[Case], reason: Failure) -> set[str]:
        waited: set[str] = set()
        group: list[Outcome] = []
        for case in cases:
            group.append(waiting(case, reason))
            waited.add(case.item.item_id)
            if len(group) >= PORTION:
                self._desk.write(group)
                group = []
        if group:
            self._desk.write(group)
        return waited

    def _fill(self, path: Path, first: Case, more: Iterator[Case]) -> _Filled:
        """Write requests until the file, the budget or the cases are at their end.

        The photos are let go of: only the file keeps them.
        """
        batch: list[Case] = []
        size, most = 0, Use()
        case: Case | None = first
        with path.open("wb") as file:
            while case is not None and len(batch) < self._most_items:
                question = self._loop.question(case)
                needed = most + self._model.most(question)
                request = {
                    "custom_id": str(len(batch)),
                    "method": "POST",
                    "url": "/v1/chat/completions",
                    "body": self._model.body(question),
                }
                line = json.dumps(request).encode() + b"\n"
                if not self._model.meter.fits(needed, self._share) or (batch and size + len(line) > MOST_BYTES):
                    break
                file.write(line)
                size, most = size + len(line), needed
                batch.append(Case(case.item, case.baseline, None, case.talk))
                case = next(more, None)
        return _Filled(batch, most, case)

    def _send(self, path: Path, filled: _Filled) -> bool:
        """Whether the items are dealt with: in a batch, or waiting for the next run."""
        meter = self._model.meter
        batch, most = filled.cases, filled.most
        now = time.time()
        ids = [case.item.item_id for case in batch]
        row = BatchRow(
            digest([ids, now])[:32],
            None,
            len(batch),
            meter.prices.cost(most, self._share) if meter.prices.known else None,
            now,
        )
        lines = {item_id: line for line, item_id in enumerate(ids)}
        self._desk.write([waiting(case, Failure.BATCH_PENDING) for case in batch], opened=row, lines=lines)
        try:
            self._desk.started(row, self._model.submit_batch(path, row.fingerprint))
        except CallFailedError as failed:
            if failed.failure not in _NOT_STARTED:
                meter.set_aside(most, self._share)
                return True
            self._desk.close_batch(row)
            self.supported = failed.failure is not Failure.NOT_FOUND
            if self.supported:
                self._desk.write([waiting(case, failed.failure) for case in batch])
            return self.supported
        meter.set_aside(most, self._share)
        return True

"""Late fusion: a ranker trained on a window of time, and the recommender that ranks candidates with it.

Belongs here: making lists of a window, training on them, ranking for any users. Does not belong here: what the ranker
is and how it learns (`ranker.py`, `training.py`), what is read from the shop (`assets.py`).

The window lies after everything the two-tower model was trained on: scores of items that a model memorised as taken
are much higher than they will be tomorrow, and a ranker that saw those would trust them too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.ranking.calibration import ANY
from fashionrec_assets.ranking.features import NAMES, Pairs, pairs_of
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.lists import Lists
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.sources.profile_popularity import ProfilePopularity
from fashionrec_assets.settings import RankingSettings

BLOCK_BYTES = 256 << 20
_ARRAYS = 14
"""Dense arrays of users times items that a block holds at a time."""


def users_per_block(n_items: int) -> int:
    return max(1, min(256, BLOCK_BYTES // (4 * _ARRAYS * max(n_items, 1))))


def window_starts(log: EventLog, end: int, length: int, most: int) -> list[int]:
    """Starts, latest first, of up to `most` windows of `length` seconds: the latest ends at `end`, each other a day
    before the next. The latest is always there, an earlier one only with two whole days of history before it."""
    first = int(log.times.min(initial=end)) // DAY * DAY
    starts = [end - length - back * DAY for back in range(most)]
    return [start for start in starts if start == starts[0] or start >= first + 2 * DAY]


def lists_of(
    task: RankingTask,
    known: Knowledge,
    settings: RankingSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lists:
    """The candidates of the task's users with a history, and which of them they took in its window.

    `known` must be of the task's history. Raises ValueError if it is of another moment.
    """
    if known.as_of != task.start:
        raise ValueError("the knowledge is of another moment than the task")
    rows = np.flatnonzero(task.has_history)
    keys = task.target_rows * np.int64(task.n_items) + task.target_items
    owners: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    step = users_per_block(task.n_items)
    for at in range(0, len(rows), step):
        users = task.users[rows[at : at + step]]
        available = np.broadcast_to(task.pool, (len(users), task.n_items)) & ~task.seen[users].toarray().astype(bool)
        pairs = pairs_of(known, users, available, settings)
        owners.append(pairs.owner + at)
        items.append(pairs.items)
        values.append(pairs.values)
        progress(min(at + step, len(rows)), len(rows))
    owner = np.concatenate(owners) if owners else np.zeros(0, np.int64)
    item = np.concatenate(items) if items else np.zeros(0, np.int64)
    wanted = rows[owner] * np.int64(task.n_items) + item
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    taken = keys[place] == wanted if len(keys) else np.zeros(len(wanted), bool)
    return Lists(
        people=task.users[rows].astype(np.int64),
        owner=owner,
        values=np.concatenate(values) if values else np.zeros((0, len(NAMES)), np.float32),
        taken=taken,
        bits=np.where(taken, task.target_bits[place] if len(keys) else 0, 0).astype(np.uint8),
        warm=task.warm[item],
        targets=np.diff(task.target_offsets)[rows],
        behaviours={name: 1 << BEHAVIOURS.index(name) for name in task.behaviours},
    )


@dataclass(frozen=True)
class RankedBlock:
    """The candidates of b users, best first: p pairs, sorted by owner.

    `users` int64 (b,): rows of the log. `owner` int64 (p,): positions in `users`, ascending. `items` int64 (p,): item
    rows. `scores` float32 (p,): what the order follows, lifts of new items included, to three digits. `chances` float32
    (p,): the calibrated probability that the user, coming back, turns to the item. `values` float32 (p, features): what
    the ranker read of each.
    """

    users: NDArray[np.int64]
    owner: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    chances: NDArray[np.float32]
    values: NDArray[np.float32]


class LateFusionRecommender:
    """Candidates of all sources, ranked by the learned ranker. What is no candidate gets -inf.

    Users without a history get what was popular on the last day, among people like them where they have a profile: the
    ranker never learned from such users.
    """

    def __init__(
        self, ranker: Ranker, known: Knowledge, settings: RankingSettings, *, name: str = "late_fusion"
    ) -> None:
        self.name = name
        self.ranker, self.known, self.settings = ranker, known, settings
        self._lengths = np.diff(known.matrix.indptr)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 (len(user_rows), n_items); items that a user has touched are no candidates."""
        n = self.known.log.n_items
        scores = np.full((len(user_rows), n), -np.inf, np.float32)
        for places in self._blocks(user_rows):
            available = self._unseen(user_rows[places])
            pairs = pairs_of(self.known, user_rows[places], available, self.settings)
            scores[places[pairs.owner], pairs.items] = self.ranker.scores(pairs.values)
        unknown = np.flatnonzero(self._lengths[user_rows] == 0)
        if len(unknown):
            scores[unknown] = self._unknown(user_rows[unknown])
        return scores

    def ranked(self, user_rows: NDArray[np.int64], hidden: Sequence[NDArray[np.int64]]) -> Iterator[RankedBlock]:
        """All candidates of each of `user_rows` (u,), some users at a time, in their order.

        `hidden`: for each user the item rows they are not shown. Users must have a history.
        """
        n = self.known.log.n_items
        for places in self._blocks(user_rows, everyone=True):
            users = np.asarray(user_rows[places], np.int32)
            available = np.ones((len(users), n), bool)
            for at, place in enumerate(places):
                available[at, hidden[place]] = False
            pairs = pairs_of(self.known, users, available, self.settings)
            # The last bits of a product depend on the batch, and must not decide an order.
            raw = np.round(self.ranker.scores(pairs.values, lift=False), 3)
            scores = np.round(raw + self.ranker.lift(pairs.values), 3)
            chances = np.round(self.ranker.calibrated(pairs.owner, raw, pairs.values)[ANY], 6)
            order = np.lexsort((pairs.items, -scores, pairs.owner))
            yield RankedBlock(
                users=np.asarray(user_rows[places], np.int64),
                owner=pairs.owner[order],
                items=pairs.items[order],
                scores=scores[order],
                chances=chances[order],
                values=pairs.values[order],
            )

    def probabilities(self, user_rows: NDArray[np.int32]) -> tuple[Pairs, dict[str, NDArray[np.float32]]]:
        """The candidates of `user_rows` (their features left out), and behaviour -> calibrated probability of each."""
        owners: list[NDArray[np.int64]] = []
        items: list[NDArray[np.int64]] = []
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.ranker.calibration}
        for places in self._blocks(user_rows):
            pairs = pairs_of(self.known, user_rows[places], self._unseen(user_rows[places]), self.settings)
            owners.append(places[pairs.owner])
            items.append(pairs.items)
            for name, chance in self.ranker.probabilities(pairs.owner, pairs.values).items():
                found[name].append(chance)
        nothing = np.zeros(0, np.int64)
        owner = np.concatenate(owners) if owners else nothing
        item = np.concatenate(items) if items else nothing
        chances = {name: np.concatenate(parts) if parts else np.zeros(0, np.float32) for name, parts in found.items()}
        return Pairs(owner, item, np.zeros((len(owner), 0), np.float32)), chances

    def _blocks(self, user_rows: NDArray[np.integer], *, everyone: bool = False) -> list[NDArray[np.int64]]:
        """Positions in `user_rows` of those with a history, some at a time."""
        known = np.arange(len(user_rows)) if everyone else np.flatnonzero(self._lengths[user_rows] > 0)
        step = users_per_block(self.known.log.n_items)
        return [known[at : at + step] for at in range(0, len(known), step)]

    def _unseen(self, user_rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        return ~self.known.matrix[user_rows].toarray().astype(bool)

    def _unknown(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        return self.strangers.score(user_rows)

    @cached_property
    def strangers(self) -> ProfilePopularity:
        """What ranks for users without a history."""
        known = self.known
        columns = {} if known.profiles is None else known.profiles.columns
        return ProfilePopularity.fit(known.log, columns, cut=known.as_of, days=1)

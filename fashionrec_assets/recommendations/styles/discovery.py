"""Picks of many users: candidates from the index, the choice, and the rows of the table.

Belongs here: the way from user vectors to `STYLE_PICKS`, some users at a time. Does not belong here: how picks are
chosen (`picks.py`), their facts (`pick_facts.py`), reading a shop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.recommendations.styles.pick_facts import PickFacts
from fashionrec_assets.recommendations.styles.picks import Candidates, Picks, Pool, Profiles, pick, unexplored_pool
from fashionrec_assets.recommendations.styles.tables import STYLE_PICKS, arrow_schema
from fashionrec_assets.settings import StyleSettings

Progress = Callable[[int, int], None]

_BLOCK_USERS = 2_000
_SLACK = 8
"""Candidates searched beyond those kept, so that what FAISS rounds does not decide who is among them."""


@dataclass(frozen=True)
class StyleSpace:
    """Items as picks are chosen from them, in the order of the index, which is that of the log's items.

    `vectors` float32 (n, d): what the index is over. `style`, `families` int64 (n,): -1 for no style. `distances`
    (k, k) of styles. `allowed` bool (n,): what may be shown at all. `temperature`: of the two-tower model's scores.

    Raises ValueError if lengths differ.
    """

    index: ItemIndex
    vectors: NDArray[np.float32]
    style: NDArray[np.int64]
    families: NDArray[np.int64]
    distances: NDArray[np.floating]
    allowed: NDArray[np.bool_]
    temperature: float

    def __post_init__(self) -> None:
        n = len(self.index)
        if not (len(self.vectors) == len(self.style) == len(self.families) == len(self.allowed) == n):
            raise ValueError(f"the index is over {n} items; vectors, styles, families and flags must be as many")


def pools(
    space: StyleSpace, log: EventLog, users: NDArray[np.int64], vectors: NDArray[np.float32], settings: StyleSettings
) -> Iterator[tuple[NDArray[np.int64], Profiles, Pool]]:
    """Some users at a time: rows of the log, their profiles, and what may be picked for them.

    `users` (u,): rows of people with a history; `vectors` float32 (u, d) are theirs. What a user has turned to is no
    candidate. A user's candidates do not depend on who else is asked for.
    """
    offsets = log.offsets()
    closed = np.flatnonzero(~space.allowed)
    for start in range(0, len(users), _BLOCK_USERS):
        block, queries = users[start : start + _BLOCK_USERS], vectors[start : start + _BLOCK_USERS]
        seen = [log.items[offsets[user] : offsets[user + 1]].astype(np.int64) for user in block]
        exclude = [np.concatenate([one, closed]) for one in seen]
        rows, _ = space.index.search(queries, min(settings.candidates + _SLACK, len(space.index)), exclude)
        # Scored again pair by pair: a matrix product's last bits depend on the batch.
        scores = np.einsum("ukd,ud->uk", space.vectors[rows], queries)
        logits = np.where(rows >= 0, np.round(scores.astype(np.float64) / space.temperature, 4), -np.inf)
        order = np.lexsort((rows, -logits), axis=1)[:, : settings.candidates]
        rows, logits = np.take_along_axis(rows, order, axis=1), np.take_along_axis(logits, order, axis=1)
        owner, place = np.nonzero(rows >= 0)
        candidates = Candidates(owner, rows[owner, place], logits[owner, place])
        profiles = Profiles.of(log, space.style, len(space.distances), block)
        pool = unexplored_pool(candidates, profiles, space.style, space.families, space.distances, settings.rare_share)
        yield block, profiles, pool


def style_picks(
    space: StyleSpace,
    log: EventLog,
    users: NDArray[np.int64],
    vectors: NDArray[np.float32],
    facts: PickFacts,
    settings: StyleSettings,
    progress: Progress = lambda done, total: None,
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    """Some of `users` at a time, and their `STYLE_PICKS` rows, sorted by (user_id, rank); arguments are those of
    `pools`."""
    done = 0
    for block, profiles, pool in pools(space, log, users, vectors, settings):
        chosen = pick(pool, settings, settings.exploration)
        yield block, _rows(log, block, profiles, pool, chosen, facts)
        done += len(block)
        progress(done, len(users))


def _rows(
    log: EventLog, users: NDArray[np.int64], profiles: Profiles, pool: Pool, chosen: Picks, facts: PickFacts
) -> pa.Table:
    owner, items = pool.owner[chosen.rows], pool.items[chosen.rows]
    columns = [
        pa.array(log.user_ids[users[owner]].tolist(), pa.string()),
        pa.array(chosen.rank, pa.int32()),
        pa.array(log.item_ids[items].tolist(), pa.string()),
        pa.array(pool.style[chosen.rows] + 1, pa.int32()),
        pa.array(pool.relevance[chosen.rows], pa.float64()),
        pa.array(pool.novelty[chosen.rows], pa.float64()),
        facts.of(users, profiles, owner, items),
    ]
    return pa.table(columns, schema=arrow_schema(STYLE_PICKS))

"""What later rooms read of the catalog, as arrays.

Belongs here: reads of `items`, `interactions` and `splits` that more than one room needs. Does not belong here: SQL of
one stage only.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import Cuts, EventLog
from fashionrec_assets.catalog.events import load_event_log
from fashionrec_assets.catalog.ranking_task import ALWAYS, RankingTask, ranking_task
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.tables import rows_digest
from fashionrec_assets.storage.warehouse import scratch


def interactions_file(shop: Shop) -> Path:
    """The Parquet file of the current interactions. Raises LookupError if there is none yet."""
    return shop.current("interactions_file") / "interactions.parquet"


def items_file(shop: Shop) -> Path:
    """The Parquet file of the current items. Raises LookupError if there is none yet."""
    return shop.current("items_file") / "items.parquet"


def users_file(shop: Shop) -> Path:
    """The Parquet file of the current users. Raises LookupError if there is none yet."""
    return shop.current("users_file") / "users.parquet"


def event_log(shop: Shop) -> EventLog:
    """The events of people (bots left out), over all items of the catalog and all people."""
    return load_event_log(
        interactions_file(shop), items_file(shop), users_file(shop), storage=shop.settings.storage, scratch=shop.spill
    )


def cuts(shop: Shop) -> Cuts:
    """The split in force. Raises LookupError if there is none yet."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT name, starts_at, ends_at FROM splits").fetchall()
    found = {name: tuple(int(at.replace(tzinfo=UTC).timestamp()) for at in times) for name, *times in rows}
    if not found:
        raise LookupError("there is no time split yet: materialize the asset `splits`")
    return Cuts(found["validation"][0], found["test"][0], found["test"][1])


def launched(shop: Shop) -> NDArray[np.int64]:
    """When each item of the catalog, in order of its id, could first be bought: UTC seconds, or `ALWAYS`."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT epoch(launched_at) FROM items ORDER BY item_id").fetchall()
    return np.array([ALWAYS if row[0] is None else int(row[0]) for row in rows], dtype=np.int64)


def test_window(shop: Shop, log: EventLog, max_users: int | None) -> RankingTask:
    """The test window, for people with a history only: of them a seeded sample of at most `max_users`, or all."""
    settings, split = shop.settings, cuts(shop)
    return ranking_task(
        log,
        name="test",
        start=split.test,
        end=split.end,
        target_behaviours=settings.evaluation.target_behaviours,
        launched_at=launched(shop),
        max_users=max_users,
        max_cold_users=0,
        seed=settings.seed,
    )


def training_rows(shop: Shop, *, before: int) -> dict[str, str]:
    """A fingerprint of the events of each item before `before` (UTC seconds): what a model of them was trained on."""
    with scratch(shop.settings.storage, shop.spill) as connection:
        rows = connection.execute(
            f"""
            SELECT item_id, {rows_digest("user_id", "behaviour", "epoch_us(ts)")}
            FROM read_parquet(?) WHERE ts < make_timestamp(CAST(? AS BIGINT)) GROUP BY item_id
            """,
            [str(interactions_file(shop)), before * 1_000_000],
        ).fetchall()
    return dict(rows)

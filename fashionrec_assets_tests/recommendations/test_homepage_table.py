"""The table of homepages as it is written: some users to a transaction, and what is kept where something fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from fashionrec_assets.recommendations import assets
from fashionrec_assets.recommendations.assets import _publish_pages
from fashionrec_assets.recommendations.page_inputs import PageInputs
from fashionrec_assets.recommendations.tables import HOMEPAGE, POPULAR_ITEMS, arrow_schema
from fashionrec_assets.resources.compute import Work
from fashionrec_assets.resources.shop import LogReporter, Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER, Stage

USERS = np.array([f"u{number}" for number in range(8)])
STAGE = Stage("homepage", "user", version="1", key="user_id", reads=("history",))
ROWS = "SELECT 'u' || n AS user_id, 'h' AS history FROM range(8) AS numbers(n)"


@dataclass(frozen=True)
class OneRow(Work[NDArray[np.int64], pa.Table]):
    """A page of one row for each user, and none for the first; `breaks_at` raises."""

    breaks_at: int = -1

    def start(self) -> Callable[[NDArray[np.int64]], pa.Table]:
        def make(users: NDArray[np.int64]) -> pa.Table:
            if self.breaks_at in users:
                raise RuntimeError("cannot be made")
            return pa.Table.from_pylist(
                [
                    {"user_id": f"u{user}", "rank": 1, "shelf": "popular", "shelf_rank": 1, "item_id": "i"}
                    | {"score": 0.5, "source": "popular", "facts": []}
                    for user in users.tolist()
                    if user > 0
                ],
                schema=arrow_schema(HOMEPAGE),
            )

        return make


class Counting(LogReporter):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int]] = []

    def advanced(self, stage: str, done: int, total: int) -> None:
        self.told.append((done, total))


def inputs_of(user_ids: list[str]) -> list[NDArray[np.int64]]:
    rows = np.flatnonzero(np.isin(USERS, user_ids))
    return [rows[start : start + 2] for start in range(0, len(rows), 2)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    given = SimpleNamespace(
        popular=arrow_schema(POPULAR_ITEMS).empty_table(),
        users=inputs_of,
        known=SimpleNamespace(log=SimpleNamespace(user_ids=USERS)),
    )
    monkeypatch.setattr(PageInputs, "of", lambda shop: cast(PageInputs, given))
    monkeypatch.setattr(assets, "COMMIT_USERS", 4)
    settings = Settings.load(home=tmp_path, storage={"threads": 1})
    return Shop(settings, [HOMEPAGE, POPULAR_ITEMS, LEDGER], Counting())


def publish(shop: Shop, monkeypatch: pytest.MonkeyPatch, breaks_at: int = -1) -> list[str]:
    """Whose pages were to be made."""
    monkeypatch.setattr(assets, "Pages", lambda shop, inputs: OneRow(shop, breaks_at))
    with shop.stage(STAGE) as run:
        plan = run.plan(rows=ROWS)
        _publish_pages(shop, run, plan)
    return sorted(plan.todo)


def stored(shop: Shop) -> tuple[list[str], list[str]]:
    """Who has a page, and who is in the ledger."""
    with shop.warehouse.reader() as connection:
        pages = connection.execute("SELECT user_id FROM homepage ORDER BY 1").fetchall()
        known = connection.execute("SELECT key FROM ledger ORDER BY 1").fetchall()
    return [row[0] for row in pages], [row[0] for row in known]


def test_everybody_is_written_down_those_without_rows_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish(shop, monkeypatch) == USERS.tolist()
    assert stored(shop) == (USERS[1:].tolist(), USERS.tolist())
    assert cast(Counting, shop.reporter).told == [(2, 8), (4, 8), (6, 8), (8, 8)]
    assert publish(shop, monkeypatch) == []


def test_an_error_keeps_the_pages_before_it_and_the_next_run_makes_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="cannot be made"):
        publish(shop, monkeypatch, breaks_at=7)
    assert stored(shop) == (USERS[1:6].tolist(), USERS[:6].tolist())
    assert publish(shop, monkeypatch) == ["u6", "u7"]
    assert stored(shop) == (USERS[1:].tolist(), USERS.tolist())

"""Answers on their way from the table to what learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.tables import FEEDBACK, USERS
from fashionrec_assets.recommendations.feedback.answers import SEGMENTS, answers, segments
from fashionrec_assets.recommendations.feedback.strategies import ARTIFACT, FILE, fit_strategies, lead_orders
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.towers.reading import feedback, feedback_rows

DAY = 86_400


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(Settings(home=tmp_path), [FEEDBACK, USERS, ledger.LEDGER])  # pyright: ignore[reportCallIssue]
    with shop.warehouse.writer() as connection:
        for user, events in (("a", 0), ("b", 30), ("bot", 900)):
            connection.execute(
                "INSERT INTO users (user_id, events, is_bot, avatar_status) VALUES (?, ?, ?, 'none')",
                [user, events, user == "bot"],
            )
        for day in range(20):
            for user, helpful in (("a", True), ("b", day % 4 > 0), ("bot", True)):
                lead = "history" if helpful else "price"
                connection.execute(
                    "INSERT INTO feedback (user_id, item_id, ts, helpful, lead) VALUES (?, ?, epoch_ms(?), ?, ?)",
                    [user, str(day % 3), day * DAY * 1000, helpful, lead],
                )
    return shop


def log() -> EventLog:
    return EventLog.build(["a", "b"], ["0", "1", "2"], [0, 1], [0, 1], [1, 2], [0, 0])


def test_answers_and_groups_are_read(shop: Shop) -> None:
    found = answers(shop)
    assert len(found) == 60
    assert (found[0].user_id, found[0].item_id, found[0].helpful, found[0].lead) == ("a", "0", True, "history")
    assert segments(shop, ["a", "b"]) == {"a": SEGMENTS[0], "b": SEGMENTS[3]}
    assert len(segments(shop)) == 3


def test_a_model_is_told_only_what_people_of_its_log_said_before_its_cut(shop: Shop) -> None:
    found = feedback(shop, log(), before=5 * DAY)
    assert found is not None
    assert len(found) == 10, "five days of two people; bots are left out, and so is the day of the cut"
    assert sorted(set(found.user_rows.tolist())) == [0, 1]
    assert found.helpful[found.user_rows == 0].all() and found.helpful[found.user_rows == 1].sum() == 3
    assert np.bincount(found.item_rows).tolist() == [4, 4, 2]
    assert feedback(shop, log(), before=0) is None


def test_fingerprints_change_with_answers_before_the_cut_only(shop: Shop) -> None:
    before = feedback_rows(shop, before=10 * DAY)
    with shop.warehouse.writer() as connection:
        connection.execute("UPDATE feedback SET helpful = NOT helpful WHERE ts >= make_timestamp(10 * 86400000000)")
    assert feedback_rows(shop, before=10 * DAY) == before
    with shop.warehouse.writer() as connection:
        connection.execute("UPDATE feedback SET helpful = NOT helpful WHERE item_id = '1'")
    after = feedback_rows(shop, before=10 * DAY)
    assert {item for item in before if before[item] != after[item]} == {"1"}
    assert feedback_rows(shop, before=0) == {}


def test_leads_in_force_reach_users_who_never_answered(shop: Shop) -> None:
    assert lead_orders(shop, ["a"]) == {}
    told = answers(shop)
    with shop.artifacts.write(ARTIFACT, "v1") as folder:
        fit_strategies(told, segments(shop)).save(folder / FILE)
    stage = Stage(ARTIFACT, "model", version="1")
    with shop.warehouse.reader() as connection:
        plan = ledger.plan_whole(connection, stage, stage.code_fp(shop.settings), "v1")
    with shop.warehouse.writer() as connection:
        ledger.record(connection, plan, {WHOLE: "v1"})
    found = lead_orders(shop, ["a", "b", "stranger"])
    assert found["stranger"][0] == "history"
    assert found["stranger"][-1] == "price"

"""The asset, on a shop small enough to count in one's head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fashionrec_assets.recommendations.explanations import checks
from fashionrec_assets.recommendations.explanations.assets import explanations
from fashionrec_assets.recommendations.explanations.facts import Fact
from fashionrec_assets.recommendations.explanations.texts import NOTHING
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets_tests.recommendations.explanations import shop as small
from fashionrec_assets_tests.recommendations.explanations.shop import HOMEPAGE, OUTFITS, STYLE_PICKS, built, put


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return built(tmp_path / "home")


def made(shop: Shop) -> dict[str, Any]:
    result = explanations(shop)  # pyright: ignore[reportCallIssue]
    assert isinstance(result, dg.MaterializeResult)
    return dict(result.metadata or {})


def texts(shop: Shop) -> dict[tuple[str, str, str], tuple[str, int, str | None]]:
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT surface, subject, item_id, text, len(claims), lead FROM explanations"
        ).fetchall()
    return {(row[0], row[1], row[2]): row[3:] for row in rows}


def counts(metadata: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(metadata[name] for name in ("new", "stale", "orphaned", "reused"))  # pyright: ignore[reportReturnType]


def test_every_recommendation_of_every_product_gets_its_text(shop: Shop) -> None:
    metadata = made(shop)
    published = texts(shop)
    assert set(published) == {
        *(("homepage", *key) for key in HOMEPAGE),
        *(("outfit", *key) for key in OUTFITS),
        *(("style", *key) for key in STYLE_PICKS),
    }
    assert published["homepage", "u1", "d"][2] == "history"
    assert "Red & ready dress" in published["homepage", "u1", "d"][0]
    assert published["homepage", "u4", "b"] == (NOTHING["homepage"], 0, None)
    assert (metadata["dagster/row_count"], metadata["without_a_claim"], metadata["claims_rejected"]) == (7, 1, 0)
    assert metadata["statement_precision_before_the_verifier"] == 1.0
    result = checks.every_recommendation_is_explained(shop)  # pyright: ignore[reportCallIssue]
    assert result.passed


def test_only_subjects_whose_facts_changed_are_written_again(shop: Shop) -> None:
    assert counts(made(shop)) == (5, 0, 0, 0)
    assert counts(made(shop)) == (0, 0, 0, 5)
    before = texts(shop)
    changed = {key: facts for key, facts in HOMEPAGE.items() if key[0] != "u2"}
    changed["u4", "b"] = (Fact("f1", "popularity", number=1, base=2),)
    put(shop, "homepage", changed)
    assert counts(made(shop)) == (0, 1, 1, 3)
    after = texts(shop)
    assert ("homepage", "u2", "d") not in after
    assert after["homepage", "u4", "b"][0] != before["homepage", "u4", "b"][0]
    assert {key: one for key, one in after.items() if key[1] != "u4"} == {
        key: one for key, one in before.items() if key[1] not in ("u2", "u4")
    }


def test_texts_are_the_same_whoever_is_written_with_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    made(shop)
    together = texts(shop)
    monkeypatch.setattr("fashionrec_assets.recommendations.explanations.assets.BATCH", {"rules": 1})
    shop.rebuild = True
    assert counts(made(shop)) == (0, 5, 0, 0)
    assert texts(shop) == together


def test_an_item_in_a_look_and_among_complements_is_told_once(shop: Shop) -> None:
    declared = {table.name: table for table in small.TABLES}["outfits"]
    row = {
        "anchor_id": ["a"],
        "look": [1],
        "slot": ["accessory"],
        "item_id": ["b"],
        "facts": small.facts_array([(Fact("f1", "attribute", "colour", "blue"),)]),
    }
    with shop.warehouse.writer() as connection:
        small.insert_rows(connection, declared, small.filled(declared, row))
    made(shop)
    assert texts(shop)["outfit", "a", "b"][2] == "attribute"


def test_a_user_whose_best_lead_is_known_is_told_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert counts(made(shop)) == (5, 0, 0, 0)
    assert texts(shop)["homepage", "u1", "d"][2] == "history"
    orders = {"u1": ("price", "shared")}
    monkeypatch.setattr(
        "fashionrec_assets.recommendations.explanations.assets.lead_orders",
        lambda shop, users: {user: order for user, order in orders.items() if user in users},
    )
    assert counts(made(shop)) == (0, 2, 0, 3)
    assert texts(shop)["homepage", "u1", "d"][2] == "price"
    assert texts(shop)["homepage", "u4", "d"][2] == "wording"

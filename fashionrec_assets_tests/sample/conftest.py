"""One small shop for the room's tests; they only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fashionrec_assets.sample.shop import ShopSummary, generate_shop

ITEMS, USERS, EVENTS, SEED = 120, 150, 4000, 17


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> ShopSummary:
    out: Path = tmp_path_factory.mktemp("sample") / "shop"
    return generate_shop(out, items=ITEMS, users=USERS, events=EVENTS, seed=SEED)

"""Fixtures of the catalog's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from fashionrec_assets_tests.catalog.shop import RawShop


@pytest.fixture
def shop(tmp_path: Path) -> RawShop:
    return RawShop(tmp_path)

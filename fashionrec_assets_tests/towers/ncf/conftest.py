from __future__ import annotations

import pytest

from fashionrec_assets.towers.ncf.training import TrainedNcf, train_ncf
from fashionrec_assets_tests.towers.ncf import world as made


@pytest.fixture(scope="session")
def shop() -> made.World:
    return made.build()


@pytest.fixture(scope="session")
def trained(shop: made.World) -> TrainedNcf:
    return train_ncf(shop.kept, shop.items, shop.users, made.SETTINGS, seed=3)

from __future__ import annotations

import time

import numpy as np
import pytest

from fashionrec_assets.evaluation.cost import costing


def test_a_big_block_of_memory_shows():
    def work() -> int:
        block = np.ones(16 << 20)
        time.sleep(0.1)
        return int(block[0])

    cost = costing(work)
    assert cost.result == 1
    assert cost.growth > 64 << 20
    assert cost.seconds >= 0.1


def test_what_goes_wrong_goes_on():
    with pytest.raises(KeyError):
        costing(lambda: {}["absent"])

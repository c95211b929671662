from __future__ import annotations

import numpy as np

from fashionrec_assets.sample import flaws


def test_every_kind_of_log_flaw_is_there_once_and_nothing_is_lost() -> None:
    lines = [f"1{n:03d},2{n:03d},4001,pv,{1_709_510_400 + n}" for n in range(500)]
    spoiled, counts = flaws.spoil_log(lines, np.random.default_rng(1))
    assert set(counts) == set(flaws.LOG_FLAWS)
    assert len(spoiled) == len(lines) + sum(counts.values())
    assert set(lines) <= set(spoiled)
    fields = [line.split(",") for line in spoiled]
    assert sum(len(row) == 4 for row in fields) == counts["missing_column"]
    assert sum(row[3] == "click" for row in fields if len(row) == 5) == counts["unknown_behaviour"]
    assert len(spoiled) - len(set(spoiled)) == counts["duplicate_event"]


def test_flaws_grow_with_the_log_but_stay_rare() -> None:
    lines = [f"{n},{n},4001,pv,{1_709_510_400 + n}" for n in range(50_000)]
    _, counts = flaws.spoil_log(lines, np.random.default_rng(1))
    assert min(counts.values()) > 1
    assert sum(counts.values()) < 0.005 * len(lines)


def test_catalog_flaws_do_not_touch_the_true_rows() -> None:
    header = ["item_id", "title", "price", "launched_at", "image"]
    rows = [[str(n), f"title {n}", "1.00", "2024-01-01T00:00:00Z", f"{n}.jpg"] for n in range(100)]
    spoiled, counts = flaws.spoil_catalog(header, rows, np.random.default_rng(2))
    assert set(counts) == set(flaws.CATALOG_FLAWS)
    assert [row for row in spoiled if row in rows] == rows
    assert len(spoiled) == len(rows) + len(counts)
    duplicate = spoiled[-1]
    assert duplicate[0] in {row[0] for row in rows}

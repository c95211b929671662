from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fashionrec_assets.sample import shop as shop_module
from fashionrec_assets.sample.shop import CATALOG_HEADER, ShopSummary, generate_shop, shop_is_current
from fashionrec_assets_tests.sample.conftest import EVENTS, ITEMS, SEED, USERS


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _catalog(shop: ShopSummary) -> list[dict[str, str]]:
    with (shop.out / "catalog.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        generate_shop(tmp_path / name, items=40, users=40, events=800, seed=seed, photos=name != "three")
    for suffix in ("", "_truth"):
        one, two, three = (_bytes(tmp_path / f"{name}{suffix}") for name in ("one", "two", "three"))
        assert one == two
        assert one != three


def test_the_files_are_of_the_native_contract(shop: ShopSummary) -> None:
    with (shop.out / "catalog.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == CATALOG_HEADER
    lines = (shop.out / "UserBehavior.csv").read_text(encoding="utf-8").splitlines()
    good = [line.split(",") for line in lines if re.fullmatch(r"\d+,\d+,\d+,(pv|fav|cart|buy),\d{10}", line)]
    assert len(good) >= EVENTS
    times = [int(row[4]) for row in good]
    assert times == sorted(times)
    users = pd.read_csv(shop.out / "users.csv", dtype=str)
    assert list(users.columns) == ["user_id", "gender", "age", "city"]
    assert len(users) == USERS == users["user_id"].nunique()
    assert {row[0] for row in good} <= set(users["user_id"])


def test_counts_are_as_asked_and_as_reported(shop: ShopSummary) -> None:
    assert (shop.items, shop.users) == (ITEMS, USERS)
    assert EVENTS <= shop.events < EVENTS * 1.01
    catalog_flaws = sum(count for kind, count in shop.malformed.items() if kind.startswith("catalog."))
    log_flaws = sum(count for kind, count in shop.malformed.items() if kind.startswith("log."))
    assert len(_catalog(shop)) == ITEMS + catalog_flaws
    assert len((shop.out / "UserBehavior.csv").read_text().splitlines()) == shop.events + log_flaws
    assert shop.photos == len(list((shop.out / "images").glob("*/*.jpg")))
    assert sum(shop.malformed.values()) < 0.005 * (ITEMS + shop.events)
    assert min(shop.malformed.values()) >= 1


def test_optional_fields_are_blank_for_a_share_of_the_items(shop: ShopSummary) -> None:
    rows = _catalog(shop)
    blank: Counter[str] = Counter(name for row in rows for name in CATALOG_HEADER if not row[name])
    assert 0.15 < blank["colour"] / len(rows) < 0.45
    assert 0.45 < blank["pattern"] / len(rows) < 0.75
    assert 0.35 < blank["description"] / len(rows) < 0.65
    assert blank["product_type"] / len(rows) < 0.15


def test_malformed_rows_and_photos_are_there(shop: ShopSummary) -> None:
    lines = (shop.out / "UserBehavior.csv").read_text(encoding="utf-8").splitlines()
    known = {row["item_id"] for row in _catalog(shop)}
    fields = [line.split(",") for line in lines]
    whole = [row for row in fields if len(row) == 5]
    assert len(whole) < len(fields)
    assert any(not row[4].isdigit() for row in whole)
    assert any(row[3] not in ("pv", "fav", "cart", "buy") for row in whole)
    assert any(row[1] not in known for row in whole)
    assert len(set(lines)) < len(lines)
    references = [row["image"] for row in _catalog(shop) if row["image"]]
    missing = [name for name in references if not (shop.out / name).exists()]
    assert len(missing) == 1
    cut_off = [
        name for name in references if name not in missing and not (shop.out / name).read_bytes().endswith(b"\xff\xd9")
    ]
    assert len(cut_off) == 1
    assert all(".." not in name and name.startswith("images/") for name in references)


def test_boxes_lie_inside_the_photos(shop: ShopSummary) -> None:
    items = pd.read_parquet(shop.truth / "items.parquet")
    images = {row["item_id"]: row["image"] for row in _catalog(shop) if row["image"]}
    seen = items.dropna(subset=["x0"])
    assert len(seen) >= 0.9 * ITEMS
    assert seen["scene"].isin(["packshot", "worn", "cluttered"]).all()
    for row in seen.itertuples():
        photo = cv2.imread(str(shop.out / images[row.item_id]))
        assert photo is not None
        height, width = photo.shape[:2]
        assert 0 <= row.x0 < row.x1 <= width
        assert 0 <= row.y0 < row.y1 <= height


def test_the_category_of_the_log_is_the_category_of_the_catalog(shop: ShopSummary) -> None:
    log = pd.read_csv(shop.out / "UserBehavior.csv", header=None, dtype=str, on_bad_lines="skip")
    log = log[log[3].isin(["pv", "fav", "cart", "buy"])]
    categories = {row["item_id"]: row["category"] for row in _catalog(shop)[:-1] if row["category"]}
    named = log.assign(name=log[1].map(categories)).dropna(subset=["name"])
    assert (named.groupby(2)["name"].nunique() == 1).all()


def test_a_shop_without_photos_and_progress(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = generate_shop(
        tmp_path / "shop", items=60, users=40, events=1500, photos=False, truth=tmp_path / "elsewhere",
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert summary.photos == 0
    assert not (summary.out / "images").exists()
    assert (tmp_path / "elsewhere" / "truth.json").is_file()
    assert calls[-1] == (100, 100)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_a_shop_replaces_a_shop_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "shop"
    assert not shop_is_current(out, items=50, users=40, events=500)
    generate_shop(out, items=50, users=40, events=500, photos=False)
    assert shop_is_current(out, items=50, users=40, events=500, photos=False)
    assert not shop_is_current(out, items=50, users=40, events=501, photos=False)
    (out / "old.txt").write_text("from before")
    generate_shop(out, items=50, users=40, events=600, photos=False)
    assert not (out / "old.txt").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "catalog.csv").write_text("item_id\n1\n")
    with pytest.raises(FileExistsError, match="choose another folder"):
        generate_shop(precious, items=50, users=40, events=500, photos=False)
    assert (precious / "catalog.csv").read_text() == "item_id\n1\n"


@pytest.mark.parametrize("parameters", [{"items": 5}, {"users": 2}, {"events": 10}])
def test_too_small_a_shop_is_refused(tmp_path: Path, parameters: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate_shop(tmp_path / "shop", **({"items": 50, "users": 40, "events": 500} | parameters))
    assert not list(tmp_path.iterdir())


def test_more_users_do_not_redraw_the_garments(tmp_path: Path) -> None:
    for name, users in (("few", 40), ("many", 80)):
        generate_shop(tmp_path / name, items=50, users=users, events=600, photos=False, seed=SEED)
    few, many = (pd.read_parquet(tmp_path / f"{name}_truth" / "items.parquet") for name in ("few", "many"))
    pd.testing.assert_frame_equal(few, many)
    assert np.unique(few["item_id"]).size == 50
    assert shop_module.VERSION >= 1

"""What a changed behaviour log costs: the days, users and pages it touches; and a deletion leaves nothing behind."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime

import duckdb
import numpy as np

from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets_tests.end_to_end.incremental import (
    ITEM_STAGES,
    TRAINED,
    UP_TO_THE_REPORTS,
    keys_of,
    ledger_of,
    moved,
    traces,
    work,
)
from fashionrec_assets_tests.end_to_end.place import Place

DAY = 86_400


def day_of(line: str) -> str:
    return datetime.fromtimestamp(int(line.split(",")[4]), UTC).date().isoformat()


def test_appended_late_and_corrected_events_cost_their_days_and_their_users(place: Place) -> None:
    """Newcomers at the end of the log, a late event of an earlier day, an event that turns out to have been another,
    and one that turns out to have been a day later."""
    path = place.raw / "UserBehavior.csv"
    lines = path.read_text("utf-8").splitlines()
    good = [line for line in lines if line.count(",") == 4 and line.split(",")[4].isdigit() and day_of(line) < "2025"]
    items = {row["item_id"] for row in place.catalog()}
    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        bots = {row[0] for row in connection.execute("SELECT user_id FROM users WHERE is_bot").fetchall()}
    once = Counter(good)
    views = [
        line
        for line in good
        if ",pv," in line
        and once[line] == 1
        and line.split(",")[1] in items
        and line.split(",")[0] not in bots
        and "2024-03-05" <= day_of(line) <= "2024-03-24"
    ]
    by_day = {day_of(line): line for line in views}
    late, corrected, put_off, *_ = (by_day[day] for day in sorted(by_day)[::4])
    user, item, category, _, at = late.split(",")
    other, _, _, _, _ = corrected.split(",")
    third, *rest = put_off.split(",")
    later = ",".join((third, *rest[:3], str(int(rest[3]) + DAY)))
    assert len({user, other, third}) == 3
    changed = [
        corrected.replace(",pv,", ",buy,") if line == corrected else later if line == put_off else line
        for line in lines
    ]
    last = max(good, key=lambda line: int(line.split(",")[4]))
    changed.append(",".join((user, item, category, "fav", str(int(at) + 7))))
    changed += [f"newcomer{number},{item},{category},pv,{int(last.split(',')[4]) + number}" for number in range(20)]
    assert not any(line.startswith("newcomer") for line in lines)
    path.write_text("\n".join(changed) + "\n", "utf-8")

    shop = place.shop()
    before, models = ledger_of(shop), {name: shop.version(name) for name in TRAINED}
    result = place.run(
        select=UP_TO_THE_REPORTS, two_tower={"epochs": 1, "negatives": 64, "dim": 16, "retrain_share": 0.2}
    )
    done = work(result)
    after = ledger_of(shop)
    people = {f"newcomer{number}" for number in range(20)}
    assert moved(before, after, "interactions") == {day_of(one) for one in (late, corrected, put_off, later, last)}
    # What a user row says of an event that turned out to be a purchase, or to be of another day, is the same.
    assert moved(before, after, "users") == {user} | people
    assert {name: result.assets[name].new for name in ("users", "homepage", "style_discovery")} == {
        "users": 20,
        "homepage": 20,
        "style_discovery": 20,
    }
    assert not any(moved(before, after, stage) for stage in ITEM_STAGES)
    assert done.pop("explanations") == len(moved(before, after, "explanations"))
    shoppers = len(keys_of(after, "homepage"))
    assert done == {
        "interactions": 5,
        "users": 21,
        "homepage": shoppers,
        "style_discovery": shoppers,
        "outfits": len(keys_of(after, "items")),
        **dict.fromkeys(("sessions", "splits", "feedback", "vae_synthetic_samples", "feedback_exports"), 1),
        **dict.fromkeys(("release", "served_release"), 1),
    }
    assert {name: shop.version(name) for name in models} == models
    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT count(*) FROM homepage WHERE user_id = 'newcomer0'").fetchall()
    assert rows[0][0] > 0


def test_a_deleted_item_and_a_deleted_user_are_gone_from_every_table_file_and_index(place: Place) -> None:
    shop = place.shop()
    ids = ItemIndex.load(shop.current("faiss_index")).ids
    file = [str(shop.current("interactions_file") / "interactions.parquet")]
    chosen = duckdb.execute(
        "SELECT item_id FROM read_parquet(?) GROUP BY 1 ORDER BY count(*) DESC LIMIT 1", file
    ).fetchall()[0][0]
    person = duckdb.execute(
        "SELECT user_id FROM read_parquet(?) GROUP BY 1 ORDER BY count(*) DESC LIMIT 1 OFFSET 9", file
    ).fetchall()[0][0]
    assert chosen in ids
    assert traces(place.home, chosen)
    assert traces(place.home, person)
    model_before = shop.model_id("two_tower_model")
    ncf_before, sweep_before = Ncf.load(shop.current("ncf_model")), shop.version("augmentation_sweep")
    assert chosen in ncf_before.item_ids
    assert person in ncf_before.user_ids

    place.edit_catalog(lambda rows: [row for row in rows if row[0] != chosen])
    log = place.raw / "UserBehavior.csv"
    lines = log.read_text("utf-8").splitlines(keepends=True)
    log.write_text("".join(line for line in lines if not line.startswith(f"{person},")), "utf-8")
    with (place.raw / "users.csv").open(encoding="utf-8", newline="") as source:
        people = [row for row in csv.reader(source) if row[0] != person]
    with (place.raw / "users.csv").open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows(people)
    result = place.run(two_tower={"epochs": 1, "negatives": 64, "dim": 16, "retrain_share": 1.0})
    assert result.success, result.errors
    for name in ITEM_STAGES:
        if name != "grounded_crops" or result.assets[name].orphaned:
            assert result.assets[name].orphaned == 1, name
    for name in ("users", "homepage", "style_discovery"):
        assert result.assets[name].orphaned == 1, name
    assert traces(place.home, chosen) == []
    assert traces(place.home, person) == []
    assert chosen not in ItemIndex.load(shop.current("faiss_index")).ids
    assert shop.model_id("two_tower_model") == model_before
    # Nothing was trained again: item and user were taken out, and everybody else stayed as they were.
    ncf = Ncf.load(shop.current("ncf_model"))
    assert ncf.item_ids.tolist() == [name for name in ncf_before.item_ids.tolist() if name != chosen]
    assert ncf.user_ids.tolist() == [name for name in ncf_before.user_ids.tolist() if name != person]
    assert shop.version("augmentation_sweep") == sweep_before
    before, after = (model.module.state_dict() for model in (ncf_before, ncf))
    for table, kept in (("item_ids", ncf_before.item_ids != chosen), ("user_ids", ncf_before.user_ids != person)):
        before[f"{table}.weight"] = before[f"{table}.weight"][np.append(True, kept)]
    assert all(np.array_equal(before[name].numpy(), value.numpy()) for name, value in after.items())
    assert result.checks.failed == []

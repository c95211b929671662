"""The suppression list: no name in it, and nothing of its users gets past the readers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from fashionrec_assets.catalog.erasure import FILE, NOBODY, Erasures, ErasuresDamagedError
from fashionrec_assets.catalog.validation import Conservation, Reading
from fashionrec_assets_tests.catalog.shop import T0, RawShop, jpeg, rejects, rows

GONE = "erase-me-7731"
LISTED = NOBODY.adding("somebody-else", date(2024, 5, 1)).adding(GONE, date(2024, 5, 2), reason="asked by letter")


def log(shop: RawShop, erasures: Erasures = LISTED) -> Reading:
    return replace(shop, erasures=erasures).interactions()


def bytes_of(reading: Reading) -> str:
    """Everything the reading says, decoded."""
    return str([rows(path) for path in (reading.table, reading.rejects)]) + str(reading.reasons)


def test_the_file_names_nobody_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    LISTED.write(tmp_path)
    path = tmp_path / FILE
    assert GONE not in path.read_text("utf-8")
    assert path.stat().st_mode & 0o077 == 0
    again = Erasures.read(tmp_path)
    assert again == LISTED
    assert again.names(GONE) and again.names("somebody-else") and not again.names("erase-me-773")
    assert [(user.erased.isoformat(), user.reason) for user in again.users] == [
        ("2024-05-01", None),
        ("2024-05-02", "asked by letter"),
    ]


def test_two_homes_say_different_things_of_one_user() -> None:
    other = NOBODY.adding(GONE, date(2024, 5, 2))
    assert other.users[0].hash not in {user.hash for user in LISTED.users}
    assert len(other.users[0].hash) == 64


def test_a_user_is_listed_once_and_the_digest_follows_the_users() -> None:
    assert LISTED.adding(GONE, date(2025, 1, 1)) is LISTED
    assert NOBODY.digest is None
    more = LISTED.adding("third", date(2024, 5, 3))
    assert len({LISTED.digest, more.digest, NOBODY.digest}) == 3


def test_a_reason_must_not_name_the_user() -> None:
    with pytest.raises(ValueError, match="must not name the user"):
        NOBODY.adding(GONE, date(2024, 5, 2), reason=f"mail of {GONE.upper()}")


def test_no_list_is_an_empty_one_and_a_damaged_one_stops_everything(tmp_path: Path) -> None:
    assert Erasures.read(tmp_path) == NOBODY
    (tmp_path / FILE).write_text('{"salt": ', "utf-8")
    with pytest.raises(ErasuresDamagedError, match="erased users would come back"):
        Erasures.read(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"salt": "x", "users": [], "more": 1}), "utf-8")
    with pytest.raises(ErasuresDamagedError):
        Erasures.read(tmp_path)


def test_the_log_loses_the_user_and_counts_what_it_lost(shop: RawShop) -> None:
    shop.write_catalog(["1", "2"])
    mine = [
        f"{GONE},1,0,pv,{T0}\n",
        f"{GONE},1,0,pv,{T0}\n",  # a duplicate
        f'"{GONE}",2,0,buy,{T0}\n',
        f" {GONE} ,99,0,buy,{T0}\n",  # an unknown item
        f"{GONE},1,0,stared,{T0}\n",
        f"{GONE},1,0\n",  # too few columns
        f"{GONE},1,0,pv,{T0},more\n",
    ]
    others = [f"7,1,0,pv,{T0}\n", f"{GONE}x,2,0,buy,{T0}\n", f"8,99,0,pv,{T0}\n"]
    named = [f'8,1,"0,pv,{GONE}\n', f"8,{GONE},0,pv,{T0}\n", f"{{user: '{GONE}'}}\n"]
    shop.write("UserBehavior.csv", "".join((*others, *mine, *named)))
    reading = log(shop)
    assert reading.conservation == Conservation("UserBehavior.csv", 13, 2, 4, 7)
    assert [row[0] for row in rows(reading.table)] == ["7", f"{GONE}x"]
    assert bytes_of(reading).replace(f"{GONE}x", "").find(GONE) == -1
    # Refused lines of others are still there, with what was wrong with them.
    assert {line: row[2] for line, row in rejects(reading).items()} == {3: "99", 11: None, 12: None, 13: None}
    kept = log(shop, NOBODY)
    assert kept.conservation == Conservation("UserBehavior.csv", 13, 4, 9)
    assert GONE in bytes_of(kept)


@pytest.mark.parametrize("name", ["UserBehavior.csv.gz", "UserBehavior.parquet"])
def test_whatever_the_log_is_kept_in(shop: RawShop, name: str) -> None:
    shop.write_catalog(["1"])
    if name.endswith("gz"):
        shop.write(name, f"{GONE},1,0,pv,{T0}\n7,1,0,pv,{T0}\n")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {"user_id": [GONE, "7"], "item_id": ["1", "1"], "behaviour": ["pv", "pv"], "timestamp": [T0, T0]}
        )
        pq.write_table(table, shop.raw / name)
    reading = log(shop)
    assert reading.conservation == Conservation(name, 2, 1, 0, 1)
    assert GONE not in bytes_of(reading)


def test_a_value_that_was_cut_off_ends_with_a_whole_word(shop: RawShop) -> None:
    shop.write_catalog(["1"])
    line = "x" * 190 + f' "{GONE}'
    shop.write("UserBehavior.csv", f"7,1,0,pv,{T0}\n{line},,,,\n")
    assert GONE[:5] in bytes_of(log(shop, NOBODY))
    assert GONE[:5] not in bytes_of(log(shop))


def test_users_and_answers_lose_the_user_and_the_avatar(shop: RawShop) -> None:
    shop.write_catalog(["1"])
    shop.write("UserBehavior.csv", f"7,1,0,pv,{T0}\n8,1,0,pv,{T0}\n")
    shop.write(f"faces/{GONE}.jpg", jpeg())
    profiles = f"user_id,age,avatar\n7,31,\n{GONE},900,faces/{GONE}.jpg\n{GONE},40,\n{GONE}\n"
    shop.write("users.csv", profiles)
    answers = f"user_id,item_id,time,helpful\n7,1,{T0},yes\n{GONE},1,{T0},yes\n{GONE},1,{T0},perhaps\n"
    shop.write("feedback.csv", answers)
    erased = replace(shop, erasures=LISTED)
    users = erased.users()
    assert users.conservation == Conservation("users.csv", 4, 1, 1, 2)
    assert [row[0] for row in rows(users.table)] == ["7", "8"]
    assert users.findings == {}
    told = erased.feedback()
    assert told is not None
    assert told.conservation == Conservation("feedback.csv", 3, 1, 0, 2)
    assert GONE not in bytes_of(users) + bytes_of(told)


def test_prices_paid_by_the_user_are_nobodys(tmp_path: Path) -> None:
    shop = RawShop(tmp_path, "hm")
    shop.write("articles.csv", "article_id,prod_name\n0108775015,Strap top\n")
    paid = "".join(
        f"2018-09-20,{user},0108775015,{price},2\n" for user, price in (("a", 0.02), (GONE, 0.9), (GONE, 0.8))
    )
    shop.write("transactions_train.csv", f"t_dat,customer_id,article_id,price,sales_channel_id\n{paid}")
    found = {
        bool(erasures): rows(replace(shop, erasures=erasures).items().table, "price") for erasures in (NOBODY, LISTED)
    }
    assert found == {False: [(0.8,)], True: [(0.02,)]}

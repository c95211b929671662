"""The contract on hostile, sloppy and ordinary exports."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.lines import Log
from fashionrec_assets.catalog.photos import PhotoStore
from fashionrec_assets.catalog.tables import INTERACTIONS, ITEMS, REJECTS, USERS
from fashionrec_assets.catalog.validation import Conservation
from fashionrec_assets.settings import CatalogSettings
from fashionrec_assets.storage.tables import Table
from fashionrec_assets_tests.catalog.shop import T0, RawShop, by_key, jpeg, png_of_size, rejects, rows

HEADER = "item_id,title,description,category,price,launched_at,image\n"


def described(path: Path) -> list[tuple[str, str]]:
    with duckdb.connect() as connection:
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    return [(name, type_) for name, type_, *_ in found]


def declared(table: Table) -> list[tuple[str, str]]:
    return [(column.name, column.type) for column in table.columns]


def test_files_have_the_declared_columns(shop: RawShop) -> None:
    shop.write_catalog(["1"])
    shop.write("UserBehavior.csv", f"7,1,0,pv,{T0}\n")
    shop.write("users.csv", "user_id,age\n7,30\n")
    items, interactions, users = shop.items(), shop.interactions(), shop.users()
    for reading, table in ((items, ITEMS), (interactions, INTERACTIONS), (users, USERS)):
        assert described(reading.table) == declared(table)
        # The glue adds the first column, the name of the table.
        assert described(reading.rejects) == declared(REJECTS)[1:]


class TestHostileCatalog:
    def read(self, shop: RawShop) -> Any:
        (shop.root / "secret.jpg").write_bytes(jpeg())
        shop.write("images/good.jpg", jpeg("blue"))
        shop.write("images/cut.jpg", jpeg(size=(200, 200))[:-400])
        shop.write("images/bomb.png", png_of_size(60_000, 60_000))
        shop.write("images/anim.gif", b"GIF89a" + bytes(20))
        shop.write("images/text.jpg", b"not a photo")
        shop.write("images/empty.jpg", b"")
        (shop.raw / "images" / "link.jpg").symlink_to(shop.root / "secret.jpg")
        records = [
            b'a1,"<script>alert(1)</script> dress",ok,tops,9.5,2024-01-01T08:00:00+08:00,images/good.jpg\n',
            b'a2,"a title\nof two lines","says ""hello""",tops,1,,images/cut.jpg\n',  # lines 3-4
            b"a3,T\x00-shirt,,,,,\n",  # line 5
            b"a4,T-\xff\xfeshirt,,,,,\n",
            b"a5," + b"x" * 50_000 + b",,,,,\n",
            "a6,连衣裙 夏季,新款,裙子,30,1709510400,images/bomb.png\n".encode(),
            b"a1,again,,,,,\n",  # line 9
            b",no id,,,,,\n",
            b"a7,t,,,abc,yesterday,../secret.jpg\n",
            b"a8,t,,,-3,9999-12-31,/etc/passwd\n",
            b"a9,too,few\n",  # line 13
            b"b1,one,too,many,1,,,\n",
            b"b2,t,bad \xff text,,nan,,images/link.jpg\n",
            b"b3,t,nul \x00 text,,,,images/none.jpg\n",
            b"\n",
            b'b4,"never closed,,,,,\n',  # line 18
            b'b5,"fine",,,,,C:\\temp\\x.jpg\n',
            b"b6,t,,,,,images/anim.gif\n",
            b"b7,t,,,,,images/text.jpg\n",
            b"b8,t,,,,,images/empty.jpg\n",
            b"b9,t,,,,,images\n",
        ]
        shop.write("catalog.csv", HEADER.encode() + b"".join(records))
        return shop.items()

    def test_every_record_is_accounted_for(self, shop: RawShop) -> None:
        reading = self.read(shop)
        assert reading.conservation == Conservation("catalog.csv", 20, 12, 8)

    def test_refused_rows_name_line_column_and_reason(self, shop: RawShop) -> None:
        found = [row for row in rows(self.read(shop).rejects) if not row[5]]
        assert [row[:4] for row in found] == [
            ("catalog.csv", 5, "title", "contains a NUL byte"),
            ("catalog.csv", 6, "title", "not UTF-8 text"),
            ("catalog.csv", 7, "title", "too long"),
            ("catalog.csv", 9, "item_id", "duplicate"),
            ("catalog.csv", 10, "item_id", "empty"),
            ("catalog.csv", 13, None, "missing columns"),
            ("catalog.csv", 14, None, "too many columns"),
            ("catalog.csv", 18, None, "unbalanced quote"),
        ]
        values = {row[1]: row[4] for row in found}
        assert values[5] == "T\\x00-shirt"
        assert values[6] == "T-\\xff\\xfeshirt"
        assert values[7] == "x" * 200
        assert values[9] == "a1"

    def test_bad_fields_are_emptied_and_noted_and_their_rows_kept(self, shop: RawShop) -> None:
        reading = self.read(shop)
        noted = {(row[1], row[2], row[3]) for row in rows(reading.rejects) if row[5]}
        assert {
            (11, "price", "not a number"),
            (11, "launched_at", "not a time"),
            (12, "price", "negative"),
            (12, "launched_at", "impossible time"),
            (15, "description", "not UTF-8 text"),
            (15, "price", "not a number"),
            (16, "description", "contains a NUL byte"),
        } <= noted
        kept = by_key(rows(reading.table, "item_id, description, price, launched_at"))
        for item in ("a7", "a8", "b2", "b3"):
            assert kept[item] == (None, None, None)

    def test_good_rows_are_as_given(self, shop: RawShop) -> None:
        kept = by_key(rows(self.read(shop).table, "item_id, title, description, price, launched_at"))
        assert kept["a1"][0] == "<script>alert(1)</script> dress"
        assert kept["a1"][2:] == (9.5, datetime(2024, 1, 1))
        assert kept["a2"][:2] == ("a title\nof two lines", 'says "hello"')
        assert kept["a6"][0] == "连衣裙 夏季"
        assert kept["a6"][3] == datetime(2024, 3, 4)

    def test_photos_are_judged_and_counted(self, shop: RawShop) -> None:
        reading = self.read(shop)
        status = dict(rows(reading.table, "item_id, image_status"))
        assert status == {
            "a1": "ok",
            "a2": "unreadable",
            "a6": "oversized",
            "a7": "escaping",
            "a8": "escaping",
            "b2": "escaping",
            "b3": "missing",
            "b5": "escaping",
            "b6": "unsupported",
            "b7": "unreadable",
            "b8": "unreadable",
            "b9": "unreadable",
        }
        assert reading.photos["escaping"] == 4
        assert sum(reading.photos.values()) == reading.conservation.accepted
        noted = {row[1]: row[3] for row in rows(reading.rejects) if row[2] == "image"}
        assert noted[3] == "photo unreadable"
        assert noted[8] == "photo oversized"
        assert noted[11] == "photo escaping"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"item_id,title\n", "no rows below the header"),
        (b"item_id,name\n1,a\n", "required column missing: title"),
        (b"item_id,title,Title\n1,a,b\n", "columns named twice: title"),
        (b"item_id,title\n,a\n,b\n", "not one row can be used: item_id: empty (2 rows)"),
        ("item_id,title\n1,a\n".encode("utf-16"), "found UTF-16"),
    ],
)
def test_an_unusable_catalog_is_one_clear_error_and_nothing_is_written(
    shop: RawShop, content: bytes, message: str
) -> None:
    shop.write("catalog.csv", content)
    with pytest.raises(ContractError, match=r"catalog\.csv") as raised:
        shop.items()
    assert message in str(raised.value)
    assert not (shop.root / "out").exists()


def test_a_missing_catalog_names_what_is_looked_for(shop: RawShop) -> None:
    shop.raw.mkdir()
    with pytest.raises(ContractError, match=r"catalog\.csv or .*catalog\.jsonl"):
        shop.items()


def test_a_damaged_gzip_file_is_a_clear_error(shop: RawShop) -> None:
    shop.write("catalog.csv.gz", "item_id,title\n" + "".join(f"{n},title {n * 7919}\n" for n in range(5000)))
    path = shop.raw / "catalog.csv.gz"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ContractError, match="damaged gzip"):
        shop.items()
    assert not (shop.root / "out").exists()


def test_every_format_of_the_catalog_reads_the_same(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"item_id": "007", "title": 'red "dress", long', "price": "12.50", "launched_at": "2024-02-03T04:05:06Z"},
        {"item_id": "12", "title": "连衣裙\nnew", "price": "3", "launched_at": None},
        {"item_id": "3", "title": "plain", "price": None, "launched_at": "1709510400"},
        {"item_id": "3", "title": "second", "price": None, "launched_at": None},
    ]
    results: dict[str, Any] = {}
    for name in ("catalog.csv", "catalog.csv.gz", "catalog.jsonl", "catalog.jsonl.gz", "catalog.parquet"):
        shop = RawShop(tmp_path / name)
        if "csv" in name:
            cells = [[record[key] or "" for key in records[0]] for record in records]
            quoted = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in cells)
            shop.write(name, "\ufeff" + ",".join(records[0]) + "\r\n" + quoted)
        elif "jsonl" in name:
            shop.write(name, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
        else:
            shop.raw.mkdir(parents=True)
            values = ", ".join(
                "("
                + ", ".join("NULL" if v is None else "'" + v.replace("'", "''") + "'" for v in record.values())
                + ")"
                for record in records
            )
            with duckdb.connect() as connection:
                connection.execute(
                    f"COPY (FROM (VALUES {values}) AS t({', '.join(records[0])})) "
                    f"TO '{shop.raw / name}' (FORMAT parquet)"
                )
        reading = shop.items()
        results[name] = (rows(reading.table), reading.reasons)
        assert reading.conservation == Conservation(name, 4, 3, 1)
    first = results.pop("catalog.csv")
    assert first[1] == {"item_id: duplicate": 1}
    assert [row[1] for row in first[0]] == ['red "dress", long', "连衣裙\nnew", "plain"]
    for name, result in results.items():
        assert result == first, name


def test_json_numbers_stay_verbatim_and_bad_lines_are_refused(shop: RawShop) -> None:
    shop.write(
        "catalog.jsonl",
        b'{"item_id": 10000000000000000000007, "title": "a", "price": 1.10}\n{"item_id": "2"\n[1]\n'
        b'{"item_id": "3", "title": "\\ud800"}\n{"item_id": "4", "title": {"en": "x"}}\n\n'
        b'{"item_id": "5", "title": "\xff"}\n',
    )
    reading = shop.items()
    assert rows(reading.table, "item_id, title, price") == [
        ("10000000000000000000007", "a", 1.1),
        ("4", '{"en": "x"}', None),
    ]
    found = {line: rest[1] for line, rest in rejects(reading).items()}
    assert found == {2: "not a JSON object", 3: "not a JSON object", 4: "not UTF-8 text", 7: "not UTF-8 text"}


def test_an_unclosed_quote_costs_one_row_not_the_rest_of_the_file(shop: RawShop) -> None:
    good = "".join(f'{n},"title, {n}"\n' for n in range(500))
    shop.write("catalog.csv", 'item_id,title\nx,"open\n' + good + 'y,"open to the end\nz,last\n')
    reading = shop.items()
    assert reading.conservation == Conservation("catalog.csv", 503, 501, 2)
    assert {line: rest[1] for line, rest in rejects(reading).items()} == {
        2: "unbalanced quote",
        503: "unbalanced quote",
    }


class TestLog:
    LINES = (
        (f"u1,i1,9,pv,{T0}", None),
        (f"u1,i1,9,pv,{T0}", "duplicate"),
        (f"u1,i1,9,buy,{T0}", None),
        (f"u1,i2,9,cart,{T0 - 5}", None),
        (f"u0,i1,9,fav,{T0}", None),
        (f'"u,2","i1","9","fav","{T0}"', None),
        (f"u1,i9,9,pv,{T0}", "unknown item"),
        (f"u1,i1,9,look,{T0}", "unknown behaviour"),
        ("u1,i1,9,pv,-1", "impossible time"),
        ("u1,i1,9,pv,253370764800", "future time"),
        ("u1,i1,9,pv,soon", "not a time"),
        ("u1,i1,9,pv,", "not a time"),
        (f",i1,9,pv,{T0}", "empty"),
        (f"u1,,9,pv,{T0}", "empty"),
        ("u1,i1,9", "missing columns"),
        (f"u1,i1,9,pv,{T0},x", "too many columns"),
        (f'"u1,i1,9,pv,{T0}', "unbalanced quote"),
        ("", None),
        (f"u\x00,i1,9,pv,{T0}", "contains a NUL byte"),
        (f"{'u' * 200},i1,9,pv,{T0}", "too long"),
        ("u3,i1,9,pv,2024-03-04T08:00:00+08:00", None),
        ("u3,i2,9,pv,2024-03-04", None),
        (f" 用户 ,i1,9,pv,{T0} ", None),
    )
    KEPT = (
        ("u,2", "i1", "fav", datetime(2024, 3, 4)),
        ("u0", "i1", "fav", datetime(2024, 3, 4)),
        ("u1", "i2", "cart", datetime(2024, 3, 3, 23, 59, 55)),
        ("u1", "i1", "pv", datetime(2024, 3, 4)),
        ("u1", "i1", "buy", datetime(2024, 3, 4)),
        ("u3", "i1", "pv", datetime(2024, 3, 4)),
        ("u3", "i2", "pv", datetime(2024, 3, 4)),
        ("用户", "i1", "pv", datetime(2024, 3, 4)),
    )

    @pytest.mark.parametrize("name", ["UserBehavior.csv", "UserBehavior.csv.gz"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    @pytest.mark.parametrize("header", ["", "user_id,item_id,category_id,behavior,timestamp"])
    def test_every_line_is_kept_or_refused_with_its_number(
        self, shop: RawShop, name: str, end: str, mark: str, header: str
    ) -> None:
        shop.write_catalog(["i1", "i2"])
        lines = ([header] if header else []) + [line for line, _ in self.LINES]
        shop.write(name, mark + end.join(lines) + end)
        reading = shop.interactions()
        first = 2 if header else 1
        expected = {n: reason for n, (_, reason) in enumerate(self.LINES, first) if reason}
        assert {line: rest[1] for line, rest in rejects(reading).items()} == expected
        assert rows(reading.table) == list(self.KEPT)
        assert reading.conservation == Conservation(name, len(self.LINES) - 1, len(self.KEPT), len(expected))

    def test_the_refused_value_and_its_column_are_named(self, shop: RawShop) -> None:
        shop.write_catalog(["i1", "i2"])
        shop.write("UserBehavior.csv", "\n".join(line for line, _ in self.LINES))
        found = rejects(shop.interactions())
        assert found[8] == ("behaviour", "unknown behaviour", "look", False)
        assert found[10] == ("timestamp", "future time", "253370764800", False)
        assert found[15] == (None, "missing columns", "u1,i1,9", False)
        assert found[19] == (None, "contains a NUL byte", f"u\\x00,i1,9,pv,{T0}", False)
        assert found[2] == (None, "duplicate", "u1 pv i1 2024-03-04 00:00:00", False)

    def test_an_unknown_item_is_told_each_time_and_beside_the_same_users_good_events(self, shop: RawShop) -> None:
        shop.write_catalog(["i1"])
        events = ["gone,9,pv", "i1,9,pv", "gone,9,pv", "i1,9,pv", "i1,9,buy", "lost,9,pv"]
        shop.write("UserBehavior.csv", "".join(f"u1,{event},{T0}\n" for event in events) + f"u2,i1,9,pv,{T0}\n")
        reading = shop.interactions()
        unknown = ("item_id", "unknown item")
        assert rejects(reading) == {
            1: (*unknown, "gone", False),
            3: (*unknown, "gone", False),
            4: (None, "duplicate", "u1 pv i1 2024-03-04 00:00:00", False),
            6: (*unknown, "lost", False),
        }
        assert [row[:3] for row in rows(reading.table)] == [("u1", "i1", "pv"), ("u1", "i1", "buy"), ("u2", "i1", "pv")]

    def test_a_line_of_tabs_between_tabs_is_no_record(self, shop: RawShop) -> None:
        shop.write_catalog(["i1"])
        lines = [f"u1\ti1\t9\tpv\t{T0}", "\t\t\t\t", f"\ti1\t9\tpv\t{T0}", f'""\ti1\t9\tpv\t{T0}']
        shop.write("UserBehavior.csv", "\n".join(lines))
        reading = shop.interactions()
        assert reading.conservation == Conservation("UserBehavior.csv", 3, 1, 2)
        assert {line: rest[:2] for line, rest in rejects(reading).items()} == dict.fromkeys(
            (3, 4), ("user_id", "empty")
        )

    @pytest.mark.parametrize("name", ["UserBehavior.csv", "UserBehavior.csv.gz"])
    def test_undecodable_bytes_stray_line_ends_and_endless_lines_are_survived(self, shop: RawShop, name: str) -> None:
        shop.write_catalog(["i1"])
        good = f"u1,i1,9,pv,{T0}".encode()
        lines = [good, b"u\xff,i1,9,pv,1709510400", "用户,i1,9,pv,1709510400".encode(), b"x" * 3_000_000, b"a\x1fb"]
        ends = [b"\n", b"\r\n", b"\n", b"\n", b"\r\n"]
        shop.write(
            name, b"".join(line + end for line, end in zip(lines, ends, strict=True)) + b"u9,i1,9,buy,1709510401"
        )
        reading = shop.interactions()
        assert [row[0] for row in rows(reading.table)] == ["u1", "u9", "用户"]
        found = {line: rest[1] for line, rest in rejects(reading).items()}
        assert found == {2: "not UTF-8 text", 4: "too long", 5: "missing columns"}
        assert reading.conservation == Conservation(name, 6, 3, 3)

    def test_parquet_and_headed_logs_read_as_the_headerless_one(self, tmp_path: Path) -> None:
        body = "".join(f"u{n % 7},i{n % 3},0,{('pv', 'buy')[n % 2]},{T0 + n // 2}\n" for n in range(100))
        results: list[Any] = []
        for name, header in (
            ("UserBehavior.csv", ""),
            ("UserBehavior.csv.gz", "User,Item,category,behaviour,time\n"),
            ("UserBehavior.parquet", ""),
        ):
            shop = RawShop(tmp_path / name)
            shop.write_catalog(["i0", "i1"])
            if name.endswith("parquet"):
                (shop.raw / "log.csv").write_text(body)
                with duckdb.connect() as connection:
                    connection.execute(
                        "COPY (SELECT column0 AS user_id, column1 AS item_id, column3 AS behaviour, "
                        f"column4 AS timestamp FROM read_csv('{shop.raw / 'log.csv'}', header = false)) "
                        f"TO '{shop.raw / name}' (FORMAT parquet)"
                    )
            else:
                shop.write(name, header + body)
            reading = shop.interactions()
            results.append((rows(reading.table), list(reading.reasons.values()), len(rejects(reading))))
        assert results[0] == results[1] == results[2]
        assert results[0][1] == [33]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("UserBehavior.csv", b"", "the file is empty"),
            ("UserBehavior.csv", b"\n\n", "no rows"),
            ("UserBehavior.csv", b"user_id,item_id,behavior,timestamp\n", "no rows"),
            (
                "UserBehavior.csv",
                b"user_id,item_id,timestamp\n1,2,3\n",
                "required column missing: behaviour or behavior",
            ),
            ("UserBehavior.csv", b"1,2,pv,1709510400\n1,2,pv,1709510400\n", "expected 5 columns"),
            ("UserBehavior.csv", b"1,2,3,pv,1\n", "not one row can be used: timestamp: impossible time (1 rows)"),
            ("UserBehavior.parquet", b"PAR1 not really", "not a readable Parquet file"),
        ],
    )
    def test_an_unusable_log_is_one_clear_error(self, shop: RawShop, name: str, content: bytes, message: str) -> None:
        shop.write_catalog(["2"])
        shop.write(name, content)
        with pytest.raises(ContractError) as raised:
            shop.interactions()
        assert message in str(raised.value)
        assert name in str(raised.value)
        assert not (shop.root / "out" / "interactions.parquet").exists()
        assert list((shop.root / "scratch").iterdir()) == []

    def test_a_log_cut_off_inside_its_gzip_file_is_a_clear_error(self, shop: RawShop) -> None:
        shop.write_catalog(["2"])
        path = shop.write("UserBehavior.csv.gz", "".join(f"{n * 7919},2,3,pv,{T0 + n}\n" for n in range(20_000)))
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(ContractError, match="damaged gzip"):
            shop.interactions()

    def test_the_future_begins_at_the_setting(self, shop: RawShop) -> None:
        shop.catalog = CatalogSettings(latest_event="2024-03-04T00:00:10")  # pyright: ignore[reportCallIssue]
        shop.write_catalog(["2"])
        shop.write("UserBehavior.csv", f"1,2,3,pv,{T0 + 10}\n1,2,3,pv,{T0 + 11}\n")
        assert rejects(shop.interactions())[2][1] == "future time"

    @pytest.mark.parametrize("seed", range(8))
    def test_random_damage_never_loses_a_line(self, shop: RawShop, seed: int) -> None:
        rng = random.Random(seed)
        shop.write_catalog([f"i{n}" for n in range(20)])
        alphabet = [
            b"u1",
            b",",
            b",",
            b"i3",
            b"pv",
            b"buy",
            b'"',
            b"\x00",
            b"\xff",
            b"\xc3",
            b" ",
            b"\t",
            b"1709510400",
            b"\xe7\x94\xa8",
        ]
        lines: list[bytes] = []
        good = 0
        for number in range(400):
            if rng.random() < 0.5:
                lines.append(f"u{number},i{rng.randrange(20)},0,pv,{T0 + number}".encode())
                good += 1
            else:
                lines.append(b"".join(rng.choice(alphabet) for _ in range(rng.randrange(12))) + b",?")
        end = rng.choice([b"\n", b"\r\n"])
        if rng.random() < 0.5:
            lines = [line.replace(b"\xff", b"").replace(b"\xc3", b"") for line in lines]
        shop.write("UserBehavior.csv", end.join(lines))
        reading = shop.interactions()
        assert reading.conservation == Conservation("UserBehavior.csv", 400, good, 400 - good)
        bad = {number for number, line in enumerate(lines, 1) if line.endswith(b",?")}
        assert set(rejects(reading)) == bad

    def test_lines_keep_their_numbers_and_events_their_order_when_threads_share_the_file(
        self, shop: RawShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Threads share a file by its buffers, and a table by its groups of rows: many of both.
        original = Log._lines_sql  # pyright: ignore[reportPrivateUsage]
        buffers = "max_line_size = 4096, buffer_size = 65536, skip ="
        monkeypatch.setattr(Log, "_lines_sql", lambda log: original(log).replace("skip =", buffers))
        shop.write_catalog([f"i{n}" for n in range(50)])
        lines = [f"u{n * 7919 % 10_007},i{n % 50},0,pv,{T0 + n % 1000}\r" for n in range(200_000)]
        expected: dict[int, str] = {}
        for number in range(9, len(lines), 9_973):
            lines[number] = (f"u,i1,0,pv,bad{number}\r", "\r", f"u,gone{number},0,pv,{T0}\r", lines[0])[number % 4]
            if number % 4 != 1:
                expected[number + 2] = ("not a time", "", "unknown item", "duplicate")[number % 4]
        shop.write("UserBehavior.csv", "user,item,category,behaviour,ts\r\n" + "\n".join(lines))
        reading = shop.interactions()
        found = rejects(reading)
        assert {line: rest[1] for line, rest in found.items()} == expected
        assert len(expected) > 10
        assert {rest[2] for line, rest in found.items() if rest[1] == "not a time"} == {
            f"bad{line - 2}" for line, reason in expected.items() if reason == "not a time"
        }
        events = rows(reading.table, "user_id, ts, item_id")
        assert len(events) == reading.conservation.accepted == 200_000 - len(range(9, 200_000, 9_973))  # pyright: ignore[reportOptionalMemberAccess]
        assert events == sorted(events)


class TestUsers:
    def test_profiles_activity_and_bots(self, shop: RawShop) -> None:
        shop.catalog = CatalogSettings(bot_events_per_day=5)  # pyright: ignore[reportCallIssue]
        shop.write_catalog(["1", "2"])
        day = 86_400
        people = [("bot", T0 + n) for n in range(6)] + [("calm", T0 + n * day) for n in range(6)]
        # Five events on either side of midnight are not six on one day.
        people += [("night", T0 + day - 3 + n) for n in range(6)]
        shop.write("UserBehavior.csv", "".join(f"{user},1,0,pv,{time}\n" for user, time in people))
        shop.write(
            "users.csv", "user_id,gender,age,city\ncalm,female,31.0,São Paulo\nidle,,old,\ncalm,x,,\nbot,,400,\n"
        )
        reading = shop.users()
        found = by_key(rows(reading.table))
        assert found["bot"][0] == 6
        assert [found[user][3] for user in ("bot", "calm", "idle", "night")] == [True, False, False, False]
        assert found["calm"][1:7] == (datetime(2024, 3, 4), datetime(2024, 3, 9), False, "female", 31, "São Paulo")
        assert found["idle"][:7] == (0, None, None, False, None, None, None)
        assert {found[user][7:] for user in found} == {(None, "none", None)}
        assert reading.findings == {}
        assert reading.conservation == Conservation("users.csv", 4, 3, 1)
        assert reading.reasons == {"age: impossible age": 1, "age: not a number": 1, "user_id: duplicate": 1}

    def test_without_a_user_file_everyone_comes_from_the_log(self, shop: RawShop) -> None:
        shop.write_catalog(["1"])
        shop.write("UserBehavior.csv", f"b,1,0,pv,{T0}\na,1,0,pv,{T0}\n")
        reading = shop.users()
        assert [row[0] for row in rows(reading.table)] == ["a", "b"]
        assert reading.conservation is None


class TestAvatars:
    def write(self, shop: RawShop) -> None:
        shop.write_catalog(["1"])
        shop.write("UserBehavior.csv", f"good,1,0,pv,{T0}\nstranger,1,0,pv,{T0}\n")
        (shop.root / "secret.jpg").write_bytes(jpeg())
        shop.write("faces/good.jpg", jpeg("blue"))
        shop.write("faces/cut.jpg", jpeg(size=(200, 200))[:-400])
        shop.write("faces/bomb.png", png_of_size(60_000, 60_000))
        shop.write("faces/anim.gif", b"GIF89a" + bytes(20))
        (shop.raw / "faces" / "link.jpg").symlink_to(shop.root / "secret.jpg")
        refs = {
            "good": "faces/good.jpg",
            "up": "../secret.jpg",
            "root": "/etc/passwd",
            "drive": "C:\\temp\\x.jpg",
            "link": "faces/link.jpg",
            "cut": "faces/cut.jpg",
            "bomb": "faces/bomb.png",
            "anim": "faces/anim.gif",
            "gone": "faces/gone.jpg",
            "plain": "",
        }
        lines = "".join(f"{user},{ref},30\n" for user, ref in refs.items())
        shop.write("users.csv", f"user_id,avatar,age\n{lines}nul,faces/\0.jpg,31\n")

    def test_an_avatar_is_judged_as_an_items_photo_and_its_user_kept(self, shop: RawShop) -> None:
        self.write(shop)
        reading = shop.users()
        assert reading.conservation == Conservation("users.csv", 11, 11, 0)
        found = by_key(rows(reading.table, "user_id, age, avatar_ref, avatar_status, avatar_digest"))
        digest = hashlib.sha256((shop.raw / "faces" / "good.jpg").read_bytes()).hexdigest()
        assert found["good"] == (30, "faces/good.jpg", "ok", digest)
        assert found["stranger"] == (None, None, "none", None)
        assert found["plain"] == (30, None, "none", None)
        assert found["nul"] == (31, None, "none", None)
        assert {user: row[2] for user, row in found.items() if row[2] not in ("ok", "none")} == {
            "up": "escaping",
            "root": "escaping",
            "drive": "escaping",
            "link": "escaping",
            "cut": "unreadable",
            "bomb": "oversized",
            "anim": "unsupported",
            "gone": "missing",
        }
        assert reading.photos == {
            "ok": 1,
            "none": 2,
            "missing": 1,
            "unreadable": 1,
            "oversized": 1,
            "escaping": 4,
            "unsupported": 1,
        }
        noted = rejects(reading)
        assert noted[3] == ("avatar", "photo escaping", "../secret.jpg", True)
        assert noted[12][:2] == ("avatar", "contains a NUL byte")
        assert len(noted) == 9

    @pytest.mark.parametrize("name", ["avatar", "avatar_ref", "Image"])
    def test_the_column_has_several_spellings(self, shop: RawShop, name: str) -> None:
        self.write(shop)
        shop.write("users.csv", f"user_id,{name}\ngood,faces/good.jpg\n")
        assert by_key(rows(shop.users().table, "user_id, avatar_status"))["good"] == ("ok",)

    def test_avatars_known_before_are_not_read_again(self, shop: RawShop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(shop)
        first = shop.users()
        shop.write("faces/cut.jpg", jpeg("green", (30, 30)))
        read: list[str] = []
        original = PhotoStore.read_at
        monkeypatch.setattr(
            PhotoStore, "read_at", lambda self, ref, stamp: read.append(ref) or original(self, ref, stamp)
        )
        second = shop.users(known_photos=first.findings)
        assert read == ["faces/cut.jpg"]
        assert second.photos["ok"] == 2


class TestHM:
    ARTICLES = (
        "article_id,product_code,prod_name,product_type_name,product_group_name,graphical_appearance_name,"
        "colour_group_name,index_group_name,section_name,detail_desc\n"
        '0108775015,0108775,Strap top,Vest top,Garment Upper body,Solid,Black,Ladieswear,Basics,"Jersey, soft."\n'
        "0108775044,0108775,Strap top,Vest top,Garment Upper body,Stripe,White,Ladieswear,Basics,\n"
    )
    TRANSACTIONS = (
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2020-09-20,c1,0108775015,0.01,2\n2020-09-20,c1,0108775015,0.03,2\n2020-09-21,c1,0108775015,0.02,1\n"
        "2020-09-21,c2,0999999999,0.02,1\n"
    )

    @pytest.mark.parametrize("photos", ["folder", "tar", "neither"])
    @pytest.mark.parametrize("gz", ["", ".gz"])
    def test_layout(self, tmp_path: Path, photos: str, gz: str) -> None:
        shop = RawShop(tmp_path, "hm")
        shop.write("articles.csv", self.ARTICLES)
        shop.write("transactions_train.csv" + gz, self.TRANSACTIONS)
        shop.write("customers.csv", "customer_id,FN,age\nc1,,44\n")
        name, data = "images/010/0108775015.jpg", jpeg()
        if photos == "folder":
            shop.write(name, data)
        elif photos == "tar":
            with tarfile.open(shop.raw / "images.tar", "w") as tar:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        items, log, users = shop.items(), shop.interactions(), shop.users()
        found = by_key(
            rows(items.table, "item_id, title, description, family_id, pattern, gender, price, image_status")
        )
        status = "none" if photos == "neither" else "ok"
        assert found["0108775015"] == ("Strap top", "Jersey, soft.", "0108775", "Solid", "Ladieswear", 0.02, status)
        assert found["0108775044"] == ("Strap top", None, "0108775", "Stripe", "Ladieswear", None, "none")
        assert items.reasons == {}
        assert log.reasons == {"article_id: unknown item": 1, "duplicate": 1}
        assert [row[2:] for row in rows(log.table)] == [
            ("buy", datetime(2020, 9, 20)),
            ("buy", datetime(2020, 9, 21)),
        ]
        assert rows(users.table, "user_id, events, age") == [("c1", 2, 44)]

    def test_split_days(self, tmp_path: Path) -> None:
        shop = RawShop(tmp_path, "hm")
        shop.write("articles.csv", self.ARTICLES)
        assert shop.source.split_days(7) == (1, 2)


def test_photos_known_before_are_not_read_again(shop: RawShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write("catalog.csv", "item_id,title,image\n1,a,p/1.jpg\n2,b,p/2.jpg\n3,c,p/3.jpg\n")
    for name in ("1", "2"):
        shop.write(f"p/{name}.jpg", jpeg())
    first = shop.items()
    shop.write("p/2.jpg", jpeg("green", (30, 30)))
    read: list[str] = []
    original = PhotoStore.read_at
    monkeypatch.setattr(PhotoStore, "read_at", lambda self, ref, stamp: read.append(ref) or original(self, ref, stamp))
    second = shop.items(known_photos=first.findings)
    assert read == ["p/2.jpg"]
    assert second.photos == {"ok": 2, "missing": 1}
    assert second.findings["p/2.jpg"].digest != first.findings["p/2.jpg"].digest


def test_reading_twice_gives_the_same_bytes(shop: RawShop) -> None:
    shop.write_catalog([f"i{n}" for n in range(50)])
    rng = random.Random(5)
    shop.write(
        "UserBehavior.csv",
        "".join(f"u{rng.randrange(90)},i{rng.randrange(50)},0,pv,{T0 + rng.randrange(90)}\n" for _ in range(5000)),
    )
    first = [path.read_bytes() for path in (shop.items().table, shop.interactions().table, shop.interactions().rejects)]
    second = [
        path.read_bytes() for path in (shop.items().table, shop.interactions().table, shop.interactions().rejects)
    ]
    assert first == second


def test_the_books_must_balance() -> None:
    with pytest.raises(AssertionError, match="3 rows in"):
        replace(Conservation("f", 3, 2, 1), accepted=1)


HM_WEEK = os.environ.get("FASHIONREC_HM_WEEK")


@pytest.mark.skipif(HM_WEEK is None, reason="FASHIONREC_HM_WEEK does not name a folder with a week of H&M's data")
def test_a_real_week(tmp_path: Path) -> None:
    (tmp_path / "raw").symlink_to(Path(str(HM_WEEK)))
    shop = RawShop(tmp_path, "hm")
    items, log, users = shop.items(), shop.interactions(), shop.users()
    assert items.conservation == Conservation("articles.csv", 17_986, 17_986, 0)
    assert items.photos == {"ok": 12_044, "none": 5_942}
    assert log.conservation == Conservation("transactions_train.csv.gz", 240_311, 216_792, 23_519)
    assert log.reasons == {"duplicate": 23_519}
    assert len(rows(users.table)) == 68_984

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.tables import ITEMS
from fashionrec_assets.recommendations import rules as module
from fashionrec_assets.recommendations.explanations.facts import facts_array
from fashionrec_assets.recommendations.rules import (
    Rule,
    RuleSet,
    breaches,
    caps_on,
    item_columns,
    read_rules,
    shown_items,
)
from fashionrec_assets.recommendations.tables import BUSINESS_RULES, HOMEPAGE, arrow_schema

HEADER = "rule,field,value,number,shelf,from,until\n"
END = int(datetime(2024, 3, 11, tzinfo=UTC).timestamp())
"""The log ends with the tenth of March."""

ITEM_ROWS = {
    "item_id": ["a", "b", "c", "d", "e"],
    "category": ["tops", "tops", "shoes", None, "tops"],
    "product_type": ["shirt", "shirt", "boots", None, "shirt"],
    "family_id": ["f1", "f1", None, None, "f2"],
    "brand": ["Kitsu", "Kitsu", "Rue", None, "Rue, & Co"],
    "colour": [None] * 5,
    "pattern": [None] * 5,
    "section": [None] * 5,
    "gender": ["women", "men", None, None, "women"],
    "price": [10.0, 20.0, None, 30.0, 40.0],
}


def rule(line: int = 2, **changes: object) -> Rule:
    given = {"rule": "exclude", "field": "brand", "value": "Kitsu", "number": None, "shelf": "", "starts": None}
    return Rule(line=line, **{**given, "ends": None, **changes})  # pyright: ignore[reportArgumentType]


def written(tmp_path: Path, lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "rules.csv"
    path.write_text(header + lines, "utf-8")
    return path


def test_every_kind_of_rule_is_read(tmp_path: Path) -> None:
    lines = (
        "out_of_stock,item_id,a,,,,\n"
        ' Exclude ,Brand,"Rue, & Co",,new,2024-03-01,2024-03-31\n'
        "cap,brand,,3,for_you,,\n"
        "\n"
        "price_band,price,5,90.5,,,\n"
        "price_band,,,50,trending,,\n"
        "out_of_stock,,0007,,,,\n"
    )
    rules, rejects = read_rules(written(tmp_path, lines))
    assert rejects == []
    assert rules == [
        rule(2, rule="out_of_stock", field="item_id", value="a"),
        rule(3, value="Rue, & Co", shelf="new", starts=date(2024, 3, 1), ends=date(2024, 3, 31)),
        rule(4, rule="cap", value=None, number=3.0, shelf="for_you"),
        rule(6, rule="price_band", field="price", value="5", number=90.5),
        rule(7, rule="price_band", field="price", value=None, number=50.0, shelf="trending"),
        rule(8, rule="out_of_stock", field="item_id", value="0007"),
    ]


@pytest.mark.parametrize(
    ("line", "reason", "value"),
    [
        ("ban,brand,x,,,,", module.UNKNOWN_RULE, "ban"),
        (",brand,x,,,,", module.UNKNOWN_RULE, None),
        ("exclude,title,x,,,,", module.UNKNOWN_FIELD, "title"),
        ("exclude,price,5,,,,", module.UNKNOWN_FIELD, "price"),
        ("out_of_stock,brand,x,,,,", module.UNKNOWN_FIELD, "brand"),
        ("price_band,brand,1,2,,,", module.UNKNOWN_FIELD, "brand"),
        ("exclude,brand,x,,front,,", module.UNKNOWN_SHELF, "front"),
        ("out_of_stock,item_id,a,,new,,", module.NO_SHELF, "new"),
        ("exclude,brand,,,,,", module.VALUE_MISSING, None),
        ("exclude,brand,x,3,,,", module.NO_NUMBER, "3"),
        ("cap,brand,,,,,", module.NUMBER_MISSING, None),
        ("cap,brand,,many,,,", module.NOT_A_NUMBER, "many"),
        ("cap,brand,,inf,,,", module.NOT_A_NUMBER, "inf"),
        ("cap,brand,,2.5,,,", module.NOT_A_COUNT, "2.5"),
        ("cap,brand,,0,,,", module.NOT_A_COUNT, "0"),
        ("price_band,price,cheap,9,,,", module.NOT_A_NUMBER, "cheap"),
        ("price_band,price,,,,,", module.NO_BAND, "–"),
        ("price_band,price,9,5,,,", module.NO_BAND, "9–5"),
        ("exclude,brand,x,,,10.3.2024,", module.NOT_A_DAY, "10.3.2024"),
        ("exclude,brand,x,,,,2024-02-30", module.NOT_A_DAY, "2024-02-30"),
        ("exclude,brand,x,,,2024-03-02,2024-03-01", module.ENDS_EARLY, "2024-03-01"),
        ("exclude,brand,Good,,,,", module.TWICE, "Good"),
        ("exclude,brand", "missing columns", "exclude,brand"),
        ("exclude,brand,x,,,,,,", "too many columns", "exclude,brand,x,,,,,,"),
        ('exclude,brand,"x,,,,', "unbalanced quote", 'exclude,brand,"x,,,,'),
    ],
)
def test_a_bad_line_is_refused_with_its_reason_and_the_rest_stands(
    tmp_path: Path, line: str, reason: str, value: str | None
) -> None:
    rules, rejects = read_rules(written(tmp_path, f"exclude,brand,Good,,,,\n{line}\nexclude,brand,Better,,,,\n"))
    assert [(one.line, one.reason, one.value) for one in rejects] == [(3, reason, value)]
    assert [one.value for one in rules] == ["Good", "Better"]


def test_no_file_and_no_lines_are_no_rules_but_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    assert read_rules(tmp_path / "rules.csv") == ([], [])
    assert read_rules(written(tmp_path, "")) == ([], [])
    assert read_rules(written(tmp_path, "", header="")) == ([], [])
    with pytest.raises(ContractError, match="rule"):
        read_rules(written(tmp_path, "a,b\n", header="x,y\n"))


def test_a_rule_holds_on_its_days_and_both_ends_count() -> None:
    def shown(starts: date | None = None, ends: date | None = None) -> bool:
        return bool(shown_items(RuleSet((rule(starts=starts, ends=ends),)), ITEM_ROWS, END).all())

    assert not shown()
    assert not shown(starts=date(2024, 3, 10), ends=date(2024, 3, 10))
    assert shown(starts=date(2024, 3, 11))
    assert shown(ends=date(2024, 3, 9))


def test_what_rules_mean_for_items() -> None:
    def shown(*rules: Rule, shelf: str | None = None) -> str:
        allowed = shown_items(RuleSet(rules), ITEM_ROWS, END, shelf)
        return "".join(np.array(ITEM_ROWS["item_id"])[allowed])

    assert shown() == "abcde"
    assert shown(rule()) == "cde"
    assert shown(rule(rule="out_of_stock", field="item_id", value="d"), rule(value="Rue")) == "abe"
    assert shown(rule(shelf="new")) == shown(rule(shelf="new"), shelf="trending") == "abcde"
    assert shown(rule(shelf="new"), shelf="new") == "cde"
    assert shown(rule(rule="price_band", field="price", value="20", number=30.0)) == "bd"
    assert shown(rule(rule="price_band", field="price", value=None, number=20.0)) == "ab"
    assert shown(rule(rule="cap", value=None, number=1.0)) == "abcde"


def test_limits_are_per_value_and_leave_the_unnamed_alone() -> None:
    def codes(cap: Rule, shelf: str = "for_you") -> list[list[int]]:
        found = caps_on(RuleSet((cap,)), ITEM_ROWS, END, shelf)
        assert all(one.limit == 2 for one in found)
        return [one.codes.tolist() for one in found]

    everyone = codes(rule(rule="cap", value=None, number=2.0))[0]
    assert everyone[0] == everyone[1] != everyone[2] and everyone[3] == 0
    assert len({everyone[0], everyone[2], everyone[4], 0}) == 4
    one = codes(rule(rule="cap", number=2.0))[0]
    assert [code > 0 for code in one] == [True, True, False, False, False]
    assert codes(rule(rule="cap", number=2.0, shelf="new")) == []
    assert len(codes(rule(rule="cap", number=2.0, shelf="new"), "new")) == 1


def test_rules_come_back_from_their_table(tmp_path: Path) -> None:
    rules, _ = read_rules(written(tmp_path, "cap,brand,,3,new,,2024-05-01\nexclude,brand,Kitsu,,,2024-01-01,\n"))
    rows = [{**vars(one), "in_force": True, "items": 0} for one in rules]
    table = pa.Table.from_pylist(rows, arrow_schema(BUSINESS_RULES))
    with duckdb.connect() as connection:
        connection.execute(BUSINESS_RULES.ddl())
        connection.register("t", table)
        connection.execute("INSERT INTO business_rules SELECT * FROM t")
        assert RuleSet.read(connection) == RuleSet(tuple(rules))
    assert RuleSet.of(table.to_pylist()) == RuleSet(tuple(rules))


def test_a_page_against_a_rule_is_found() -> None:
    rows = [("u", 1, "for_you", "a"), ("u", 2, "for_you", "b"), ("u", 3, "new", "c"), ("v", 1, "for_you", "e")]
    page = pa.table(
        {
            "user_id": [row[0] for row in rows],
            "rank": [row[1] for row in rows],
            "shelf": [row[2] for row in rows],
            "shelf_rank": [row[1] for row in rows],
            "anchor_id": [None] * 4,
            "anchor_behaviour": [None] * 4,
            "item_id": [row[3] for row in rows],
            "score": [0.1] * 4,
            "source": ["late_fusion"] * 4,
            "facts": facts_array([()] * 4),
        }
    ).cast(arrow_schema(HOMEPAGE))
    with duckdb.connect() as connection:
        connection.execute(ITEMS.ddl())
        connection.execute(HOMEPAGE.ddl())
        connection.register("page", page)
        connection.execute("INSERT INTO homepage SELECT * FROM page")
        columns, marks = ", ".join(ITEM_ROWS), ", ".join("?" * len(ITEM_ROWS))
        for values in zip(*ITEM_ROWS.values(), strict=True):
            connection.execute(
                f"INSERT INTO items ({columns}, title, image_status) VALUES ({marks}, '', 'none')",
                list(values),
            )
        assert item_columns(connection) == ITEM_ROWS
        for broken, one in (
            (2, rule()),
            (0, rule(shelf="new")),
            (1, rule(rule="out_of_stock", field="item_id", value="c")),
            (0, rule(rule="out_of_stock", field="item_id", value="d")),
            (1, rule(rule="cap", value=None, number=1.0)),
            (0, rule(rule="cap", value=None, number=2.0)),
            (0, rule(rule="cap", value=None, number=1.0, shelf="new")),
            (0, rule(rule="cap", value="Rue", number=1.0)),
            (3, rule(rule="price_band", field="price", value="15", number=30.0)),
            (1, rule(rule="price_band", field="price", value=None, number=5.0, shelf="new")),
        ):
            assert breaches(connection, one) == broken, one

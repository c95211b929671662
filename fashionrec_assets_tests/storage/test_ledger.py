from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fashionrec_assets.settings import Settings, StorageSettings
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import LEDGER, WHOLE, Stage
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.warehouse import Warehouse, replace_rows

ITEMS = Table(
    "items",
    "items",
    (Column("item_id", "VARCHAR", ""), Column("title", "VARCHAR", ""), Column("price", "DOUBLE", "")),
    ("item_id",),
)
CLEAN = Stage("clean", "item", "1", rows="SELECT * FROM items", reads=("title",), settings=("seed",))
EMBED = Stage("embed", "item", "1", rows="SELECT * FROM items", upstream=("clean",))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb", StorageSettings(), [ITEMS, LEDGER])


def put_items(warehouse: Warehouse, **titles: str) -> None:
    rows = pa.table({"item_id": list(titles), "title": list(titles.values()), "price": [1.0] * len(titles)})
    with warehouse.writer() as connection:
        replace_rows(connection, ITEMS, rows)


def plan(warehouse: Warehouse, stage: Stage, code: str = "code", **options: object) -> ledger.Plan:
    with warehouse.reader() as connection:
        return ledger.plan_rows(connection, stage, code, **options)  # type: ignore[arg-type]


def finish(warehouse: Warehouse, made: ledger.Plan, output: str = "out") -> None:
    with warehouse.writer() as connection:
        ledger.record(connection, made, {key: f"{output}-{key}" for key in made.todo})
        ledger.forget(connection, made.stage, made.orphaned)


def test_first_plan_is_all_new_and_the_second_reuses_everything(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    first = plan(warehouse, CLEAN)
    assert first.counts.as_dict() == {"new": 2, "stale": 0, "orphaned": 0, "reused": 0}
    finish(warehouse, first)
    assert plan(warehouse, CLEAN).counts.as_dict() == {"new": 0, "stale": 0, "orphaned": 0, "reused": 2}


def test_only_the_fields_that_are_read_make_a_row_stale(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    with warehouse.writer() as connection:
        connection.execute("UPDATE items SET price = 99")
    assert not plan(warehouse, CLEAN).todo
    put_items(warehouse, a="x", b="changed")
    assert list(plan(warehouse, CLEAN).todo) == ["b"]


def test_deleted_rows_are_orphaned_and_then_forgotten(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    put_items(warehouse, a="x")
    found = plan(warehouse, CLEAN)
    assert found.orphaned == ("b",)
    finish(warehouse, found)
    assert plan(warehouse, CLEAN).counts.as_dict() == {"new": 0, "stale": 0, "orphaned": 0, "reused": 1}


def test_an_output_that_nobody_knows_of_is_orphaned(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    found = plan(warehouse, CLEAN, present={"a", "b", "left by a killed run"})
    assert found.orphaned == ("left by a killed run",) and not found.todo
    assert found.counts.as_dict() == {"new": 0, "stale": 0, "orphaned": 1, "reused": 2}


def test_inputs_that_go_back_after_a_kill_are_not_taken_for_what_was_written(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    put_items(warehouse, a="changed", b="y")
    started = plan(warehouse, CLEAN)
    with warehouse.writer() as connection:
        ledger.begin(connection, started)
    # Killed here, with the file of "changed" in place.
    put_items(warehouse, a="x", b="y")
    again = plan(warehouse, CLEAN)
    assert list(again.todo) == ["a"] and again.previous == {"a": "out-a"}


def test_an_unchanged_output_wakes_nothing_downstream(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    finish(warehouse, plan(warehouse, EMBED))
    put_items(warehouse, a="x!", b="y!")
    again = plan(warehouse, CLEAN)
    assert set(again.todo) == {"a", "b"}
    with warehouse.writer() as connection:
        ledger.record(connection, again, {"a": "out-a", "b": "different"})
    assert list(plan(warehouse, EMBED).todo) == ["b"]


def test_code_settings_force_and_lost_files_make_rows_stale(warehouse: Warehouse) -> None:
    put_items(warehouse, a="x", b="y")
    finish(warehouse, plan(warehouse, CLEAN))
    assert plan(warehouse, CLEAN, "other code").counts.stale == 2
    assert plan(warehouse, CLEAN, force=True).counts.stale == 2
    assert list(plan(warehouse, CLEAN, present={"a"}).todo) == ["b"]
    one, two = Settings.load(seed=1), Settings.load(seed=2)
    assert CLEAN.code_fp(one) != CLEAN.code_fp(two)
    assert EMBED.code_fp(one) == EMBED.code_fp(two)
    assert EMBED.code_fp(one, model="a") != EMBED.code_fp(one, model="b")


def test_fingerprints_tell_null_from_empty(warehouse: Warehouse) -> None:
    with warehouse.reader() as connection:
        rows = "SELECT 'a' AS item_id, {} AS title"
        texts = ("''", "NULL", "'null'", "'{}'")
        found = {connection.execute(CLEAN.inputs_sql(rows.format(text))).fetchall()[0][1] for text in texts}
    assert len(found) == len(texts)


def test_a_whole_artifact_is_stale_when_its_files_are_gone(warehouse: Warehouse) -> None:
    stage = Stage("index", "index", "1")

    def whole(inputs: object, *, exists: bool = True) -> ledger.Plan:
        with warehouse.reader() as connection:
            return ledger.plan_whole(connection, stage, "code", inputs, exists=exists)

    first = whole({"vectors": 1})
    with warehouse.writer() as connection:
        ledger.record(connection, first, {WHOLE: "v1"})
    assert whole({"vectors": 1}).counts.reused == 1
    assert whole({"vectors": 2}).counts.stale == 1
    assert whole({"vectors": 1}, exists=False).counts.stale == 1


def test_a_model_is_retrained_only_past_its_tolerance(warehouse: Warehouse) -> None:
    stage = Stage("model", "model", "1")
    rows = {f"i{number}": "fp" for number in range(100)}

    def model(now: dict[str, str], **options: object) -> ledger.ModelPlan:
        with warehouse.reader() as connection:
            return ledger.plan_model(connection, stage, "code", now, tolerance=0.02, exists=True, **options)  # type: ignore[arg-type]

    first = model(rows)
    assert first.plan.counts.new == 1
    with warehouse.writer() as connection:
        ledger.record_model(connection, first, "v1")
    few = {**rows, "i0": "changed"}
    del few["i1"]
    planned = model(few)
    assert not planned.plan.todo
    assert planned.gone == ("i1",)
    assert planned.share == pytest.approx(0.02)
    assert model({**few, "i2": "changed"}).plan.counts.stale == 1
    with warehouse.writer() as connection:
        ledger.forget_training_rows(connection, planned, "v1.pruned")
        assert ledger.output_of(connection, "model") == "v1.pruned"
    assert model(few).gone == ()


def test_what_is_read_of_all_stages_at_once_is_what_each_says(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w.duckdb", StorageSettings(), [ITEMS, LEDGER])
    rows = {"few": ("a", "b"), "many": ("a", "b", "c"), "whole": (ledger.WHOLE,)}
    with warehouse.writer() as connection:
        for stage, keys in rows.items():
            for key in keys:
                connection.execute("INSERT INTO ledger VALUES (?, ?, 'i', 'c', ?)", [stage, key, f"{stage} {key}"])
        assert dict(ledger.whole_outputs(connection)) == {"whole": ledger.output_of(connection, "whole")}
        small = dict(ledger.small_digests(connection, at_most=2))
        assert small == {stage: ledger.stage_digest(connection, stage) for stage in ("few", "whole")}


def test_the_data_version_does_not_depend_on_the_order_of_work(tmp_path: Path) -> None:
    digests = []
    for number, order in enumerate((("a", "b"), ("b", "a"))):
        warehouse = Warehouse(tmp_path / f"{number}.duckdb", StorageSettings(), [ITEMS, LEDGER])
        put_items(warehouse, a="x", b="y")
        made = plan(warehouse, CLEAN)
        for key in order:
            with warehouse.writer() as connection:
                ledger.record(connection, made, {key: f"out-{key}"})
        with warehouse.reader() as connection:
            digests.append(ledger.stage_digest(connection, "clean"))
    assert digests[0] == digests[1]

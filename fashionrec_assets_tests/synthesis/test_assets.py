"""The assets and checks of the room, on a shop whose upstream is written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.definitions import open_shop
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER, WHOLE
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vector_rows
from fashionrec_assets.storage.warehouse import insert_rows, replace_rows, upsert_rows
from fashionrec_assets.synthesis import assets, checks
from fashionrec_assets.synthesis.reading import (
    SWEEP,
    Augmentation,
    SynthesisInputs,
    chosen_augmentation,
    item_content,
    synthetic_rows,
)
from fashionrec_assets.synthesis.tables import VAE_SYNTHETIC_SAMPLES
from fashionrec_assets_tests.synthesis.conftest import START, World

DAY = 86_400
CUT = START // DAY * DAY + 2 * DAY
LATE_USER = "u090"
SYNTHESIS = {"content_dim": 6, "latent": 6, "hidden": 32, "least_steps": 200, "learning_rate": 5e-3}
SAMPLES = "vae_synthetic_samples"


def filled(table: Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """`columns` with whatever else the table must have: nulls, or any value that is allowed."""
    n = len(next(iter(columns.values())))
    types = {"VARCHAR": pa.string(), "BIGINT": pa.int64(), "INTEGER": pa.int32(), "DOUBLE": pa.float64()}
    types |= {"BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us")}
    anything = {"VARCHAR": "", "BIGINT": 0, "INTEGER": 0, "DOUBLE": 0.0, "BOOLEAN": False}
    made = {}
    for column in table.columns:
        value = None if column.nullable else column.values[0] if column.values else anything.get(column.type)
        made[column.name] = pa.array(list(columns.get(column.name, [value] * n)), types[column.type])
    return pa.table(made)


def made_of(shop: Shop, stage: str, version: str, key: str = WHOLE) -> None:
    entry = {"stage": [stage], "key": [key], "input_fp": [""], "code_fp": [""], "output_fp": [version]}
    with shop.warehouse.writer() as connection:
        upsert_rows(connection, LEDGER, pa.table(entry))


def at(seconds: Sequence[int]) -> list[Any]:
    return np.asarray(seconds, "datetime64[s]").astype("datetime64[us]").tolist()


@pytest.fixture(scope="module")
def home(tastes: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted world before the cut, and after it: an event of a user and of an item that had none."""
    folder = tmp_path_factory.mktemp("synthesis") / "home"
    shop = open_shop(Settings.load(home=folder, storage={"buckets": 2, "threads": 1}))
    tables, log = {table.name: table for table in TABLES}, tastes.log
    users, items = log.user_ids.tolist(), log.item_ids.tolist()
    launched = at([CUT + 60 if n in tastes.future else START - DAY for n in range(len(items))])
    events = {
        "user_id": [*log.user_ids[log.users].tolist(), LATE_USER],
        "item_id": [*log.item_ids[log.items].tolist(), items[int(tastes.future[0])]],
        "behaviour": ["pv"] * (len(log) + 1),
        "ts": at([*log.times.tolist(), CUT + 100]),
    }
    rows = {
        "items": filled(
            tables["items"],
            {
                "item_id": items,
                "title": [f"item {name}" for name in items],
                "product_type": tastes.content.types.tolist(),
                "colour": tastes.content.colours.tolist(),
                "launched_at": launched,
            },
        ),
        "users": filled(tables["users"], {"user_id": users}),
        "interactions": filled(tables["interactions"], events),
        "splits": filled(
            tables["splits"],
            {
                "name": ["fit", "validation", "test"],
                "starts_at": at([CUT - 3 * DAY, CUT - DAY, CUT]),
                "ends_at": at([CUT - DAY, CUT, CUT + DAY]),
            },
        ),
    }
    with shop.warehouse.writer() as connection:
        for name in ("items", "users", "splits"):
            insert_rows(connection, tables[name], rows[name])
    for name in ("items", "users", "interactions"):
        with shop.artifacts.write(f"{name}_file", "v1") as written:
            pq.write_table(rows[name], written / f"{name}.parquet")
        made_of(shop, f"{name}_file", "v1")
    half = tastes.content.values.shape[1] // 2
    for store, values in (
        (TEXT_STORE, tastes.content.values[:, :half]),
        (IMAGE_STORE, tastes.content.values[:, half:]),
    ):
        shop.store(store, VECTOR_COLUMNS).put(vector_rows(items, values))
    for model in ("text_model", "clip_model"):
        made_of(shop, model, "m1")
    with shop.artifacts.write(SWEEP, "s1") as written:
        chosen = {"degree": 0.25, "temperature": 0.8, "weight": 0.3, "pays": False}
        (written / "chosen.json").write_text(json.dumps(chosen))
    made_of(shop, SWEEP, "s1")
    return folder


def opened(home: Path, **synthesis: object) -> Shop:
    settings = Settings.load(home=home, storage={"buckets": 2, "threads": 1}, synthesis={**SYNTHESIS, **synthesis})
    return open_shop(settings)


def materialized(shop: Shop) -> dg.ExecuteInProcessResult:
    return dg.materialize([assets.vae_model, assets.vae_synthetic_samples], resources={"shop": shop})


@pytest.fixture(scope="module")
def first(home: Path) -> dg.ExecuteInProcessResult:
    return materialized(opened(home))


@pytest.fixture(scope="module")
def sound(home: Path, first: dg.ExecuteInProcessResult) -> pa.Table:
    """The rows as they were made."""
    assert first.success
    with opened(home).warehouse.reader() as connection:
        return connection.sql(f"SELECT * FROM {SAMPLES} ORDER BY sample").to_arrow_table()


def counts(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    found = result.asset_materializations_for_node(name)[0].metadata
    return {key: found[key].value for key in ("new", "stale", "reused")}


def failed(shop: Shop) -> dict[str, str]:
    """name -> description of the checks that do not pass."""
    job = dg.Definitions(asset_checks=checks.CHECKS, resources={"shop": shop}).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(raise_on_error=False)
    found = result.get_asset_check_evaluations()
    assert len(found) == len(checks.CHECKS)
    return {one.check_name: one.description or "" for one in found if not one.passed}


def test_content_is_what_could_be_known_before_the_cut(home: Path, tastes: World) -> None:
    inputs = SynthesisInputs.of(opened(home))
    assert np.array_equal(inputs.content.available, tastes.content.available)
    assert np.array_equal(inputs.content.values, tastes.content.values)
    assert np.array_equal(inputs.content.types, tastes.content.types)
    assert len(inputs.log) == len(tastes.log) and LATE_USER not in inputs.log.user_ids[inputs.rows.users]
    assert item_content(opened(home), inputs.log, CUT + 10 * DAY).available.all()
    assert not item_content(opened(home), inputs.log.between(None, 0), START - 10 * DAY).available.any()
    # Whatever the catalog says of its launch, what was bought could be.
    bought = EventLog.build(
        tastes.log.user_ids.tolist(), tastes.log.item_ids.tolist(), [0], [int(tastes.future[2])], [CUT - 1], [3]
    )
    assert item_content(opened(home), bought, CUT).available[tastes.future].tolist() == [False, False, True, False]


def test_settings_win_over_what_the_sweep_chose(home: Path, tmp_path: Path) -> None:
    assert chosen_augmentation(opened(home)) == Augmentation(0.25, 0.8, 0.3, False)
    assert chosen_augmentation(opened(home, degree=2.0, weight=1.0)) == Augmentation(2.0, 0.8, 1.0, True)
    assert chosen_augmentation(opened(home, weight=1.0)) == Augmentation(0.25, 0.8, 1.0, False)
    assert chosen_augmentation(opened(home, degree=0.0)) == Augmentation(0.0, 0.8, 0.3, False)
    with pytest.raises(LookupError, match="augmentation_sweep has not been made"):
        chosen_augmentation(opened(tmp_path, degree=1.0))
    said = opened(tmp_path, degree=1.0, temperature=1.5, weight=0.5)
    assert chosen_augmentation(said) == Augmentation(1.0, 1.5, 0.5, True)


def test_the_assets_make_a_model_and_rows_that_pass_every_check(
    home: Path, first: dg.ExecuteInProcessResult, sound: pa.Table
) -> None:
    assert first.success
    shop = opened(home)
    assert counts(first, "vae_model")["new"] == counts(first, SAMPLES)["new"] == 1
    shown = first.asset_materializations_for_node(SAMPLES)[0].metadata
    assert shown["pays"].value is False
    assert len(shown["examples"].value.records) == assets.EXAMPLES
    inputs = SynthesisInputs.of(shop)
    made = synthetic_rows(shop, inputs.log, inputs.rows)
    assert len(made) == round(0.25 * len(inputs.rows))
    assert np.array_equal(made.users, inputs.rows.users[made.sources])
    assert (synthetic_rows(shop, inputs.log).sources == -1).all()
    with shop.warehouse.reader() as connection:
        told = connection.execute(
            f"SELECT source_item_id, source_label, epoch(source_ts), temperature FROM {SAMPLES} ORDER BY sample"
        ).fetchall()
    wanted = inputs.rows.take(made.sources)
    assert [row[0] for row in told] == inputs.log.item_ids[wanted.items].tolist()
    assert [row[1] for row in told] == wanted.labels.tolist()
    assert [row[2] for row in told] == wanted.times.tolist()
    assert {row[3] for row in told} == {0.8}
    assert failed(shop) == {}


def test_nothing_is_made_again_until_something_changes(home: Path, first: dg.ExecuteInProcessResult) -> None:
    assert first.success
    again = materialized(opened(home))
    assert counts(again, "vae_model")["reused"] == counts(again, SAMPLES)["reused"] == 1
    more = materialized(opened(home, degree=0.5))
    assert (counts(more, "vae_model")["reused"], counts(more, SAMPLES)["stale"]) == (1, 1)
    other = materialized(opened(home, latent=5))
    assert counts(other, "vae_model")["stale"] == counts(other, SAMPLES)["stale"] == 1


def test_single_rows_that_should_not_be_are_found(
    home: Path, first: dg.ExecuteInProcessResult, tastes: World, sound: pa.Table
) -> None:
    assert first.success
    shop, log = opened(home), tastes.log
    broken = (
        f"item_id = 'i{tastes.future[1]:03}'",
        f"user_id = '{LATE_USER}'",
        "source_ts = TIMESTAMP '2100-01-01'",
        "item_id = source_item_id",
        f"user_id = '{log.user_ids[log.users[0]]}', item_id = '{log.item_ids[log.items[0]]}'",
        "generator = NULL",
    )
    with shop.warehouse.writer() as connection:
        replace_rows(connection, VAE_SYNTHETIC_SAMPLES, sound)
        negatives = connection.execute(f"SELECT sample FROM {SAMPLES} WHERE source_label = 0 ORDER BY 1").fetchall()
        connection.execute(f"ALTER TABLE {SAMPLES} ALTER generator DROP NOT NULL")
        for (number,), change in zip(negatives, broken, strict=False):
            connection.execute(f"UPDATE {SAMPLES} SET {change} WHERE sample = {number}")
    found = failed(shop)
    future = found["no_synthetic_row_is_of_the_future"]
    assert future == "1 rows about items launched later, 1 about users without an event before, 1 with a later source"
    copies = f"{len(sound)} synthetic rows, 1 of them pairs of the log, 1 with their source's item"
    assert found["no_synthetic_row_is_a_copy"] == copies
    assert found[f"{SAMPLES}_keeps_its_contract"] == "generator is there: 1 rows"
    assert len(found) == 3


def test_no_rows_where_none_are_asked_for(home: Path, sound: pa.Table, tastes: World) -> None:
    assert len(sound)
    shop = opened(home, degree=0.0)
    assert materialized(shop).success
    assert len(synthetic_rows(shop, tastes.log)) == 0
    assert failed(shop) == {}


def test_rows_about_what_is_gone_are_refused(home: Path, sound: pa.Table, tastes: World) -> None:
    shop = opened(home)
    with shop.warehouse.writer() as connection:
        replace_rows(connection, VAE_SYNTHETIC_SAMPLES, sound)
        connection.execute(f"UPDATE {SAMPLES} SET item_id = 'unheard of' WHERE sample = 3")
    with pytest.raises(LookupError, match=r"1 synthetic rows .* unheard of.*: materialize vae_synthetic_samples again"):
        synthetic_rows(shop, tastes.log)


def test_too_many_rows_and_one_sided_labels_are_found(home: Path, sound: pa.Table) -> None:
    shop = opened(home)
    with shop.warehouse.writer() as connection:
        replace_rows(connection, VAE_SYNTHETIC_SAMPLES, sound)
        connection.execute(
            "INSERT INTO vae_synthetic_samples SELECT * REPLACE (sample + 100000 AS sample) FROM vae_synthetic_samples"
        )
        connection.execute("UPDATE vae_synthetic_samples SET label = 1, item_id = 'i000'")
    found = failed(shop)
    assert "0.25 asked for" in found["synthetic_rows_keep_to_the_degree"]
    assert "mean label 1.000" in found["pseudo_labels_are_balanced"]
    assert "area under the ROC curve" in found["synthetic_rows_are_not_told_from_real_ones"]


def test_a_collapsed_model_is_told(home: Path, sound: pa.Table) -> None:
    shop = opened(home, kl_weight=50.0)
    with shop.warehouse.writer() as connection:
        replace_rows(connection, VAE_SYNTHETIC_SAMPLES, sound)
    assert dg.materialize([assets.vae_model], resources={"shop": shop}).success
    assert "Lower kl_weight" in failed(shop)["posterior_has_not_collapsed"]

"""What every `assets.py` and `checks.py` says the same way, said once.

Belongs here: turning stages, tables and counts into Dagster arguments, metadata and check results. Does not belong
here: any asset or check of one room.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from fashionrec_assets.resources.markdown import inert
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.parquet import version_in
from fashionrec_assets.storage.tables import Table, contract_rules, literal, quote
from fashionrec_assets.storage.warehouse import one_row

OWNERS = ["team:recommendations"]
TRAINING_TAG = "fashionrec/training"
"""Of steps that train a model: the multiprocess executor has one at work at a time, as each fills cores and memory."""

ShopParam = dg.ResourceParam[Shop]


def asset_spec(
    stage: Stage,
    *,
    group: str,
    deps: Sequence[Any],
    kinds: set[str],
    tables: Sequence[Table] = (),
) -> dict[str, Any]:
    """Keyword arguments of `@dg.asset` that follow from the declarations of the stage and its tables.

    The first of `tables` gives the column schema shown in the UI; the others are named in the metadata.
    """
    metadata: dict[str, Any] = {"reads": ", ".join((*stage.reads, *stage.upstream)) or "-"}
    if tables:
        metadata["dagster/column_schema"] = column_schema(tables[0])
        metadata["dagster/table_name"] = tables[0].name
    if len(tables) > 1:
        metadata["further_tables"] = ", ".join(table.name for table in tables[1:])
    return {
        "name": stage.name,
        "group_name": group,
        "deps": list(deps),
        "kinds": kinds,
        "owners": OWNERS,
        "code_version": stage.version,
        "metadata": metadata,
        "op_tags": {TRAINING_TAG: "true"} if stage.unit == "model" else {},
    }


def column_schema(table: Table) -> dg.TableSchema:
    """The declaration of a table as Dagster's column schema."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=column.type,
                description=column.meaning,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
            )
            for column in table.columns
        ]
    )


def materialized(run: StageRun, *, rows: int | None = None, **metadata: Any) -> dg.MaterializeResult:
    """The result of an asset: counts, time and the stage's data version, and whatever else it has to show."""
    shown: dict[str, Any] = {"unit": run.stage.unit, **run.counts.as_dict(), "seconds": round(run.seconds_so_far(), 3)}
    if rows is not None:
        shown["dagster/row_count"] = rows
    shown.update({name: value for name, value in metadata.items() if value is not None})
    return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(run.data_version()))


def exported(run: StageRun, *tables: Table, version: str | None = None) -> dict[str, dg.MetadataValue]:
    """Parquet files of `tables`, where each lies, as metadata.

    One is written if it is not the `version` of the tables (None: the stage's, and whenever the stage did anything):
    another one, missing, cut short, or left behind by a run that was killed before it came to the file.
    """
    shop, counts = run.shop, run.counts
    worked = version is None and bool(counts.work or counts.orphaned)
    wanted = run.data_version() if version is None else version
    paths = {table.name: shop.exports / f"{table.name}.parquet" for table in tables}
    for table in tables:
        if worked or version_in(paths[table.name]) != wanted:
            shop.export(table, wanted)
    return {f"export_{name}": dg.MetadataValue.path(str(path)) for name, path in paths.items()}


def table_of(records: Sequence[Mapping[str, Any]]) -> dg.MetadataValue | None:
    """Rows as a table in the UI; None if there are none."""
    if not records:
        return None
    rows = [dg.TableRecord({name: _plain(value) for name, value in record.items()}) for record in records]
    columns = [
        dg.TableColumn(
            name, type=_type_name(next((row.data[name] for row in rows if row.data[name] is not None), None))
        )
        for name in rows[0].data
    ]
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=columns))


def picture(data: bytes, alt: str) -> dg.MetadataValue:
    """A PNG or JPEG shown in the UI."""
    kind = "jpeg" if data.startswith(b"\xff\xd8") else "png"
    return dg.MetadataValue.md(f"![{inert(alt)}](data:image/{kind};base64,{base64.b64encode(data).decode('ascii')})")


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float) and not math.isfinite(value):
        # The UI cannot read a row with a number that JSON does not have.
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _type_name(value: Any) -> str:
    return {bool: "bool", int: "int", float: "float"}.get(type(value), "string")


def error(passed: bool, description: str, **metadata: Any) -> dg.AssetCheckResult:
    """The result of a check that must hold."""
    return _result(passed, dg.AssetCheckSeverity.ERROR, description, metadata)


def warn(passed: bool, description: str, **metadata: Any) -> dg.AssetCheckResult:
    """The result of a check whose failure someone should look at."""
    return _result(passed, dg.AssetCheckSeverity.WARN, description, metadata)


def _result(
    passed: bool, severity: dg.AssetCheckSeverity, description: str, metadata: Mapping[str, Any]
) -> dg.AssetCheckResult:
    kept = {name: value for name, value in metadata.items() if value is not None}
    return dg.AssetCheckResult(passed=bool(passed), severity=severity, description=description, metadata=kept)


def table_checks(
    table: Table, asset: str, parquet: Callable[[Shop], Path] | None = None
) -> list[dg.AssetChecksDefinition]:
    """The blocking checks that a table's declaration promises: keys, required values, value sets, foreign keys.

    `parquet` says where a table lies that is a Parquet artifact.
    """

    @dg.asset_check(
        asset=asset,
        name=f"{table.name}_keeps_its_contract",
        blocking=True,
        description=f"Keys, required values, allowed values and foreign keys of `{table.name}` hold.",
    )
    def check(shop: ShopParam) -> dg.AssetCheckResult:
        relation = quote(table.name) if parquet is None else f"read_parquet({literal(str(parquet(shop)))})"
        with shop.warehouse.reader() as connection:
            broken = {rule: int(one_row(connection, sql)[0]) for rule, sql in contract_rules(table, relation).items()}
        failed = {rule: count for rule, count in broken.items() if count}
        return error(
            not failed,
            "every rule holds" if not failed else "; ".join(f"{rule}: {count} rows" for rule, count in failed.items()),
            rules=table_of([{"rule": rule, "rows that break it": count} for rule, count in broken.items()]),
        )

    return [check]


def ledger_matches_files(stage: Stage, asset: str, store_of: Callable[[Shop], BucketStore]) -> dg.AssetChecksDefinition:
    """The blocking check that a stage's ledger rows and the rows of its files are the same keys."""

    @dg.asset_check(
        asset=asset,
        name=f"{stage.name}_ledger_matches_files",
        blocking=True,
        description="Every key of the ledger has its row in the files, and every row its key in the ledger.",
    )
    def check(shop: ShopParam) -> dg.AssetCheckResult:
        there = store_of(shop).keys()
        with shop.warehouse.reader() as connection:
            rows = connection.execute("SELECT key FROM ledger WHERE stage = ?", [stage.name]).fetchall()
        known = {row[0] for row in rows}
        lost, stray = sorted(known - there), sorted(there - known)
        said = f"{len(known)} keys, {len(lost)} without a row in the files, {len(stray)} rows unknown to the ledger"
        # A user's id must not get into the history of checks, which outlives an erasure.
        example = f" (e.g. {(lost + stray)[0]})" if lost + stray and stage.unit == "item" else ""
        remedy = "" if not lost and not stray else f"{example}; materialize {stage.name} again"
        return error(not lost and not stray, said + remedy, keys=len(known), lost=len(lost), stray=len(stray))

    return check

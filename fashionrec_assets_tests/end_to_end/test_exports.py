"""Tables that applications read, as Parquet files beside the warehouse."""

from __future__ import annotations

import duckdb
import pyarrow.parquet as pq
import pytest

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.storage.tables import quote
from fashionrec_assets_tests.end_to_end.place import Place

EXPORTED = (
    "homepage", "popular_items", "similar_items", "outfits", "complements", "styles", "item_styles", "user_styles",
    "style_picks", "explanations",
)  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_is_its_table_in_order(name: str, first_run: tuple[Place, RunResult]) -> None:
    place, result = first_run
    assert result.success, result.errors
    table = place.shop().warehouse.tables[name]
    written = pq.read_table(place.home / "exports" / f"{name}.parquet")
    assert written.column_names == list(table.column_names)
    with duckdb.connect(str(place.home / "warehouse.duckdb"), read_only=True) as connection:
        columns, order = (", ".join(map(quote, names)) for names in (table.column_names, table.key))
        rows = connection.execute(f"SELECT {columns} FROM {quote(name)} ORDER BY {order}").fetchall()
    assert [tuple(row.values()) for row in written.to_pylist()] == rows
    assert rows


def test_an_export_follows_its_table_and_comes_back_when_lost(place: Place) -> None:
    path = place.home / "exports" / "homepage.parquet"
    before = pq.read_table(path)
    path.unlink()
    assert place.run(select='key:"homepage"').success
    assert pq.read_table(path).equals(before)
    (place.raw / "rules.csv").write_text(
        f"rule,field,value\nout_of_stock,item_id,{before['item_id'][0].as_py()}\n", encoding="utf-8"
    )
    assert place.run(select='key:"business_rules" or key:"homepage"').success
    assert before["item_id"][0].as_py() not in pq.read_table(path)["item_id"].to_pylist()

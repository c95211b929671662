"""Finding a source by name, and a source of one's own in one class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from fashionrec_assets.catalog.sources import RawFile, RowsFile, Source, open_source, source_names
from fashionrec_assets_tests.catalog.shop import RawShop, by_key, jpeg, rows


class Boutique(Source):
    """An export with names of its own, tabs, and only sales."""

    name: ClassVar[str] = "boutique"

    def items(self) -> RowsFile:
        return RowsFile(
            self.find("products.tsv"),
            {"item_id": "sku", "title": ("label", "name"), "price": "eur"},
            required=("item_id", "title"),
            expressions={"image_ref": "'photos/' || item_id || '.jpg'"},
        )

    def events(self) -> RowsFile:
        return RowsFile(
            self.find("sales.tsv"),
            {"user_id": "card", "item_id": "sku", "ts": "at"},
            required=("user_id", "item_id", "ts"),
            expressions={"behaviour": "'buy'"},
        )


def test_names() -> None:
    assert {"taobao", "hm"} <= set(source_names())


@pytest.mark.parametrize(
    ("name", "message"),
    [("nope", "Known: .*taobao"), ("no.such:Thing", "cannot be imported"), ("pathlib:Path", "not a subclass")],
)
def test_a_wrong_name_says_what_is_right(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(name, tmp_path)


def test_a_source_of_ones_own(tmp_path: Path) -> None:
    shop = RawShop(tmp_path, f"{__name__}:Boutique")
    shop.write("products.tsv", "SKU\tName\tEUR\nx1\tCoat, long\t99\nx2\tHat\t\n")
    shop.write("sales.tsv", "at\tcard\tsku\n2024-03-04T10:00:00Z\tc9\tx1\n2024-03-04\tc9\tx3\n")
    shop.write("photos/x1.jpg", jpeg())
    items, log = shop.items(), shop.interactions()
    assert by_key(rows(items.table, "item_id, title, price, image_status")) == {
        "x1": ("Coat, long", 99.0, "ok"),
        "x2": ("Hat", None, "missing"),
    }
    assert rows(log.table, "user_id, item_id, behaviour") == [("c9", "x1", "buy")]
    assert log.reasons == {"sku: unknown item": 1}


def test_raw_files(shop: RawShop) -> None:
    shop.write_catalog(["1"])
    shop.write("UserBehavior.csv", "1,1,1,pv,1\n")
    shop.write("images/a.jpg", jpeg())
    assert shop.source.files() == [
        RawFile("items", shop.raw / "catalog.csv"),
        RawFile("events", shop.raw / "UserBehavior.csv"),
        RawFile("images", shop.raw / "images"),
    ]

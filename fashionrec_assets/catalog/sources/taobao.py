"""The native contract: a catalog, and a behaviour log in the columns of Taobao's UserBehavior data set.

Belongs here: file names and columns of that layout. Does not belong here: reading or checking rows.
"""

from __future__ import annotations

from typing import ClassVar, Final

from fashionrec_assets.catalog.sources.base import RowsFile, Source

CATALOG_FILES: Final = ("catalog.csv", "catalog.csv.gz", "catalog.parquet", "catalog.jsonl", "catalog.jsonl.gz")
LOG_FILES: Final = ("UserBehavior.csv", "UserBehavior.csv.gz", "UserBehavior.parquet")
USER_FILES: Final = ("users.csv", "users.csv.gz", "users.parquet", "users.jsonl", "users.jsonl.gz")


class Taobao(Source):
    """`catalog.*`, `UserBehavior.*` with five headerless columns or a header, optional `users.*`, photos by path."""

    name: ClassVar[str] = "taobao"

    def items(self) -> RowsFile:
        return RowsFile(
            self.find(*CATALOG_FILES),
            {
                "item_id": ("item_id", "id"),
                "title": "title",
                "description": "description",
                "category": "category",
                "product_type": "product_type",
                "family_id": "family_id",
                "brand": "brand",
                "colour": ("colour", "color"),
                "pattern": "pattern",
                "section": "section",
                "gender": "gender",
                "price": "price",
                "launched_at": "launched_at",
                "image_ref": ("image", "image_ref", "image_path"),
            },
            required=("item_id", "title"),
        )

    def events(self) -> RowsFile:
        return RowsFile(
            self.find(*LOG_FILES),
            {
                "user_id": ("user_id", "user"),
                "item_id": ("item_id", "item"),
                "behaviour": ("behaviour", "behavior", "behaviour_type", "behavior_type"),
                "ts": ("timestamp", "time", "ts"),
            },
            required=("user_id", "item_id", "behaviour", "ts"),
            positional=("user_id", "item_id", "category_id", "behaviour", "timestamp"),
        )

    def users(self) -> RowsFile | None:
        path = self.find_optional(*USER_FILES)
        if path is None:
            return None
        return RowsFile(
            path,
            {
                "user_id": ("user_id", "user"),
                "gender": "gender",
                "age": "age",
                "city": "city",
                "avatar_ref": ("avatar", "avatar_ref", "image"),
            },
            required=("user_id",),
        )

"""The layout of the Kaggle competition "H&M Personalized Fashion Recommendations".

Belongs here: file names and columns of that layout. Does not belong here: reading or checking rows.
"""

from __future__ import annotations

from typing import ClassVar

from fashionrec_assets.catalog.sources.base import RowsFile, Source


class HM(Source):
    """`articles.csv`, `transactions_train.csv`, optional `customers.csv` (each gzipped or not), photos in the folder
    `images/` or in `images.tar`. Every transaction is a purchase, known to the day."""

    name: ClassVar[str] = "hm"
    images_promised: ClassVar[bool] = False
    prices_in_log: ClassVar[bool] = True

    def items(self) -> RowsFile:
        return RowsFile(
            self.find("articles.csv", "articles.csv.gz"),
            {
                "item_id": "article_id",
                "title": "prod_name",
                "description": "detail_desc",
                "category": "product_group_name",
                "product_type": "product_type_name",
                "family_id": "product_code",
                "colour": "colour_group_name",
                "pattern": "graphical_appearance_name",
                "section": "section_name",
                "gender": "index_group_name",
            },
            required=("item_id", "title"),
            expressions={"image_ref": "'images/' || left(item_id, 3) || '/' || item_id || '.jpg'"},
        )

    def events(self) -> RowsFile:
        return RowsFile(
            self.find("transactions_train.csv", "transactions_train.csv.gz"),
            {"user_id": "customer_id", "item_id": "article_id", "ts": "t_dat", "price": "price"},
            required=("user_id", "item_id", "ts"),
            expressions={"behaviour": "'buy'"},
        )

    def users(self) -> RowsFile | None:
        path = self.find_optional("customers.csv", "customers.csv.gz")
        return None if path is None else RowsFile(path, {"user_id": "customer_id", "age": "age"}, ("user_id",))

    def split_days(self, span_days: int) -> tuple[int, int]:
        return (1, 2)

"""A grounder gets the words it reads: type and category, or the one for want of the other."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from fashionrec_assets.crops.grounding import Found, Photo, WholeImageGrounder, everything
from fashionrec_assets.crops.pipeline import ground_batch
from fashionrec_assets.settings import CropSettings

SETTINGS = CropSettings()
PHOTOS = [Image.new("RGB", (20, 30), (200, 30, 40)) for _ in range(3)]
TYPES = ["dress", None, None]
CATEGORIES = ["Ladieswear", "Shoes", None]


class TypeReader(WholeImageGrounder):
    heard: Sequence[object] = ()

    def find_batch(self, photos: Sequence[Photo], product_types: Sequence[str | None]) -> list[Found]:
        self.heard = list(product_types)
        return super().find_batch(photos, product_types)


class CategoryReader(TypeReader):
    def find_in_categories(
        self, photos: Sequence[Photo], product_types: Sequence[str | None], categories: Sequence[str | None]
    ) -> list[Found]:
        self.heard = list(zip(product_types, categories, strict=True))
        return [everything(photo, "a reason") for photo in photos]


def test_a_category_stands_in_for_a_type_that_is_not_known() -> None:
    grounder = TypeReader(SETTINGS)
    crops = ground_batch(PHOTOS, TYPES, grounder, SETTINGS, categories=CATEGORIES)
    assert grounder.heard == ["dress", "Shoes", None]
    assert [crop.location.method for crop in crops] == ["whole_image"] * 3
    ground_batch(PHOTOS, TYPES, grounder, SETTINGS)
    assert grounder.heard == TYPES


def test_a_grounder_that_reads_categories_gets_both() -> None:
    grounder = CategoryReader(SETTINGS)
    ground_batch(PHOTOS, TYPES, grounder, SETTINGS, categories=CATEGORIES)
    assert grounder.heard == [("dress", "Ladieswear"), (None, "Shoes"), (None, None)]
    assert ground_batch([], [], grounder, SETTINGS, categories=[]) == []

"""What the ranker reads of a shop, and what later rooms read of the ranker.

Belongs here: gathering inputs, and the names of the artifact's folders. Does not belong here: models, features.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.reading import event_log
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets.ranking.sources.tfidf import text_features
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.reading import item_features, user_profiles

WITHOUT_TOWER = "evaluation_without_tower"
"""The folder of the ranker that the report shows as late fusion alone, beside those named as the two-tower's are."""


def seed_folder(number: int) -> str:
    """The folder of the ranker trained like the evaluated one, but for its seed."""
    return f"evaluation_seed_{number}"


@dataclass(frozen=True)
class RankingInputs:
    """The whole log with features of its items and users; a cut of the log in time is taken for each moment."""

    settings: Settings
    log: EventLog
    features: ItemFeatures
    profiles: UserProfiles
    terms: sparse.csr_array

    @classmethod
    def of(cls, shop: Shop) -> RankingInputs:
        log = event_log(shop)
        return cls(
            shop.settings,
            log,
            item_features(shop, log.item_ids.tolist()),
            user_profiles(shop, log.user_ids.tolist()),
            text_features(item_texts(shop)),
        )

    def knowledge(self, as_of: int, tower: TwoTower | None, index: ItemIndex | None = None) -> Knowledge:
        """All that is known at `as_of` (UTC seconds); `index`, where there is one, holds the tower's item vectors."""
        return Knowledge.of(
            self.log.between(None, as_of),
            self.features,
            self.terms,
            as_of=as_of,
            tower=tower,
            index=self.settings.index,
            built=index,
            profiles=self.profiles,
            seed=self.settings.seed,
        )


def item_texts(shop: Shop) -> list[str]:
    """All descriptive fields of each item, in order of id: the raw ones, as a shop without us would have."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT concat_ws(' ', title, product_type, category, colour, pattern, section, brand, gender, "
            "description) FROM items ORDER BY item_id"
        ).fetchall()
    return [row[0] for row in rows]

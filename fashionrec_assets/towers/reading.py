"""What later rooms read of the towers.

Belongs here: names of stores, the features of items and users as the towers read them. Does not belong here: models.
"""

from __future__ import annotations

import numpy as np

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import ALWAYS
from fashionrec_assets.catalog.reading import users_file
from fashionrec_assets.catalog.sources import open_source
from fashionrec_assets.embeddings.reading import AVATAR_STORE, IMAGE_STORE, TEXT_STORE, vectors
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.tables import rows_digest
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS
from fashionrec_assets.storage.warehouse import scratch
from fashionrec_assets.towers.features import ItemFeatures, Modality, UserProfiles
from fashionrec_assets.towers.feedback import Feedback

CATEGORIES = ("product_type", "colour", "pattern", "section", "gender", "brand", "family_id")
"""The columns of `items` that the item tower embeds."""

PROFILE = ("gender", "age", "city")
"""The columns of `users` that the user tower embeds."""

VECTOR_STORE = "item_vectors"

SELECTION, EVALUATION, SERVED = "selection", "evaluation", "served"
"""Folders of the artifact `two_tower_model`: fitted before validation, before test, and on everything up to now."""


def item_features(shop: Shop, item_ids: list[str]) -> ItemFeatures:
    """What the item tower reads of `item_ids` (sorted).

    Prices only where the catalog has them: one taken from the log is known only once somebody has paid it.
    """
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(CATEGORIES)}, price, epoch(launched_at) FROM items "
            "WHERE item_id IN (SELECT unnest(?)) ORDER BY item_id",
            [item_ids],
        ).fetchall()
    prices = np.array([np.nan if row[-2] is None else row[-2] for row in rows], dtype=np.float64)
    text, image = vectors(shop, TEXT_STORE, item_ids), vectors(shop, IMAGE_STORE, item_ids)
    return ItemFeatures.build(
        item_ids,
        text=text.values,
        has_text=text.present,
        image=image.values,
        has_image=image.present,
        categories={name: [row[at] for row in rows] for at, name in enumerate(CATEGORIES)},
        price=None if open_source(shop.settings.source, shop.settings.raw).prices_in_log else prices,
        launched_at=np.array([ALWAYS if row[-1] is None else int(row[-1]) for row in rows], dtype=np.int64),
    )


def user_profiles(shop: Shop, user_ids: list[str]) -> UserProfiles:
    """What the user tower reads of `user_ids` (sorted) beside their events."""
    with scratch(shop.settings.storage, shop.spill) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(PROFILE)} FROM read_parquet(?) WHERE user_id IN (SELECT unnest(?)) ORDER BY user_id",
            [str(users_file(shop)), user_ids],
        ).fetchall()
    genders, ages, cities = ([row[at] for row in rows] for at in range(len(PROFILE)))
    return UserProfiles.build(gender=genders, age=ages, city=cities, avatar=_avatars(shop, user_ids))


def feedback(shop: Shop, log: EventLog, *, before: int) -> Feedback | None:
    """What the people of `log` said before `before` (UTC seconds) about explanations; None if nobody said anything."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT user_id, item_id, helpful FROM feedback WHERE ts < make_timestamp(CAST(? AS BIGINT)) "
            "AND user_id IN (SELECT unnest(?)) AND item_id IN (SELECT unnest(?)) ORDER BY user_id, item_id, ts",
            [before * 1_000_000, log.user_ids.tolist(), log.item_ids.tolist()],
        ).fetchall()
    if not rows:
        return None
    users, items, helpful = zip(*rows, strict=True)
    return Feedback(
        np.searchsorted(log.user_ids, np.array(users)).astype(np.int64),
        np.searchsorted(log.item_ids, np.array(items)).astype(np.int64),
        np.array(helpful, dtype=np.bool_),
    )


def feedback_rows(shop: Shop, *, before: int) -> dict[str, str]:
    """A fingerprint of what was said before `before` (UTC seconds) about explanations of each item."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT item_id, {rows_digest('user_id', 'helpful', 'epoch_us(ts)')} FROM feedback "
            "WHERE ts < make_timestamp(CAST(? AS BIGINT)) GROUP BY item_id",
            [before * 1_000_000],
        ).fetchall()
    return dict(rows)


def _avatars(shop: Shop, user_ids: list[str]) -> Modality | None:
    if not len(shop.store(AVATAR_STORE, VECTOR_COLUMNS).any_row()):
        return None
    found = vectors(shop, AVATAR_STORE, user_ids)
    return Modality(found.values, found.present) if found.present.any() else None

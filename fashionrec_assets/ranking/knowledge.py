"""What is known at one moment, from which candidates are drawn and their features computed.

Belongs here: everything that is fitted on a history and shared by all users: item-kNN at several levels, content,
popularity, the two-tower model's vectors and their index. Does not belong here: what is computed per user
(`candidates.py`, `features.py`), anything that is learned from later events (`training.py`).

Nothing here sees an event at or after `as_of`: `Knowledge.of` refuses a log that holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import ItemIndex
from fashionrec_assets.index.vectors import unit_rows
from fashionrec_assets.ranking.sources.interactions import interaction_matrix, weakest
from fashionrec_assets.ranking.sources.item_knn import ItemKnn, neighbours_for
from fashionrec_assets.ranking.sources.tfidf import TfIdf, recent_items
from fashionrec_assets.settings import IndexSettings
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.recommender import TwoTowerRecommender

DAY = 86_400
WINDOWS = (1, 2, 4)
"""Days before the moment over which recent popularity is counted."""

FEW_ITEMS = 4_096
"""Items up to which all pairs fit in memory without a thought: 64 MiB."""

HISTORY = 50
"""Distinct items of a user that content is compared with, the newest."""


@dataclass(frozen=True)
class Tower:
    """The two-tower model's part: `users` gives vectors float32 (m, d), `vectors` float32 (n_items, d) are the items',
    and `index` holds them."""

    users: TwoTowerRecommender
    index: ItemIndex

    @property
    def vectors(self) -> NDArray[np.float32]:
        return self.users.item_vectors


@dataclass(frozen=True)
class Group:
    """A level above the items, such as the product family: `codes` int64 (n_items,), item-kNN over the groups, and
    `people` float32 (groups,), how many touched each."""

    codes: NDArray[np.int64]
    knn: ItemKnn
    people: NDArray[np.float32]

    def of_people(self, log: EventLog, unit: float) -> Group:
        """The same groups and similarities with the histories of other people, over the same items."""
        return replace(self, knn=replace(self.knn, matrix=interaction_matrix(_grouped(log, self.codes), unit=unit)))


@dataclass(frozen=True)
class Knowledge:
    """All that is known at `as_of` (UTC seconds); rows are those of `log`.

    `matrix` float32 (n_users, n_items): who touched what, ones. `newest`: `matrix` of each user's last day alone.
    `people` float32 (n_items,): how many touched an item; `recent` (len(WINDOWS), n_items): events of the last days.
    `warm` bool (n_items,). `shelf_days` float32 (n_items,): days since launch, or since the first event; -1 unknown.
    `text`, `image`: unit rows or zeros. `categories`: name -> codes int64 (n_items,), 0 is unknown. `last_seen` int64
    (n_users,): the time of the last event. `profiles`: of the users, where there are any.
    """

    log: EventLog
    as_of: int
    matrix: sparse.csr_array
    newest: sparse.csr_array
    people: NDArray[np.float32]
    recent: NDArray[np.float32]
    warm: NDArray[np.bool_]
    shelf_days: NDArray[np.float32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    price: NDArray[np.float32]
    categories: dict[str, NDArray[np.int64]]
    last_seen: NDArray[np.int64]
    knn: ItemKnn
    cosine_knn: ItemKnn
    tfidf: TfIdf
    families: Group
    types: Group
    tower: Tower | None
    profiles: UserProfiles | None

    @classmethod
    def of(
        cls,
        log: EventLog,
        features: ItemFeatures,
        terms: sparse.csr_array,
        *,
        as_of: int,
        tower: TwoTower | None,
        index: IndexSettings,
        built: ItemIndex | None = None,
        profiles: UserProfiles | None = None,
        seed: int = 0,
    ) -> Knowledge:
        """Everything that `log`, which must end before `as_of`, says about items and users.

        `features` are those of `log.item_ids`, in that order; `terms` what `text_features` gave for them. Without
        `tower` there is no two-tower source and no feature of it; `built` is an index of its item vectors, else one is
        built with the settings `index`. Raises ValueError for a log that goes on after
        `as_of`, or features of other items.
        """
        if len(log) and int(log.times.max()) >= as_of:
            raise ValueError("the log holds events at or after as_of; cut it with log.between(None, as_of)")
        if not np.array_equal(features.item_ids, log.item_ids):
            raise ValueError("features must be those of the log's items, in the same order")
        n = log.n_items
        matrix, newest, last_seen = _histories(log)
        people = np.asarray(matrix.sum(axis=0), dtype=np.float32).ravel()
        recent = np.stack([_events(log.between(as_of - days * DAY, as_of), n) for days in WINDOWS])
        categories = {
            name: np.where(values == "", 0, 1 + np.unique(values, return_inverse=True)[1]).astype(np.int64)
            for name, values in features.categories.items()
        }
        neighbours = neighbours_for(n, None)
        return cls(
            log=log,
            as_of=as_of,
            matrix=matrix,
            newest=newest,
            people=people,
            recent=recent,
            warm=people > 0,
            shelf_days=_shelf_days(log, features, as_of),
            text=_units(features, "text"),
            image=_units(features, "image"),
            has_image=features.modalities["image"].present if "image" in features.modalities else np.zeros(n, bool),
            price=_log_price(features),
            categories=categories,
            last_seen=last_seen,
            knn=ItemKnn.fit(log, neighbours=neighbours),
            cosine_knn=ItemKnn.fit(log, exponent=0.5, shrink=3.0, neighbours=neighbours),
            tfidf=TfIdf.fit(log, terms, history=HISTORY),
            families=_group(log, categories.get("family_id"), exponent=0.2, shrink=10.0),
            types=_group(log, categories.get("product_type"), exponent=0.5, shrink=50.0),
            tower=None if tower is None else _tower(tower, log, features, as_of, profiles, built, index, seed),
            profiles=profiles,
        )

    @cached_property
    def item_columns(self) -> dict[str, NDArray[np.float32]]:
        """Features that speak of items alone, float32 (n_items,) each; the names are those of `features.py`."""
        family, sizes = self.families.codes, np.bincount(self.families.codes)
        columns: dict[str, NDArray[Any]] = {f"events_{days}d": self.recent[at] for at, days in enumerate(WINDOWS)}
        columns |= {
            "people": self.people,
            "trend": (self.recent[0] + 1) / (self.people / WINDOWS[-1] + 1),
            "family_people": np.bincount(family, weights=self.people)[family] - self.people,
            "family_events_1d": np.bincount(family, weights=self.recent[0])[family] - self.recent[0],
            "family_size": sizes[family],
            "shelf_days": self.shelf_days,
            "warm": self.warm,
            "has_image": self.has_image,
        }
        nothing = np.zeros(len(self.people), np.int64)
        types, sections = (self.categories.get(name, nothing) for name in ("product_type", "section"))
        columns["type_people"], columns["section_people"] = (
            _mean_by(types, self.people),
            _mean_by(sections, self.people),
        )
        columns["type_new_share"] = _mean_by(types, (~self.warm).astype(np.float32))
        return {name: np.asarray(values, np.float32) for name, values in columns.items()}

    @cached_property
    def section_shares(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The section of each item, int64 (n_items,), and its share of the people of that section."""
        codes = self.categories.get("section", np.zeros(len(self.people), np.int64))
        taken = np.bincount(codes, weights=self.people)
        return codes, self.people / np.maximum(taken[codes], 1)

    @cached_property
    def cold(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows of the items that nobody touched, int64 (c,), and their vectors in the tower's space, float32 (c, d);
        no vectors without a tower."""
        rows = np.flatnonzero(~self.warm)
        vectors = np.zeros((len(rows), 0), np.float32) if self.tower is None else self.tower.vectors[rows]
        return rows, vectors

    @cached_property
    def contents(self) -> NDArray[np.float32] | None:
        """float32 (n_items, n_items): cosines of the texts' terms, 0 of an item to itself; None for many items, of
        which only pairs that are asked for are computed."""
        if self.log.n_items > FEW_ITEMS:
            return None
        terms = self.tfidf.features
        cosines = sparse.csr_array(terms @ terms.T).toarray()
        np.fill_diagonal(cosines, 0)
        return cosines

    def of_people(self, log: EventLog, rows: NDArray[np.int64]) -> Knowledge:
        """What is known of items stays; the people are those of `log`, which is over the same items.

        `rows` int64 (log.n_users,): the user of this knowledge whose profile each of them has.
        """
        matrix, newest, last_seen = _histories(log)
        offsets, items = recent_items(log, HISTORY)
        # A few people may show none of the weakest behaviour; what they do show must not weigh less for it.
        unit = weakest(self.log)
        weighted = interaction_matrix(log, unit=unit)
        tower, profiles = self.tower, None if self.profiles is None else self.profiles.take(rows)
        if tower is not None:
            tower = replace(tower, users=tower.users.of_people(log, profiles))
        return replace(
            self,
            log=log,
            matrix=matrix,
            newest=newest,
            last_seen=last_seen,
            knn=replace(self.knn, matrix=weighted),
            cosine_knn=replace(self.cosine_knn, matrix=weighted),
            tfidf=replace(self.tfidf, offsets=offsets, items=items),
            families=self.families.of_people(log, unit),
            types=self.types.of_people(log, unit),
            tower=tower,
            profiles=profiles,
        )


def _mean_by(codes: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float64]:
    return (np.bincount(codes, weights=values) / np.maximum(np.bincount(codes), 1))[codes]


def _histories(log: EventLog) -> tuple[sparse.csr_array, sparse.csr_array, NDArray[np.int64]]:
    """Who touched what, the same of each user's last day, both ones, and when each user came last."""
    last_seen = np.full(log.n_users, np.iinfo(np.int64).min)
    np.maximum.at(last_seen, log.users, log.times)
    matrix = interaction_matrix(log)
    newest = interaction_matrix(log.select(log.times > last_seen[log.users] - DAY))
    matrix.data[:] = 1
    newest.data[:] = 1
    return matrix, newest, last_seen


def _tower(
    model: TwoTower,
    log: EventLog,
    features: ItemFeatures,
    as_of: int,
    profiles: UserProfiles | None,
    built: ItemIndex | None,
    index: IndexSettings,
    seed: int,
) -> Tower:
    recommender = TwoTowerRecommender(model, log, features, as_of=as_of, profiles=profiles)
    return Tower(recommender, built or build(log.item_ids, recommender.item_vectors, index, seed=seed))


def _events(log: EventLog, n: int) -> NDArray[np.float32]:
    return np.bincount(log.items, minlength=n).astype(np.float32)


def _units(features: ItemFeatures, name: str) -> NDArray[np.float32]:
    if name not in features.modalities:
        return np.zeros((len(features), 1), np.float32)
    return unit_rows(features.modalities[name].values)


def _log_price(features: ItemFeatures) -> NDArray[np.float32]:
    """NaN where a price is unknown or may not be read."""
    if features.price is None:
        return np.full(len(features), np.nan, np.float32)
    return np.where(features.price > 0, np.log(np.maximum(features.price, 1e-9)), np.nan).astype(np.float32)


def _shelf_days(log: EventLog, features: ItemFeatures, as_of: int) -> NDArray[np.float32]:
    first = np.full(log.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, log.items, log.times)
    since = np.where(first < as_of, first, -1)
    if features.launched_at is not None:
        since = np.where(features.launched_at > np.iinfo(np.int64).min, np.minimum(features.launched_at, as_of), since)
    return np.where(since < 0, -1, (as_of - since) / DAY).astype(np.float32)


def _group(log: EventLog, codes: NDArray[np.int64] | None, *, exponent: float, shrink: float) -> Group:
    if codes is None:
        codes = np.zeros(log.n_items, np.int64)
    # Items without a group are each their own, or the shop's whole unlabelled rest would look like one family.
    loose = np.flatnonzero(codes == 0)
    codes = codes.copy()
    codes[loose] = codes.max(initial=0) + 1 + np.arange(len(loose))
    codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    grouped = _grouped(log, codes)
    knn = ItemKnn.fit(grouped, exponent=exponent, shrink=shrink, neighbours=neighbours_for(grouped.n_items, None))
    touched = sparse.csr_array(knn.matrix > 0)
    return Group(codes, knn, np.asarray(touched.sum(axis=0), dtype=np.float32).ravel())


def _grouped(log: EventLog, codes: NDArray[np.int64]) -> EventLog:
    """The log with groups in the place of items: the item in row r has the group `codes[r]`."""
    width = len(str(log.n_items))
    names: Sequence[str] = [f"{code:0{width}d}" for code in range(int(codes.max(initial=-1)) + 1)]
    return replace(log, item_ids=np.asarray(names, np.str_), items=codes[log.items].astype(np.int32))

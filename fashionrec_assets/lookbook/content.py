"""Everything the lookbook shows, gathered.

Belongs here: one read of the shop, and the choice of items that get a page. Does not belong here: SQL (`reading.py`),
answers (`why_not.py`), layout (`pages.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.lookbook import reading
from fashionrec_assets.lookbook.reports import Report, read_reports
from fashionrec_assets.lookbook.rows import Item, Look, Shopper, Similar, Style
from fashionrec_assets.lookbook.why_not import Answer, Catalog, Question, unknown_shopper, why_not
from fashionrec_assets.recommendations.rules import RuleSet, item_columns
from fashionrec_assets.resources.shop import Shop

MAP_POINTS = 1_500
_COMPLEMENTS = 6


@dataclass(frozen=True)
class Content:
    """`answers`: user id -> what keeps items off their page. `paged`: the items that have a page of their own.
    `similar`, `complements`, `item_styles`: of those. `items`: of every item named anywhere."""

    day: datetime
    counts: Mapping[str, int]
    shoppers: Sequence[Shopper]
    answers: Mapping[str, Sequence[Answer]]
    looks: Sequence[Look]
    styles: Sequence[Style]
    points: Sequence[tuple[int, float, float]]
    items: Mapping[str, Item]
    paged: Sequence[str]
    similar: Mapping[str, Mapping[str, Sequence[Similar]]]
    complements: Mapping[str, Sequence[str]]
    item_styles: Mapping[str, int]
    reports: Sequence[Report]


def gather(shop: Shop, progress: Callable[[int, int], None]) -> Content:
    """The content of the lookbook of a shop whose products are made. Reports progress in shoppers."""
    settings = shop.settings.lookbook
    end = cuts(shop).end
    with shop.warehouse.reader() as connection:
        shoppers = reading.shoppers(connection, interactions_file(shop), settings)
        asked = {one.user_id: reading.asked_about(connection, one, settings.questions) for one in shoppers}
        popular = dict(connection.execute("SELECT item_id, rank FROM popular_items").fetchall())
        wanted = [item for one in shoppers for item in one.shown[:1]]
        looks = reading.looks(connection, settings.looks, wanted)
        styles, points = reading.styles(connection), reading.style_points(connection, MAP_POINTS)
        counts = reading.counts(connection)
    answers = _answers(shop, shoppers, asked, popular, end)
    progress(len(shoppers), len(shoppers))
    shown = list(dict.fromkeys(_shown(shoppers, looks, styles, answers)))
    with shop.warehouse.reader() as connection:
        similar = reading.similar(connection, shown, settings.neighbours)
        around = (one.item_id for item in shown for each in similar.get(item, {}).values() for one in each)
        paged = list(dict.fromkeys([*shown, *around]))[: settings.items]
        similar |= reading.similar(connection, paged, settings.neighbours)
        complements = reading.complements(connection, paged, _COMPLEMENTS)
        near = [one.item_id for item in paged for each in similar.get(item, {}).values() for one in each]
        named = [*shown, *paged, *near, *(one for each in complements.values() for one in each)]
        items, item_styles = reading.items(connection, named), reading.styles_of(connection, paged)
    return Content(
        datetime.fromtimestamp(end - 1, UTC),
        counts,
        shoppers,
        answers,
        looks,
        styles,
        points,
        items,
        paged,
        {item: similar.get(item, {}) for item in paged},
        complements,
        item_styles,
        read_reports(shop.reports),
    )


def _shown(
    shoppers: Sequence[Shopper],
    looks: Sequence[Look],
    styles: Sequence[Style],
    answers: Mapping[str, Sequence[Answer]],
) -> Iterator[str]:
    """Every item with a place of its own, page by page."""
    for shopper in shoppers:
        yield from shopper.shown
        yield from (pick.item_id for pick in shopper.picks)
    for look in looks:
        yield look.anchor_id
        yield from (piece.placed.item_id for piece in look.pieces)
    for style in styles:
        yield from style.examples
    for shopper in shoppers:
        yield from (answer.item_id for answer in answers.get(shopper.user_id, ()))
        yield from (one.item_id for one in shopper.history)


def _answers(
    shop: Shop,
    shoppers: Sequence[Shopper],
    asked: Mapping[str, Sequence[str]],
    popular: Mapping[str, int],
    end: int,
) -> dict[str, list[Answer]]:
    """User id -> an answer for each item asked about."""
    known = [one for one in shoppers if one.different and asked[one.user_id]]
    answers = {
        one.user_id: [unknown_shopper(item, popular.get(item), len(one.shown)) for item in asked[one.user_id]]
        for one in shoppers
        if not one.different
    }
    if not known:
        return answers
    fusion, names = _served(shop, end)
    log = fusion.known.log
    place = {item: row for row, item in enumerate(log.item_ids.tolist())}
    people = {user: row for row, user in enumerate(log.user_ids.tolist())}
    # Bots have no page and are not in the log either; a named one has nothing to be asked about.
    known = [one for one in known if one.user_id in people]

    def rows(ids: Iterable[str]) -> np.ndarray:
        return np.array([place[item] for item in ids if item in place], np.int64)

    questions = [
        Question(
            people[one.user_id],
            rows(placed.item_id for shelf in one.shelves[:1] for placed in shelf.items),
            rows(one.shown),
            rows(asked[one.user_id]),
        )
        for one in known
    ]
    with shop.warehouse.reader() as connection:
        rules, columns = RuleSet.read(connection).in_force(end), item_columns(connection)
        wanted = sorted({item for one in known for item in asked[one.user_id]})
        alike = reading.similar(connection, wanted, shop.settings.recommendations.similar_size)
    similar = {
        place[item]: [place[one.item_id] for one in by.get("both", ()) if one.item_id in place]
        for item, by in alike.items()
        if item in place
    }
    catalog = Catalog(names, columns, rules, similar)
    found = why_not(fusion, catalog, questions, shop.settings.recommendations)
    return answers | {one.user_id: each for one, each in zip(known, found, strict=True)}


def _served(shop: Shop, end: int):
    """The ranker as the homepage asks it, and what each item of its log is called."""
    from fashionrec_assets.index.item_index import ItemIndex
    from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
    from fashionrec_assets.ranking.ranker import Ranker
    from fashionrec_assets.ranking.reading import RankingInputs
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.reading import SERVED

    inputs = RankingInputs.of(shop)
    tower = TwoTower.load(shop.current("two_tower_model") / SERVED)
    known = inputs.knowledge(end, tower, ItemIndex.load(shop.current("faiss_index")))
    ranker = Ranker.load(shop.current("late_fusion_model") / SERVED)
    with shop.warehouse.reader() as connection:
        items = reading.items(connection, known.log.item_ids.tolist())
    names = [items[item].name for item in known.log.item_ids.tolist()]
    return LateFusionRecommender(ranker, known, shop.settings.ranking), names

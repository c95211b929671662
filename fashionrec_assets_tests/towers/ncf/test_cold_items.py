from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fashionrec_assets.synthesis.embedding_vae import neighbour_embeddings
from fashionrec_assets.towers.ncf.cold_items import FilledIds, Filling, fill_ids
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets.towers.ncf.recommender import LIFTS, chosen_lift, kept_back_recommender, pairs_of
from fashionrec_assets.towers.ncf.training import TrainedNcf, train_ncf
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.validation import ndcg_of
from fashionrec_assets_tests.towers.ncf.world import COLD, ITEMS, LATE, NEITHER, SETTINGS, SYNTHESIS, World

FILLINGS: tuple[Filling, ...] = ("unknown", "neighbours", "vae")


def filled(
    model: Ncf, shop: World, filling: Filling, *, as_if_new: NDArray[np.bool_] | None = None, seed: int = 1
) -> FilledIds:
    return fill_ids(model, shop.items, filling, SYNTHESIS, as_if_new=as_if_new, seed=seed)


def learned(model: Ncf, shop: World) -> NDArray[np.float32]:
    """(n_items, d + 1): embedding and own logit of each item, those of the unknown where it has none."""
    return model.module.item_ids.weight.detach().numpy()[model.id_rows(shop.log.item_ids).numpy()]


def mask(rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    return np.isin(np.arange(ITEMS), rows)


@pytest.mark.parametrize("filling", FILLINGS)
def test_learned_items_keep_what_they_learned(shop: World, trained: TrainedNcf, filling: Filling) -> None:
    model = trained.model
    found = filled(model, shop, filling)
    warm = np.isin(shop.log.item_ids, model.item_ids)
    assert warm.sum() > 50
    table = learned(model, shop)
    assert np.array_equal(found.embeddings[warm], table[warm, :-1])
    popularity = model.popularity @ model.module.popularity.detach().numpy()
    assert np.allclose(found.logits[warm], table[warm, -1] + popularity, atol=1e-6)
    assert np.array_equal(found.learned, warm)
    assert found.known[warm].all()


def test_unknown_items_are_all_one_and_fillings_tell_them_apart(shop: World, trained: TrainedNcf) -> None:
    none, neighbours, vae = (filled(trained.model, shop, filling) for filling in FILLINGS)
    nobody = learned(trained.model, shop)[COLD[0]]
    assert np.array_equal(none.embeddings[COLD], np.tile(nobody[:-1], (len(COLD), 1)))
    assert not none.known[COLD].any()
    for made in (neighbours, vae):
        assert made.known[COLD].all()
        assert not made.learned[COLD].any()
        assert np.ptp(made.embeddings[COLD], axis=0).max() > 1e-4
        assert np.isfinite(made.embeddings).all()
        assert np.isfinite(made.logits).all()
    assert not np.allclose(neighbours.embeddings[COLD], vae.embeddings[COLD], atol=1e-4)


def test_neighbours_are_those_of_content(shop: World, trained: TrainedNcf) -> None:
    """Their own logits say which new item is wanted more than another; how wanted new ones are was learned apart."""
    model = replace(trained.model, settings=SETTINGS.model_copy(update={"cold_neighbours": 3}))
    found = filled(model, shop, "neighbours")
    content = shop.items.content(("text", "image"))
    source, wanted = found.learned & content.present, ~found.learned & content.present
    of = np.concatenate([found.embeddings, found.logits[:, None]], axis=1)
    expected = neighbour_embeddings(of[source], content.values[source], content.values[wanted], 3)
    assert wanted[COLD].all()
    assert np.allclose(found.embeddings[wanted], expected[:, :-1], atol=1e-6)
    unknown = filled(model, shop, "unknown").logits[COLD[0]]
    assert np.allclose(found.logits[wanted], unknown + expected[:, -1] - found.logits[source].mean(), atol=1e-5)
    assert np.ptp(found.logits[wanted]) > 1e-4


@pytest.mark.parametrize("filling", ["neighbours", "vae"])
def test_an_item_without_content_stays_unknown(shop: World, trained: TrainedNcf, filling: Filling) -> None:
    new = mask(np.array([NEITHER, *LATE]))
    found = filled(trained.model, shop, filling, as_if_new=new)
    assert not found.known[NEITHER]
    assert np.array_equal(found.embeddings[NEITHER], learned(trained.model, shop)[COLD[0], :-1])
    assert found.known[LATE].all()


@pytest.mark.parametrize("filling", FILLINGS)
def test_what_is_treated_as_new_is_neither_used_nor_learned_from(
    shop: World, trained: TrainedNcf, filling: Filling
) -> None:
    new = mask(np.arange(5, 20))
    other = replace(trained.model, module=copy.deepcopy(trained.model.module))
    rows = other.id_rows(shop.log.item_ids[new])
    with torch.no_grad():
        other.module.item_ids.weight[rows] += torch.randn(len(rows), SETTINGS.dim + 1) * 3
    one, two = (filled(model, shop, filling, as_if_new=new) for model in (trained.model, other))
    assert np.array_equal(one.embeddings, two.embeddings)
    assert np.array_equal(one.logits, two.logits)
    assert not one.learned[new].any()
    assert one.known[new].tolist() == [filling != "unknown"] * int(new.sum())
    # Without being told, both would see the difference.
    assert not np.array_equal(filled(trained.model, shop, filling).embeddings, filled(other, shop, filling).embeddings)


def test_the_filling_is_by_seed(shop: World, trained: TrainedNcf) -> None:
    first, again, other = (filled(trained.model, shop, "vae", seed=seed).embeddings for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("filling", ["neighbours", "vae"])
def test_a_model_without_ids_has_nothing_to_fill(shop: World, filling: Filling) -> None:
    settings = SETTINGS.model_copy(update={"modalities": ("text", "image"), "epochs": 1})
    model = train_ncf(shop.kept, shop.items, shop.users, settings, seed=1).model
    found, none = filled(model, shop, filling), filled(model, shop, "unknown")
    assert np.array_equal(found.embeddings, none.embeddings)
    assert not found.known[COLD].any()


def by_lift(shop: World, trained: TrainedNcf) -> NDArray[np.float64]:
    """NDCG of the people kept back on what was not new to the shop, for each lift of what was."""
    model, task = trained.model, shop.kept.task
    recommender = kept_back_recommender(
        model,
        shop.kept,
        shop.items,
        shop.users,
        model.reducers(shop.items),
        PopularityHistory.of(shop.kept.training, SETTINGS.popularity_half_lives),
        filling="neighbours",
        settings=SYNTHESIS,
        as_if_new=~task.warm,
        seed=1,
    )
    pairs = pairs_of(task)
    warm = pairs[task.warm[pairs % ITEMS]]
    return np.array(
        [
            ndcg_of(lambda rows, lift=lift: recommender.score(rows) + lift * ~task.warm, task.history, warm, task.pool)[
                0
            ]
            for lift in LIFTS
        ]
    )


@pytest.mark.parametrize("price", [0.0, 0.05, 0.3, 0.99])
def test_new_items_are_lifted_as_far_as_the_price_allows(shop: World, trained: TrainedNcf, price: float) -> None:
    assert (~shop.kept.task.warm).sum() >= len(COLD)
    settings = SETTINGS.model_copy(update={"new_item_price": price, "cold_items": "neighbours"})
    model = replace(trained.model, settings=settings)
    found = chosen_lift(model, shop.kept, shop.items, shop.users, model.reducers(shop.items), SYNTHESIS, seed=1)
    figures = by_lift(shop, trained)
    floor = (1 - price) * figures[0]
    chosen = int(np.flatnonzero(found == LIFTS)[0])
    assert (figures[: chosen + 1] >= floor).all()
    assert chosen == len(LIFTS) - 1 or figures[chosen + 1] < floor


def test_more_is_lifted_at_a_higher_price(shop: World, trained: TrainedNcf) -> None:
    lifts = []
    for price in (0.0, 0.3, 0.99):
        model = replace(trained.model, settings=SETTINGS.model_copy(update={"new_item_price": price}))
        lifts.append(
            chosen_lift(model, shop.kept, shop.items, shop.users, model.reducers(shop.items), SYNTHESIS, seed=1)
        )
    assert lifts[0] < lifts[1] < lifts[2] == LIFTS[-1]

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.recommender import TwoTowerRecommender
from fashionrec_assets.towers.training import TrainingError, fit_two_tower, train_two_tower


def outputs(model: TwoTower, world) -> np.ndarray:
    return TwoTowerRecommender(model, world.past, world.features, as_of=world.cut).score(np.arange(world.users))


def test_training_is_bit_equal_by_seed(world) -> None:
    settings = world.settings.model_copy(update={"epochs": 2, "negatives": 20})
    first, again, other = (
        train_two_tower(world.past, world.features, settings, seed=seed, data_digest="d") for seed in (1, 1, 2)
    )
    assert np.array_equal(outputs(first.model, world), outputs(again.model, world))
    assert [c.loss for c in first.curve] == [c.loss for c in again.curve]
    assert not np.array_equal(outputs(first.model, world), outputs(other.model, world))


def test_the_loss_falls_and_the_rule_is_learned(world, trained) -> None:
    losses = [point.loss for point in trained.curve]
    assert losses[-1] < 0.75 * losses[0]
    past, future = world.past, world.future
    popularity = np.bincount(past.items, minlength=world.items).astype(np.float32)
    rank = (popularity > popularity[future.items][:, None]).sum(axis=1)
    by_popularity = np.where(rank < 5, 1 / np.log2(rank + 2), 0).mean()
    assert world.ndcg(trained.model) > 0.4 > 2.5 * by_popularity


def test_sampled_negatives_learn_the_rule_too(world) -> None:
    settings = world.settings.model_copy(update={"negatives": 16})
    model = train_two_tower(world.past, world.features, settings, seed=5, data_digest="d").model
    assert world.ndcg(model) > 0.4


def test_early_stopping_keeps_the_best_epoch_and_the_refit_runs_that_long(world) -> None:
    settings = world.settings.model_copy(update={"epochs": 9, "patience": 2})
    figures = iter([0.1, 0.3, 0.2, 0.25])
    kept: list[np.ndarray] = []

    def evaluate(model: TwoTower) -> float:
        kept.append(outputs(model, world))
        return next(figures)

    calls: list[tuple[int, int]] = []
    fitted = fit_two_tower(
        world.log.between(None, world.cut - 7200),
        world.past,
        world.features,
        settings,
        seed=1,
        data_digest="d",
        evaluate=evaluate,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert fitted.epochs == 2
    assert [point.ndcg for point in fitted.chosen.curve] == [0.1, 0.3, 0.2, 0.25]
    assert np.array_equal(outputs(fitted.chosen.model, world), kept[1])
    assert [point.epoch for point in fitted.final.curve] == [1, 2]
    assert fitted.model.model_id != fitted.chosen.model.model_id
    assert calls[-1] == (6, 6) and all(done <= total for done, total in calls)


def test_events_after_the_cut_never_reach_a_model(world) -> None:
    marker = world.cold
    future = EventLog.build(
        world.log.user_ids.tolist(),
        world.log.item_ids.tolist(),
        [*world.past.users.tolist(), *range(world.users)],
        [*world.past.items.tolist(), *([marker] * world.users)],
        [*world.past.times.tolist(), *([world.cut + 60] * world.users)],
        [*world.past.behaviours.tolist(), *([3] * world.users)],
    )
    settings = world.settings.model_copy(update={"epochs": 1})
    clean = train_two_tower(world.past, world.features, settings, seed=1, data_digest="d").model
    cut = train_two_tower(future.between(None, world.cut), world.features, settings, seed=1, data_digest="d").model
    uncut = train_two_tower(future, world.features, settings, seed=1, data_digest="d").model
    assert np.array_equal(outputs(clean, world), outputs(cut, world))
    assert marker not in np.flatnonzero(np.isin(world.log.item_ids, cut.item_ids))
    assert not np.array_equal(outputs(clean, world), outputs(uncut, world))


def test_a_loss_that_is_not_finite_stops_with_advice(world) -> None:
    wild = world.settings.model_copy(update={"temperature": 1e-39})
    with pytest.raises(TrainingError, match=r"the loss became .* in epoch 1.*learning_rate"):
        train_two_tower(world.past, world.features, wild, seed=1, data_digest="d")


def test_nothing_to_learn_from_is_an_error(world) -> None:
    nothing = world.log.between(None, 0)
    with pytest.raises(TrainingError, match="nothing to train on"):
        train_two_tower(nothing, world.features, world.settings, seed=1, data_digest="d")
    with pytest.raises(KeyError, match="no features for item"):
        train_two_tower(world.past, world.features.take(np.arange(9)), world.settings, seed=1, data_digest="d")


def test_a_catalog_without_content_trains_on_ids(world) -> None:
    settings = world.settings.model_copy(update={"epochs": 1})
    bare = ItemFeatures.build(world.log.item_ids)
    scores = TwoTowerRecommender(
        train_two_tower(world.past, bare, settings, seed=1, data_digest="d").model, world.past, bare, as_of=world.cut
    ).score(np.arange(3))
    assert np.isfinite(scores).all()


def test_behaviour_matters_to_the_user_tower(world, trained) -> None:
    flipped = replace(world.past, behaviours=((world.past.behaviours + 2) % 4).astype(np.int8))
    table = trained.model.item_vectors(world.features)
    rows = np.arange(4)
    one, two = (trained.model.user_vectors(log, rows, table, as_of=world.cut) for log in (world.past, flipped))
    assert not np.allclose(one, two)

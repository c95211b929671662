from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from fashionrec_assets import divergence
from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.embeddings import precision
from fashionrec_assets.towers import descent, run
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.descent import LAZY_FROM
from fashionrec_assets.towers.features import ItemFeatures, UserProfiles
from fashionrec_assets.towers.feedback import Feedback
from fashionrec_assets.towers.recommender import TwoTowerRecommender
from fashionrec_assets.towers.training import (
    TrainedTwoTower,
    TrainingError,
    epochs_for,
    fit_two_tower,
    train_two_tower,
)
from fashionrec_assets_tests.towers.conftest import WARM


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
        full=world.log,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert fitted.epochs == 2
    assert [point.ndcg for point in fitted.selection.curve] == [0.1, 0.3, 0.2, 0.25]
    assert np.array_equal(outputs(fitted.selection.model, world), kept[1])
    assert fitted.served is not None
    for trained in (fitted.evaluation, fitted.served):
        assert [point.epoch for point in trained.curve] == [1, 2]
    models = [trained.model.model_id for trained in (fitted.selection, fitted.evaluation, fitted.served)]
    assert len(set(models)) == 3
    assert calls[-1] == (8, 8) and all(done <= total for done, total in calls)


@pytest.mark.parametrize("lazy_from", [LAZY_FROM, 1])
def test_a_killed_training_goes_on_to_the_same_weights(world, tmp_path, monkeypatch, lazy_from: int) -> None:
    monkeypatch.setattr(descent, "LAZY_FROM", lazy_from)
    settings = world.settings.model_copy(update={"epochs": 3, "negatives": 20, "hard_negatives": 4})

    def train(progress=lambda done, total: None, checkpoint=None) -> TrainedTwoTower:
        return train_two_tower(
            world.past,
            world.features,
            settings,
            seed=1,
            data_digest="d",
            evaluate=lambda model: 0.0,
            progress=progress,
            checkpoint=checkpoint,
        )

    def kill(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(kill, tmp_path / "state.safetensors")
    ran: list[int] = []
    resumed = train(lambda done, total: ran.append(done), tmp_path / "state.safetensors")
    undisturbed = train()
    assert ran == [3]
    assert np.array_equal(outputs(resumed.model, world), outputs(undisturbed.model, world))
    assert [c.loss for c in resumed.curve] == [c.loss for c in undisturbed.curve]


def test_a_warm_start_goes_on_where_the_model_before_it_was(world, trained) -> None:
    settings = world.settings.model_copy(update={"warm_start": 0.2})
    earlier = trained.model.forget(world.log.item_ids[[3]])
    assert epochs_for(settings, warm=True) == 1
    given = {"seed": 1, "data_digest": "d", "epochs": 1}
    warm = train_two_tower(world.past, world.features, settings, start=earlier, **given)
    cold = train_two_tower(world.past, world.features, settings, **given)
    assert warm.curve[0].loss < 0.8 * cold.curve[0].loss
    with pytest.raises(ValueError, match="later events"):
        train_two_tower(world.past, world.features, settings, start=replace(earlier, cut=earlier.cut + 86_400), **given)


@pytest.mark.parametrize(
    "change",
    [{"loss": "infonce"}, {"loss": "bpr"}, {"loss": "gbce"}, {"fusion": "concat"}, {"query_gap": True}],
)
def test_every_loss_and_fusion_learns_the_rule(world, change) -> None:
    settings = world.settings.model_copy(update=change)
    model = train_two_tower(world.past, world.features, settings, seed=5, data_digest="d").model
    assert world.ndcg(model) > 0.25
    _, shares = model.modality_weights(world.features)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_hidden_views_and_no_session_still_learn(world) -> None:
    change = {"modality_dropout": 0.2, "session_aware": False, "query_gap": False, "fusion": "mean"}
    settings = world.settings.model_copy(update=change)
    model = train_two_tower(world.past, world.features, settings, seed=5, data_digest="d").model
    assert model.module.users.intent is None and model.module.users.gap_after is None
    assert world.ndcg(model) > 0.25


def test_one_behaviour_leaves_no_heads_and_feedback_makes_one(world) -> None:
    settings = world.settings.model_copy(update={"epochs": 1})
    bought = replace(world.past, behaviours=np.full(len(world.past), 3, np.int8))
    plain = train_two_tower(bought, world.features, settings, seed=1, data_digest="d")
    assert plain.model.tasks == () and not list(plain.model.module.heads.parameters())
    rows = np.arange(20)
    feedback = Feedback(rows, rows, rows % 2 == 0)
    told = train_two_tower(bought, world.features, settings, seed=1, data_digest="d", feedback=feedback)
    assert told.model.tasks == () and 0 < told.curve[0].tasks["helpful"] < 1


def test_a_head_learns_what_users_go_on_to_buy(world) -> None:
    """The first half of the catalog is bought whenever it is looked at, the other half never."""
    past = world.past
    columns = [[*old.tolist(), *more.tolist()] for old, more in _bought_later(past)]
    log = EventLog.build(past.user_ids.tolist(), past.item_ids.tolist(), *columns)
    model = train_two_tower(log, world.features, world.settings, seed=1, data_digest="d").model
    items = model.item_vectors(world.features)
    users = model.user_vectors(log, np.arange(world.warm), items)
    buys = model.conversion(users, items[: world.warm])["buy"]
    half = world.warm // 2
    assert buys[:half].mean() > 0.8 and buys[half:].mean() < 0.2


def _bought_later(past: EventLog) -> list[tuple[np.ndarray, np.ndarray]]:
    bought = past.items < WARM // 2
    return [
        (past.users, past.users[bought]),
        (past.items, past.items[bought]),
        (past.times, past.times[bought] + 1),
        (np.zeros_like(past.behaviours), np.full(int(bought.sum()), 3)),
    ]


def test_a_profile_moves_who_is_unknown_more_than_who_is_known(world) -> None:
    """Users who entered with one of the first six items are of one city, the others of another."""
    offsets = world.past.offsets()
    first = np.array([world.past.items[o] if o < len(world.past) else 0 for o in offsets[:-1]])
    city = np.where(first < world.entries // 2, "north", "south")
    city[world.users :] = ["north", "south"]
    profiles = UserProfiles.build(city=city.tolist())
    settings = world.settings
    model = train_two_tower(world.past, world.features, settings, seed=1, data_digest="d", profiles=profiles).model
    recommender = TwoTowerRecommender(model, world.past, world.features, as_of=world.cut, profiles=profiles)
    north, south = recommender.score(np.array([world.users, world.users + 1]))
    half = world.entries // 2
    assert north[:half].mean() > north[half : world.entries].mean()
    assert south[:half].mean() < south[half : world.entries].mean()
    swapped = UserProfiles.build(city=np.where(city == "north", "south", "north").tolist())
    rows = np.array([0, 1, 2, world.users, world.users + 1])
    moved = TwoTowerRecommender(model, world.past, world.features, as_of=world.cut, profiles=swapped)
    shift = np.linalg.norm(recommender.user_vectors(rows) - moved.user_vectors(rows), axis=1)
    assert shift[:3].max() < shift[3:].min()


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


def test_large_tables_learn_the_rule_as_small_ones_do(world, trained, monkeypatch) -> None:
    monkeypatch.setattr(descent, "LAZY_FROM", 1)
    lazy = train_two_tower(world.past, world.features, world.settings, seed=5, data_digest="d")
    assert lazy.curve[0].loss == pytest.approx(trained.curve[0].loss, rel=1e-3)
    assert world.ndcg(lazy.model) == pytest.approx(world.ndcg(trained.model), abs=0.05)


def test_products_are_in_the_precision_of_the_device(world, monkeypatch) -> None:
    asked: list[tuple[str, str]] = []

    def noted(device: torch.device, wanted: str) -> AbstractContextManager[None]:
        asked.append((device.type, wanted))
        return nullcontext()

    monkeypatch.setattr(precision, "autocast", noted)
    monkeypatch.setattr(run, "fastest_precision", lambda device, *, training: "bfloat16" if training else "")
    settings = world.settings.model_copy(update={"epochs": 1})
    train_two_tower(world.past, world.features, settings, seed=5, data_digest="d")
    assert set(asked) == {("cpu", "bfloat16")}


def test_losses_that_wait_on_a_gpu_are_all_looked_at(world, trained, monkeypatch) -> None:
    monkeypatch.setattr(run, "computes_on_gpu", lambda device: True)
    monkeypatch.setattr(divergence, "LOOKED_AT_EVERY", 3)
    settings = world.settings.model_copy(update={"epochs": 1})
    waiting = train_two_tower(world.past, world.features, settings, seed=5, data_digest="d")
    assert (waiting.curve[0].loss, waiting.curve[0].tasks) == (trained.curve[0].loss, trained.curve[0].tasks)
    monkeypatch.setattr(divergence, "LOOKED_AT_EVERY", 10**6)
    wild = settings.model_copy(update={"temperature": 1e-39})
    with pytest.raises(TrainingError, match="epoch 1, step 1"):
        train_two_tower(world.past, world.features, wild, seed=5, data_digest="d")


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

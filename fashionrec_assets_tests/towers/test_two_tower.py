from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.encoding import encode_users
from fashionrec_assets.towers.features import Modality
from fashionrec_assets.towers.recommender import TwoTowerRecommender
from fashionrec_assets.towers.sequences import serving_batches
from fashionrec_assets.towers.shape import TowerShape


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def test_item_vectors_are_unit_vectors_with_a_popularity_coordinate(world, trained) -> None:
    vectors = trained.model.item_vectors(world.features)
    assert vectors.shape == (world.items, world.settings.dim) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors[:, :-1], axis=1), 1, atol=1e-5)
    cold = np.arange(world.warm, world.items)
    assert len(set(vectors[cold, -1].tolist())) == 1


def test_a_cold_item_is_placed_by_its_content_next_to_its_twin(world, trained) -> None:
    vectors = trained.model.item_vectors(world.features)[:, :-1]
    similarity = vectors[: world.warm] @ vectors[world.cold]
    assert int(similarity.argmax()) == world.twin
    text = world.features.modalities["text"]
    moved = replace(
        world.features,
        modalities={**world.features.modalities, "text": Modality(text.values[::-1].copy(), text.present)},
    )
    assert cosine(trained.model.item_vectors(moved)[world.cold, :-1], vectors[world.cold]) < 0.9


def test_hidden_ids_make_warm_items_cold(world, trained) -> None:
    model = trained.model
    inputs = model.tensors(world.features)
    with torch.inference_mode():
        hidden = inputs.hide_ids(torch.ones(world.items, dtype=torch.bool))
        vectors, bias = model.module.items(hidden), model.module.items.popularity(hidden.popularity, hidden.ids == 0)
    assert torch.allclose(vectors[world.cold], vectors[world.twin], atol=1e-6)
    assert torch.allclose(bias, bias[:1].expand_as(bias))
    assert not np.allclose(vectors[world.twin].numpy(), model.item_vectors(world.features)[world.twin, :-1], atol=1e-3)


def test_a_missing_image_is_a_learned_vector_whatever_its_row_holds(world, trained) -> None:
    image = world.features.modalities["image"]
    junk = image.values.copy()
    junk[~image.present] = 7
    altered = replace(world.features, modalities={**world.features.modalities, "image": Modality(junk, image.present)})
    assert np.array_equal(trained.model.item_vectors(altered), trained.model.item_vectors(world.features))
    gone = replace(
        world.features,
        modalities={**world.features.modalities, "image": Modality(image.values, np.zeros_like(image.present))},
    )
    without = trained.model.item_vectors(gone)
    had = image.present
    assert np.isfinite(without).all()
    assert not np.allclose(without[had], trained.model.item_vectors(world.features)[had], atol=1e-3)
    close = np.mean([cosine(a, b) for a, b in zip(without, trained.model.item_vectors(world.features), strict=True)])
    assert close > 0.5


def test_the_future_cannot_change_earlier_outputs(world, trained) -> None:
    module = trained.model.module
    (batch,) = serving_batches(world.past, np.array([0]), history=10, batch_size=1)
    changed = replace(batch, items=batch.items.copy(), behaviours=batch.behaviours.copy())
    changed.items[0, 6:] = (changed.items[0, 6:] + 11) % world.warm
    changed.behaviours[0, 6:] = (changed.behaviours[0, 6:] + 1) % 4
    table = torch.from_numpy(trained.model.item_vectors(world.features)[:, :-1])
    with torch.inference_mode():
        one, two = (
            encode_users(module, b, table[torch.from_numpy(np.maximum(b.items, 0))], {})[0] for b in (batch, changed)
        )
    assert torch.allclose(one[:, :6], two[:, :6], atol=1e-6)
    assert not torch.allclose(one[:, 6:], two[:, 6:], atol=1e-3)


def test_the_order_of_a_session_changes_the_user(world, trained) -> None:
    def user_after(items: list[int]) -> np.ndarray:
        columns = ([0] * len(items), items, list(range(0, 60 * len(items), 60)), [0] * len(items))
        log = EventLog.build(["u"], world.log.item_ids.tolist(), *columns)
        table = trained.model.item_vectors(world.features)
        return trained.model.user_vectors(log, np.array([0]), table, as_of=600)[0]

    assert cosine(user_after([3, 20, 41]), user_after([41, 20, 3])) < 0.99


def test_weights_of_the_views_are_shares_that_depend_on_the_item(world, trained) -> None:
    names, shares = trained.model.modality_weights(world.features)
    assert names == ("text", "image", "kind", "price", "age", "id")
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert shares.std(axis=0).min() > 1e-3


def test_dim_and_heads_must_fit() -> None:
    with pytest.raises(ValueError, match=r"multiple of two_tower\.heads"):
        TowerShape(dim=10, history=1, layers=1, heads=4, dropout=0, ids=1, modalities={}, codes={})
    with pytest.raises(ValueError, match="no view of an item left"):
        TowerShape(dim=8, history=1, layers=1, heads=4, dropout=0, ids=1, modalities={}, codes={}, reads_ids=False)


def test_a_masked_modality_costs_something_and_not_everything(world, trained) -> None:
    whole = world.ndcg(trained.model)
    for name in ("text", "image"):
        kept = world.features.modalities[name]
        gone = {**world.features.modalities, name: Modality(np.zeros_like(kept.values), np.zeros_like(kept.present))}
        masked = replace(world.features, modalities=gone)
        recommender = TwoTowerRecommender(trained.model, world.past, masked, as_of=world.cut)
        scores = recommender.score(world.future.users)
        assert np.isfinite(scores).all()
        rank = (scores > scores[np.arange(len(scores)), world.future.items][:, None]).sum(axis=1)
        ndcg = float(np.where(rank < 5, 1 / np.log2(rank + 2), 0).mean())
        chance = float((1 / np.log2(np.arange(2, 7))).sum() / world.items)
        assert 3 * chance < ndcg <= whole + 0.02


def test_only_the_session_moves_the_intent(world) -> None:
    from fashionrec_assets.towers.user_tower import SessionIntent

    intent = SessionIntent(8, 7)
    state, items = torch.randn(1, 4, 8), torch.randn(1, 4, 7)
    sessions = torch.tensor([[-1, 0, 1, 1]])
    other = items.clone()
    other[0, 1] += 1  # the session before
    with torch.inference_mode():
        one, two = intent(state, items, sessions), intent(state, other, sessions)
    assert torch.allclose(one[0, 2:], two[0, 2:]) and not torch.allclose(one[0, 1], two[0, 1])

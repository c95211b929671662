from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import TwoTower, two_tower_id
from fashionrec_assets.towers.features import ItemFeatures
from fashionrec_assets.towers.recommender import TwoTowerRecommender


def test_a_saved_model_comes_back_with_the_same_vectors(world, trained, tmp_path) -> None:
    trained.model.save(tmp_path / "model")
    loaded = TwoTower.load(tmp_path / "model")
    assert loaded.model_id == trained.model.model_id and loaded.settings == trained.model.settings
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.json",
        "items.parquet",
        "model.safetensors",
    ]
    rows = np.arange(world.users)
    scores = [TwoTowerRecommender(m, world.past, world.features).score(rows) for m in (trained.model, loaded)]
    assert np.array_equal(*scores)


def test_another_architecture_is_refused(trained, tmp_path) -> None:
    trained.model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "two-tower-0"}))
    with pytest.raises(ValueError, match="train it again"):
        TwoTower.load(tmp_path)


def test_the_id_names_the_recipe() -> None:
    settings = TwoTowerSettings()
    base = two_tower_id(settings, 1, "d")
    assert base == two_tower_id(settings.model_copy(update={"retrain_share": 0.5}), 1, "d")
    assert base == two_tower_id(settings.model_copy(update={"refit": False}), 1, "d")
    others = [two_tower_id(settings, 2, "d"), two_tower_id(settings, 1, "e")]
    others.append(two_tower_id(settings.model_copy(update={"dim": 32}), 1, "d"))
    assert len({base, *others}) == 4


def test_forgotten_items_leave_no_trace_and_move_nobody(world, trained, tmp_path) -> None:
    model, gone = trained.model, [3, 17]
    forgotten = model.forget(world.log.item_ids[[*gone, world.cold]])
    assert forgotten.model_id == model.model_id
    assert not np.isin(world.log.item_ids[gone], forgotten.item_ids).any()
    for column in (forgotten.item_ids, forgotten.popularity, forgotten.first_seen):
        assert len(column) == len(model.item_ids) - 2
    assert forgotten.module.items.id.weight.shape[0] == model.module.items.id.weight.shape[0] - 2
    before, after = model.item_vectors(world.features), forgotten.item_vectors(world.features)
    kept = ~np.isin(np.arange(world.items), gone)
    assert np.array_equal(before[kept], after[kept])
    assert not np.allclose(before[gone], after[gone])
    forgotten.save(tmp_path)
    assert world.log.item_ids[3].encode() not in (tmp_path / "items.parquet").read_bytes()
    assert model.forget(np.array(["unheard of"])) is model


def test_items_the_model_never_saw_get_vectors(world, trained) -> None:
    text, image = world.features.modalities["text"], world.features.modalities["image"]
    new = ItemFeatures.build(
        ["zz1", "zz2"],
        text=text.values[[world.cold, 0]],
        image=image.values[[world.cold, 0]],
        has_image=image.present[[world.cold, 0]],
        categories={"kind": [str(world.features.categories["kind"][world.cold]), "never seen"]},
        price=np.array([world.features.price[world.cold], np.nan]),
    )
    vectors = trained.model.item_vectors(new)
    assert np.allclose(vectors[0], trained.model.item_vectors(world.features)[world.cold], atol=1e-6)
    assert np.isfinite(vectors).all()


def test_features_must_hold_what_the_model_was_trained_with(world, trained) -> None:
    with pytest.raises(ValueError, match="trained with 'text'"):
        trained.model.item_vectors(ItemFeatures.build(["1"], categories={"kind": ["kind1"]}))
    with pytest.raises(ValueError, match="trained with prices"):
        trained.model.item_vectors(replace(world.features, price=None))


def test_users_without_history_get_a_sensible_vector(world, trained) -> None:
    recommender = TwoTowerRecommender(trained.model, world.past, world.features, as_of=world.cut)
    nobody = np.array([world.users, world.users + 1])
    scores = recommender.score(nobody)
    assert np.isfinite(scores).all() and np.allclose(scores[0], scores[1], atol=1e-6)
    best = np.argsort(-scores[0, : world.warm])[: world.entries // 2]
    assert (best < world.entries).all()


def test_every_head_answers_for_pairs(world, trained) -> None:
    model = trained.model
    items = model.item_vectors(world.features)
    users = model.user_vectors(world.past, np.arange(6), items, as_of=world.cut)
    assert model.tasks == ("cart_or_fav", "buy")
    pairs = model.conversion(users, items[:6])
    assert set(pairs) == set(model.tasks)
    for task in model.tasks:
        assert pairs[task].shape == (6,)
        assert ((pairs[task] > 0) & (pairs[task] < 1)).all()
        alone = model.conversion(users[3:4], items[3:4])[task]
        assert np.allclose(alone, pairs[task][3:4], atol=1e-6)


def test_vectors_do_not_depend_on_who_is_asked_for_together(world, trained) -> None:
    recommender = TwoTowerRecommender(trained.model, world.past, world.features, as_of=world.cut)
    together = recommender.score(np.array([9, world.users, 2, 9]))
    assert np.allclose(together[0], recommender.score(np.array([9]))[0], atol=1e-5)
    assert np.array_equal(together[0], together[3])


def test_history_after_the_question_is_refused(world, trained) -> None:
    table = trained.model.item_vectors(world.features)
    with pytest.raises(ValueError, match="events after as_of"):
        trained.model.user_vectors(world.log, np.array([0]), table, as_of=world.cut - 1)
    with pytest.raises(ValueError, match="item_vectors must be"):
        trained.model.user_vectors(world.past, np.array([0]), table[:3], as_of=world.cut)

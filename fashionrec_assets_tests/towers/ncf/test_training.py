from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.embeddings.reading import Tokens
from fashionrec_assets.towers.features import Modality
from fashionrec_assets.towers.ncf import training
from fashionrec_assets.towers.ncf.cold_items import Filling
from fashionrec_assets.towers.ncf.examples import WeightedRows
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers
from fashionrec_assets.towers.ncf.model import CONFIG, WEIGHTS, Ncf
from fashionrec_assets.towers.ncf.recommender import pairs_of, recommender_of
from fashionrec_assets.towers.ncf.training import TrainedNcf, reduce_tokens, train_ncf
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.run import TrainingError
from fashionrec_assets.towers.validation import ndcg_of
from fashionrec_assets_tests.towers.ncf.world import (
    COLD,
    CUT,
    ITEMS,
    LENGTH,
    SETTINGS,
    SYNTHESIS,
    USERS,
    World,
    kept_of,
    pooled,
    profiles_and_avatars,
)

FAST = SETTINGS.model_copy(update={"epochs": 1})


def fitted(shop: World, *, items: NcfItems | None = None, users: NcfUsers | None = None, seed: int = 3, **changes):
    """A model of one epoch, with `changes` to the settings."""
    settings = FAST.model_copy(update=changes)
    return train_ncf(shop.kept, items or shop.items, users or shop.users, settings, seed=seed)


def scores(
    model: Ncf,
    shop: World,
    *,
    items: NcfItems | None = None,
    users: NcfUsers | None = None,
    filling: Filling = "unknown",
) -> NDArray[np.float32]:
    """Of everybody, for every item."""
    found = recommender_of(
        model, shop.past, items or shop.items, users or shop.users, SYNTHESIS, filling=filling, seed=0
    )
    return found.score(np.arange(shop.log.n_users, dtype=np.int32))


def test_the_loss_falls_and_people_kept_back_are_served_better_than_by_popularity(
    shop: World, trained: TrainedNcf
) -> None:
    assert [epoch.epoch for epoch in trained.curve] == [1, 2, 3]
    assert trained.curve[-1].loss < 0.9 * trained.curve[0].loss
    task = shop.kept.task
    popular = np.bincount(task.history.items, minlength=ITEMS).astype(np.float32)
    by_popularity = ndcg_of(lambda rows: np.tile(popular, (len(rows), 1)), task.history, pairs_of(task), task.pool)[0]
    assert trained.ndcg == max(epoch.ndcg for epoch in trained.curve)
    assert trained.ndcg > 1.3 * by_popularity > 0


def test_training_is_bit_equal_by_seed(shop: World) -> None:
    first, again, other = (fitted(shop, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(scores(first.model, shop), scores(again.model, shop))
    assert [(e.loss, e.ndcg) for e in first.curve] == [(e.loss, e.ndcg) for e in again.curve]
    assert not np.array_equal(scores(first.model, shop), scores(other.model, shop))


def test_what_comes_before_does_not_change_a_training(shop: World) -> None:
    first = scores(fitted(shop).model, shop)
    torch.randn(17)
    before = torch.random.get_rng_state()
    again = scores(fitted(shop).model, shop)
    assert np.array_equal(first, again)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_best_epoch_is_kept_and_training_stops_when_it_gets_no_better(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, seen = iter([0.1, 0.3, 0.2, 0.25, 0.9]), []

    def judged(model: Ncf, *others: object) -> float:
        seen.append({name: value.clone() for name, value in model.module.state_dict().items()})
        return next(figures)

    monkeypatch.setattr(training, "kept_back_ndcg", judged)
    found = fitted(shop, epochs=9, patience=2)
    assert [epoch.ndcg for epoch in found.curve] == [0.1, 0.3, 0.2, 0.25]
    state = found.model.module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in seen[1].items())
    assert not all(torch.equal(state[name], value) for name, value in seen[3].items())


def test_pretraining_has_three_steps_and_the_second_leaves_vectors_as_they_are(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[dict[str, torch.Tensor]] = []
    join = training._join

    def spied(module, gmf, mlp) -> None:
        join(module, gmf, mlp)
        joined.extend({name: value.clone() for name, value in one.state_dict().items()} for one in (module, gmf, mlp))

    monkeypatch.setattr(training, "_join", spied)
    calls: list[tuple[int, int]] = []
    settings = SETTINGS.model_copy(update={"pretrain": True})
    found = train_ncf(
        shop.kept,
        shop.items,
        shop.users,
        settings,
        seed=3,
        epochs=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert [(epoch.scorer, epoch.epoch) for epoch in found.curve] == [("gmf", 1), ("mlp", 1), ("neumf", 1)]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    neumf, gmf, mlp = joined
    vectors = [name for name in gmf if not name.startswith("scorer.")]
    assert len(vectors) > 10
    assert all(torch.equal(gmf[name], mlp[name]) and torch.equal(gmf[name], neumf[name]) for name in vectors)
    assert torch.equal(neumf["scorer.gmf.output"], 0.5 * gmf["scorer.output"])
    assert torch.equal(neumf["scorer.mlp.output"], 0.5 * mlp["scorer.output"])
    assert torch.equal(neumf["scorer.mlp.of_user.weight"], mlp["scorer.of_user.weight"])
    assert found.model.module.shape.scorer == "neumf"


def planted(shop: World, label: float, weight: float = 1.0) -> WeightedRows:
    """Everybody of the first taste, with the first cold item, three times."""
    people = np.flatnonzero(shop.likes[:USERS] == 0)
    people = np.repeat(people, 3).astype(np.int32)
    n = len(people)
    return WeightedRows(
        people,
        np.full(n, COLD[0], np.int32),
        np.full(n, label, np.float32),
        np.full(n, CUT - 5, np.int64),
        weight,
    )


# With few negatives candidates are sampled, with many all items with events are candidates.
@pytest.mark.parametrize("negatives", [16, 64])
def test_synthetic_rows_about_an_item_without_events_move_its_score(shop: World, negatives: int) -> None:
    settings = SETTINGS.model_copy(update={"negatives": negatives, "epochs": 2})
    people = np.flatnonzero(shop.likes[:USERS] == 0)

    def place(rows: WeightedRows | None) -> float:
        """Mean share of the items that the cold one beats."""
        model = train_ncf(shop.kept, shop.items, shop.users, settings, seed=3, synthetic=rows).model
        found = scores(model, shop)[people]
        return float((found < found[:, COLD[:1]]).mean())

    # Rows that count nothing, so that as many steps are taken.
    without = place(planted(shop, 1.0, weight=0.0))
    assert place(planted(shop, 1.0)) > without + 0.05
    assert place(planted(shop, 0.0)) < without - 0.02


def test_somebody_who_has_everything_is_no_obstacle(shop: World) -> None:
    log = shop.log
    known = np.unique(shop.kept.training.items)
    most = EventLog.build(
        log.user_ids.tolist(),
        log.item_ids.tolist(),
        [*log.users.tolist(), *np.full(len(known), USERS)],
        [*log.items.tolist(), *known],
        [*log.times.tolist(), *(CUT - LENGTH - 100 + np.arange(len(known)))],
        [0] * (len(log) + len(known)),
    )
    kept = kept_of(most)
    found = train_ncf(kept, shop.items, shop.users, FAST, seed=3)
    assert np.isfinite(found.curve[0].loss)
    assert all(torch.isfinite(value).all() for value in found.model.module.state_dict().values())
    # There is nothing to tell their items from: what stands for them only decays, the others learn.
    reducers, _ = reduce_tokens(kept.training, shop.items, FAST)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        popularity = PopularityHistory.of(kept.training, FAST.popularity_half_lives)
        first = Ncf.untrained(kept.training, shop.items, shop.users, FAST, reducers, popularity)
    with torch.no_grad():
        alike = torch.cosine_similarity(first.module.user_ids.weight, found.model.module.user_ids.weight)
    assert alike[USERS + 1] == pytest.approx(1, abs=1e-5)
    assert alike[1 : USERS + 1].median() < 0.95


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_modality_that_is_not_asked_for_is_not_read(shop: World, modality: str) -> None:
    rng = np.random.default_rng(1)
    kept = shop.items.text if modality == "text" else shop.items.image
    other = Tokens(rng.normal(size=kept.states.shape).astype(np.float16), np.ones_like(kept.mask))
    items = replace(shop.items, **{modality: other}, pooled={**shop.items.pooled, modality: pooled(other)})
    rest = ("image" if modality == "text" else "text", "id")
    model, changed = fitted(shop, modalities=rest).model, fitted(shop, items=items, modalities=rest).model
    assert model.modalities == rest
    found = scores(model, shop, filling="vae")
    assert np.array_equal(found, scores(changed, shop, items=items, filling="vae"))
    read = fitted(shop).model
    assert not np.array_equal(scores(read, shop), scores(read, shop, items=items))


@pytest.mark.parametrize("modalities", [("id",), ("text",), ("image",), ("text", "image")])
@pytest.mark.parametrize("fusion", ["intermediate", "late"])
def test_parts_of_what_is_known_are_enough(shop: World, modalities: tuple[str, ...], fusion: str) -> None:
    model = fitted(shop, modalities=modalities, fusion=fusion).model
    assert model.modalities == modalities
    found = scores(model, shop, filling="vae")
    assert found.shape == (USERS + 2, ITEMS)
    assert np.isfinite(found).all()
    assert np.ptp(found[:USERS], axis=0).min() > 0 or modalities != ("id",)
    # Without IDs two items of one content are the same item, but for their own logits.
    assert model.module.reads_ids == ("id" in modalities)


def test_a_modality_that_the_shop_has_not_is_left_out(shop: World) -> None:
    nothing = Tokens(np.zeros((ITEMS, 1, 1), np.float16), np.zeros((ITEMS, 1), bool))
    items = replace(shop.items, image=nothing, pooled={"text": shop.items.pooled["text"]})
    model = fitted(shop, items=items).model
    assert model.modalities == ("text", "id")
    assert np.isfinite(scores(model, shop, items=items)).all()
    bare = replace(items, text=nothing, pooled={})
    model = fitted(shop, items=bare, modalities=("text", "image")).model
    assert model.modalities == ("id",)
    assert np.isfinite(scores(model, shop, items=bare, filling="vae")).all()


def test_profiles_and_avatars_are_read_where_they_are_known(shop: World) -> None:
    users = profiles_and_avatars(shop)
    model = fitted(shop, users=users).model
    before = scores(model, shop, users=users)
    columns = {"city": np.array(["d", "c", "b", "a"])[shop.likes]}
    moved = replace(users, profiles=replace(users.profiles, columns=columns))
    assert (np.abs(scores(model, shop, users=moved) - before).max(axis=1) > 0).all()
    assert users.avatar is not None
    has = users.avatar.present
    turned = replace(users, avatar=Modality(-users.avatar.values + 1, has))
    changed = np.abs(scores(model, shop, users=turned) - before).max(axis=1) > 0
    assert np.array_equal(changed, has)
    unknown = replace(users, profiles=replace(users.profiles, columns={"city": np.full(len(has), "nowhere")}))
    assert np.isfinite(scores(model, shop, users=unknown)).all()


def gap(model: Ncf, shop: World) -> float:
    """How much nearer the text of an item is to its own photo than to others, as cosines."""
    states = model.reducers(shop.items)
    content = model.module.content
    assert content is not None
    both = (states.text_mask.any(1) & states.image_mask.any(1)).nonzero().squeeze(1)
    with torch.no_grad():
        fused = content(states.take(both))
    text, image = (torch.nn.functional.normalize(one, dim=1) for one in (fused.text, fused.image))
    cosines = text @ image.T
    n = len(cosines)
    own = torch.diagonal(cosines)
    return float(own.mean() - (cosines.sum() - own.sum()) / (n * (n - 1)))


def test_alignment_brings_the_text_of_an_item_and_its_photo_together(shop: World) -> None:
    plain, aligned = (
        train_ncf(shop.kept, shop.items, shop.users, SETTINGS.model_copy(update={"alignment": weight}), seed=3)
        for weight in (0.0, 1.0)
    )
    assert all(epoch.alignment == 0 for epoch in plain.curve)
    assert aligned.curve[-1].alignment < aligned.curve[0].alignment
    assert gap(aligned.model, shop) > gap(plain.model, shop) + 0.05


def test_a_saved_model_scores_the_same(shop: World, tmp_path: Path) -> None:
    users = profiles_and_avatars(shop)
    model = fitted(shop, users=users, fusion="late").model
    model.save(tmp_path / "model")
    again = Ncf.load(tmp_path / "model")
    for filling in ("unknown", "neighbours", "vae"):
        assert np.array_equal(
            scores(model, shop, users=users, filling=filling), scores(again, shop, users=users, filling=filling)
        )
    assert again.cut == model.cut
    assert again.settings == model.settings
    config = json.loads((tmp_path / "model" / CONFIG).read_text("utf-8"))
    (tmp_path / "model" / CONFIG).write_text(json.dumps({**config, "architecture": "ncf-0"}), "utf-8")
    with pytest.raises(ValueError, match="train it again"):
        Ncf.load(tmp_path / "model")


def test_a_forgotten_item_is_in_no_file_and_the_others_score_as_before(
    shop: World, trained: TrainedNcf, tmp_path: Path
) -> None:
    gone = 9
    model = trained.model.forget(shop.log.item_ids[[gone]])
    model.save(tmp_path)
    assert "i009" in trained.model.item_ids
    for path in tmp_path.iterdir():
        assert b"i009" not in path.read_bytes(), path.name
    assert (tmp_path / WEIGHTS).exists()
    found = scores(Ncf.load(tmp_path), shop)
    before = scores(trained.model, shop)
    untouched = np.setdiff1d(np.arange(USERS), shop.past.users[shop.past.items == gone])
    others = np.arange(ITEMS) != gone
    assert len(untouched) > 50
    assert np.array_equal(found[np.ix_(untouched, others)], before[np.ix_(untouched, others)])
    assert not np.array_equal(found[:, gone], before[:, gone])
    # Its vector is gone, not only its name.
    row = trained.model.module.item_ids.weight[int(trained.model.id_rows(shop.log.item_ids[[gone]])[0])]
    assert not (model.module.item_ids.weight == row).all(dim=1).any()
    assert len(model.counts) == len(model.popularity) == len(trained.model.counts) - 1


def test_a_forgotten_user_is_in_no_file_and_the_others_score_as_before(
    shop: World, trained: TrainedNcf, tmp_path: Path
) -> None:
    model, known = trained.model, trained.model.user_ids
    gone = known[[len(known) // 2]]
    left = model.forget(np.array([], dtype=np.str_), gone)
    left.save(tmp_path)
    for path in tmp_path.iterdir():
        assert gone[0].encode() not in path.read_bytes(), path.name
    assert np.array_equal(left.user_ids, known[known != gone[0]])
    assert np.array_equal(left.item_ids, model.item_ids)
    found, before = scores(Ncf.load(tmp_path), shop), scores(model, shop)
    stranger = shop.log.user_ids == gone[0]
    assert np.array_equal(found[~stranger], before[~stranger])
    assert not np.array_equal(found[stranger], before[stranger])
    # Their vector is gone, not only their name.
    row = model.module.user_ids.weight[1 + int(np.searchsorted(known, gone[0]))]
    assert not (left.module.user_ids.weight == row).all(dim=1).any()


def test_popularity_is_that_of_training_and_adds_to_items_with_events_only(shop: World, trained: TrainedNcf) -> None:
    model = trained.model
    raised = replace(model, popularity=model.popularity + 1)
    difference = scores(raised, shop) - scores(model, shop)
    weight = float(model.module.popularity.detach().sum())
    warm = np.isin(shop.log.item_ids, model.item_ids)
    assert np.allclose(difference[:, warm], weight, atol=1e-4)
    assert (difference[:, ~warm] == 0).all()


def test_token_reduction_looks_at_items_with_events_only(shop: World) -> None:
    rng = np.random.default_rng(3)
    states = shop.items.text.states.copy()
    states[COLD] = rng.normal(size=states[COLD].shape) * 9
    items = replace(shop.items, text=Tokens(states, shop.items.text.mask))
    (one, _), (other, _) = (reduce_tokens(shop.kept.training, some, SETTINGS) for some in (shop.items, items))
    assert np.array_equal(one.text.axes, other.text.axes)
    assert np.array_equal(one.text.mean, other.text.mean)
    assert one.text.scale == other.text.scale


def test_bad_input_is_said(shop: World) -> None:
    nothing = kept_of(shop.log)
    empty = replace(nothing, training=nothing.training.select(np.zeros(len(nothing.training), bool)))
    with pytest.raises(TrainingError, match="no events"):
        train_ncf(empty, shop.items, shop.users, FAST, seed=1)
    states = shop.items.text.states.copy()
    states[5] = np.nan
    items = replace(shop.items, text=Tokens(states, shop.items.text.mask))
    reduced = reduce_tokens(shop.kept.training, shop.items, FAST)
    broken = replace(reduced[1], text=torch.full_like(reduced[1].text, torch.nan))
    with pytest.raises(TrainingError, match="finite"):
        train_ncf(shop.kept, items, shop.users, FAST, seed=1, reduced=(reduced[0], broken))
    with pytest.raises(KeyError, match="i999"):
        shop.items.rows(np.array(["i001", "i999"]))


def test_people_without_events_are_strangers(shop: World, trained: TrainedNcf) -> None:
    found = scores(trained.model, shop)
    assert np.array_equal(found[USERS], found[USERS + 1])
    assert isinstance(shop.past, EventLog)
    assert not np.array_equal(found[0], found[USERS])

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fashionrec_assets.synthesis.conditional_vae import RowVae, VaeGenerator, train_row_vae
from fashionrec_assets.synthesis.reduction import Reduction, TooFewRowsError
from fashionrec_assets_tests.synthesis.conftest import SETTINGS, World


def variant(tastes: World, **changes: object) -> RowVae:
    settings = SETTINGS.model_copy(update={"least_steps": 200, "epochs": 10, **changes})
    return train_row_vae(tastes.rows, tastes.content, settings, seed=3, model_id="m")


@pytest.fixture(scope="module")
def collapsed(tastes: World) -> RowVae:
    return variant(tastes, kl_weight=50.0)


def test_components_are_white_and_fitted_on_what_may_be_known(tastes: World) -> None:
    reduction = Reduction.fit(tastes.content, 6)
    found = reduction.apply(tastes.content)[tastes.content.usable]
    assert np.allclose(np.cov(found.T), np.eye(6), atol=0.02)
    moved = tastes.content.values.copy()
    moved[tastes.future] += 100
    again = Reduction.fit(replace(tastes.content, values=moved), 6)
    assert np.array_equal(again.axes, reduction.axes)


def test_components_that_do_not_vary_are_left_out(tastes: World) -> None:
    doubled = replace(tastes.content, values=np.concatenate([tastes.content.values] * 2, axis=1))
    assert len(Reduction.fit(doubled, 20).axes) == tastes.content.values.shape[1]
    with pytest.raises(TooFewRowsError, match="no two items"):
        Reduction.fit(replace(tastes.content, values=np.ones_like(tastes.content.values)), 4)


def test_reconstruction_is_far_better_than_the_mean(tastes: World, vae: RowVae) -> None:
    features = vae.features(tastes.rows, tastes.content)
    by_mean = 0.5 * ((features.item - features.item.mean(axis=0)) ** 2).sum(axis=1).mean()
    # Which cluster an item is of is half of what there is; the latents know the rest.
    assert vae.curve[-1].item < 0.4 * by_mean
    assert vae.curve[-1].preference < 0.5 * np.log(2)
    assert vae.curve[-1].item < 0.6 * vae.curve[0].item


def test_the_kl_is_annealed_from_nothing(vae: RowVae) -> None:
    weights = [epoch.kl_weight for epoch in vae.curve]
    assert weights[0] < 0.1 * SETTINGS.kl_weight
    assert weights == sorted(weights)
    assert weights[-1] == SETTINGS.kl_weight


def test_more_weight_on_the_kl_leaves_less_of_it_but_never_less_than_is_free(tastes: World, collapsed: RowVae) -> None:
    light, heavy = (variant(tastes, kl_weight=weight).posterior.kl for weight in (0.05, 1.0))
    assert light > heavy > collapsed.posterior.kl
    freer = variant(tastes, kl_weight=50.0, free_bits=0.3).posterior
    assert freer.kl > 5 * collapsed.posterior.kl


def test_a_collapsed_posterior_is_told_from_a_healthy_one(vae: RowVae, collapsed: RowVae) -> None:
    assert collapsed.posterior.collapsed
    assert "Lower kl_weight" in collapsed.posterior.words
    assert not vae.posterior.collapsed
    assert vae.posterior.active >= 4


def test_a_small_log_gets_more_epochs(tastes: World, vae: RowVae) -> None:
    steps = -(-len(tastes.rows) // SETTINGS.batch_size)
    assert len(vae.curve) == -(-SETTINGS.least_steps // steps) > SETTINGS.epochs
    assert len(variant(tastes, least_steps=0, epochs=2).curve) == 2


def test_rows_follow_the_taste_of_their_user(tastes: World, vae: RowVae) -> None:
    made = VaeGenerator(vae, tastes.rows, tastes.content).draw(400, temperature=1.0, seed=1)
    assert len(made) == 400
    liked = tastes.rows.labels[made.sources] > 0.5
    own = tastes.clusters[made.items] == tastes.tastes[made.users]
    assert own[liked].mean() > 0.75
    assert 0.2 < own[~liked].mean() < 0.65
    assert made.labels[own].mean() > made.labels[~own].mean() + 0.1
    assert ((made.labels >= 0) & (made.labels <= 1)).all()
    assert abs(made.labels.mean() - tastes.rows.labels.mean()) < 0.1


def test_the_decoder_listens_to_the_user(tastes: World, vae: RowVae) -> None:
    features = vae.features(tastes.rows, tastes.content)
    of_one = np.flatnonzero((tastes.rows.labels > 0.5) & (tastes.tastes[tastes.rows.users] == 0))
    of_other = np.flatnonzero((tastes.rows.labels > 0.5) & (tastes.tastes[tastes.rows.users] == 1))
    n = min(len(of_one), len(of_other))
    swapped = replace(features.take(of_one[:n]), user=features.user[of_other[:n]])
    made, liking = vae.generate(features.take(of_one[:n]), temperature=1.0, seed=1)
    other, indifference = vae.generate(swapped, temperature=1.0, seed=1)
    assert np.abs(made - other).mean() > 0.05
    assert liking.mean() > indifference.mean()


def test_temperature_is_how_far_from_the_source(tastes: World, vae: RowVae) -> None:
    features = vae.features(tastes.rows, tastes.content)
    gaps = []
    for temperature in (0.2, 1.0, 3.0):
        made, _ = vae.generate(features, temperature=temperature, seed=1)
        gaps.append(float(((made - features.item) ** 2).mean()))
    assert gaps[0] < gaps[1] < gaps[2]


def test_nothing_is_copied_and_nothing_is_of_the_future(tastes: World, vae: RowVae) -> None:
    made = VaeGenerator(vae, tastes.rows, tastes.content).draw(600, temperature=1.0, seed=1)
    real = set(zip(tastes.rows.users.tolist(), tastes.rows.items.tolist(), strict=True))
    pairs = list(zip(made.users.tolist(), made.items.tolist(), strict=True))
    assert not real & set(pairs)
    assert len(set(pairs)) == len(pairs)
    assert not np.isin(made.items, tastes.future).any()
    assert np.isin(made.items, tastes.cold).any()
    assert set(made.users.tolist()) <= set(tastes.log.users.tolist())
    assert np.array_equal(made.users, tastes.rows.users[made.sources])


def test_items_of_the_future_would_be_taken_if_they_were_available(tastes: World, vae: RowVae) -> None:
    open_ = replace(tastes.content, available=np.ones_like(tastes.content.available))
    made = VaeGenerator(vae, tastes.rows, open_).draw(600, temperature=1.0, seed=1)
    assert np.isin(made.items, tastes.future).sum() > 10


def test_training_and_drawing_are_the_same_by_seed(tastes: World) -> None:
    one, same, other = (
        train_row_vae(
            tastes.rows, tastes.content, SETTINGS.model_copy(update={"least_steps": 60}), seed=seed, model_id="m"
        )
        for seed in (3, 3, 4)
    )
    rows = [VaeGenerator(model, tastes.rows, tastes.content).draw(50, temperature=1.0, seed=1) for model in (one, same)]
    assert one.curve == same.curve != other.curve
    assert np.array_equal(rows[0].items, rows[1].items) and np.array_equal(rows[0].labels, rows[1].labels)
    again = VaeGenerator(one, tastes.rows, tastes.content).draw(50, temperature=1.0, seed=2)
    assert not np.array_equal(again.items, rows[0].items)


def test_a_saved_model_draws_the_same_rows(tastes: World, vae: RowVae, tmp_path: Path) -> None:
    vae.save(tmp_path / "m")
    loaded = RowVae.load(tmp_path / "m")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["config.json", "model.safetensors"]
    assert load_file(tmp_path / "m" / "model.safetensors")
    assert (loaded.curve, loaded.posterior, loaded.model_id) == (vae.curve, vae.posterior, "m")
    one, other = (VaeGenerator(model, tastes.rows, tastes.content).draw(80, seed=5) for model in (vae, loaded))
    assert np.array_equal(one.items, other.items) and np.array_equal(one.labels, other.labels)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "architecture": "row-vae-0"}))
    with pytest.raises(ValueError, match="train it again"):
        RowVae.load(tmp_path / "m")


def test_there_must_be_something_to_learn_from(tastes: World) -> None:
    nothing = replace(tastes.content, present=np.zeros_like(tastes.content.present))
    with pytest.raises(TooFewRowsError):
        train_row_vae(tastes.rows, nothing, SETTINGS, seed=1, model_id="m")
    with pytest.raises(TooFewRowsError, match="0 training rows"):
        train_row_vae(tastes.rows.take(np.zeros(0, np.int64)), tastes.content, SETTINGS, seed=1, model_id="m")

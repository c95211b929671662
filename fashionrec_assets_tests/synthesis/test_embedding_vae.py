from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.synthesis.embedding_vae import EmbeddingVae, neighbour_embeddings, train_embedding_vae

KNOWN, NEW, WIDTH, DIM = 500, 200, 8, 12
SETTINGS = SynthesisSettings(latent=6, hidden=64)
Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def planted(*, told: bool) -> Arrays:
    """Content, embeddings and events; where content is not `told` of the embedding, it is noise."""
    rng = np.random.default_rng(2)
    content = rng.normal(size=(KNOWN + NEW, WIDTH))
    heard = content if told else rng.normal(size=content.shape)
    straight, bent = rng.normal(size=(2, WIDTH, DIM))
    embeddings = 5 + heard @ straight + 2 * np.tanh(2 * heard @ bent) + 0.3 * rng.normal(size=(KNOWN + NEW, DIM))
    events = rng.integers(1, 60, KNOWN + NEW)
    return content.astype(np.float32), embeddings.astype(np.float32), events.astype(np.float32)


def trained(arrays: Arrays, settings: SynthesisSettings = SETTINGS) -> EmbeddingVae:
    content, embeddings, events = arrays
    return train_embedding_vae(embeddings[:KNOWN], content[:KNOWN], events[:KNOWN], settings, seed=1)


def error(found: NDArray[np.float32], arrays: Arrays) -> float:
    """On new items, over that of the mean embedding."""
    embeddings = arrays[1]
    mean = embeddings[:KNOWN].mean(axis=0)
    return float(((found - embeddings[KNOWN:]) ** 2).mean() / ((mean - embeddings[KNOWN:]) ** 2).mean())


@pytest.fixture(scope="module")
def told() -> Arrays:
    return planted(told=True)


@pytest.fixture(scope="module")
def model(told: Arrays) -> EmbeddingVae:
    return trained(told)


def test_it_recovers_what_content_says_better_than_neighbours_and_a_straight_line(
    told: Arrays, model: EmbeddingVae
) -> None:
    content, embeddings, _ = told
    made = model.generate(content[KNOWN:])
    assert made.shape == (NEW, DIM) and made.dtype == np.float32
    near = neighbour_embeddings(embeddings[:KNOWN], content[:KNOWN], content[KNOWN:], 10)
    flat = np.concatenate([content, np.ones((len(content), 1), np.float32)], axis=1)
    line = flat[KNOWN:] @ np.linalg.lstsq(flat[:KNOWN], embeddings[:KNOWN], rcond=None)[0]
    assert error(made, told) < 0.3
    assert error(made, told) < 0.9 * error(line, told) < error(near, told)
    assert model.epoch > 0 and model.held_out < 0.3


def test_content_that_says_nothing_leaves_about_the_mean() -> None:
    noise = planted(told=False)
    model = trained(noise)
    assert error(model.generate(noise[0][KNOWN:]), noise) < 1.1
    assert len(model.curve) < 300


def test_the_epoch_is_the_best_on_held_out_items(model: EmbeddingVae) -> None:
    assert model.held_out == pytest.approx(min(epoch.held_out for epoch in model.curve))
    assert model.curve[model.epoch - 1].held_out == pytest.approx(model.held_out)


def test_the_kl_is_annealed_and_its_weight_matters(told: Arrays) -> None:
    light, heavy = (
        trained(told, SETTINGS.model_copy(update={"kl_weight": weight, "least_steps": 300})) for weight in (0.01, 30.0)
    )
    assert light.curve[0].kl_weight < light.curve[-1].kl_weight <= 0.01
    assert light.curve[20].kl > 2 * heavy.curve[20].kl
    assert heavy.posterior.collapsed and not light.posterior.collapsed


def test_temperature_draws_around_the_mean_by_seed(told: Arrays, model: EmbeddingVae) -> None:
    content = told[0][KNOWN:]
    mean, again = model.generate(content), model.generate(content)
    one, same = (model.generate(content, temperature=1.0, seed=4) for _ in range(2))
    assert np.array_equal(mean, again) and np.array_equal(one, same)
    assert not np.array_equal(one, mean)
    assert not np.array_equal(one, model.generate(content, temperature=1.0, seed=5))
    far = model.generate(content, temperature=3.0, seed=4)
    assert np.abs(far - mean).mean() > np.abs(one - mean).mean()


def test_much_seen_items_count_more_but_only_by_the_root(told: Arrays) -> None:
    """Two items of one content and opposite embeddings: what is made lies nearer to the one that is seen more."""
    content = np.zeros((200, 2), np.float32)
    embeddings = np.repeat([[1.0], [-1.0]], 100, axis=0).astype(np.float32)
    weights = np.repeat([9.0, 1.0], 100).astype(np.float32)
    settings = SETTINGS.model_copy(update={"least_steps": 400})
    made = train_embedding_vae(embeddings, content, weights, settings, seed=1).generate(content[:1])
    # Weights 3 to 1 put it at one half; 9 to 1 would put it at 0.8, none at 0.
    assert 0.3 < float(made[0, 0]) < 0.7


def test_training_is_the_same_by_seed_and_survives_saving(told: Arrays, tmp_path: Path) -> None:
    short = SETTINGS.model_copy(update={"least_steps": 60})
    one, same = (trained(told, short) for _ in range(2))
    assert one.curve == same.curve
    one.save(tmp_path)
    loaded = EmbeddingVae.load(tmp_path)
    made = one.generate(told[0][KNOWN:])
    assert np.array_equal(made, same.generate(told[0][KNOWN:]))
    assert np.array_equal(made, loaded.generate(told[0][KNOWN:]))
    assert (loaded.curve, loaded.posterior, loaded.epoch) == (one.curve, one.posterior, one.epoch)


def test_arrays_must_fit(told: Arrays, model: EmbeddingVae) -> None:
    with pytest.raises(ValueError, match=r"content must be \(m, 8\)"):
        model.generate(told[0][:, :3])
    with pytest.raises(ValueError, match="got 3, 2, 3"):
        train_embedding_vae(told[1][:3], told[0][:2], told[2][:3], SETTINGS, seed=1)


def test_very_few_items_do() -> None:
    few = np.arange(6, dtype=np.float32).reshape(3, 2)
    settings = SETTINGS.model_copy(update={"least_steps": 5, "epochs": 2})
    made = train_embedding_vae(few, few, np.ones(3, np.float32), settings, seed=1).generate(few)
    assert np.isfinite(made).all()


def test_neighbours_are_averaged() -> None:
    content = np.array([[1, 0], [2, 0.1], [0, 1], [0, 0]], np.float32)
    embeddings = np.array([[2], [4], [100], [50]], np.float32)
    found = neighbour_embeddings(embeddings, content, np.array([[9, 0.2], [0, 3]], np.float32), 2)
    assert found[0].tolist() == [3]
    assert neighbour_embeddings(embeddings, content, content[2:3], 1).tolist() == [[100]]
    assert neighbour_embeddings(embeddings, content, content[:1], 99).tolist() == [[39]]
    with pytest.raises(ValueError, match="no item"):
        neighbour_embeddings(embeddings[:0], content[:0], content, 2)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.synthesis.augment import generator
from fashionrec_assets.synthesis.conditional_vae import RowVae, VaeGenerator
from fashionrec_assets.synthesis.quality import distance_ratio, measure, separability
from fashionrec_assets.synthesis.rows import SyntheticRows
from fashionrec_assets_tests.synthesis.conftest import World


@pytest.fixture(scope="module")
def made(tastes: World, vae: RowVae) -> SyntheticRows:
    return VaeGenerator(vae, tastes.rows, tastes.content).draw(700, temperature=1.0, seed=1)


def test_one_distribution_cannot_be_told_apart_and_two_can() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 800, 4)).astype(np.float32)
    assert separability(one, other, seed=1) == pytest.approx(0.5, abs=0.05)
    assert separability(one, other + 5, seed=1) > 0.99
    # Nothing but how two columns go together differs.
    together = other.copy()
    together[:, 1] = together[:, 0] + 0.3 * together[:, 1]
    assert separability(one, together, seed=1) > 0.7
    assert separability(one, together, seed=1) == separability(one, together, seed=1)


def test_distances_tell_copies_from_rows_like_the_real_ones() -> None:
    rng = np.random.default_rng(1)
    real, like = rng.normal(size=(2, 1000, 3)).astype(np.float32)
    assert distance_ratio(like, real, seed=1) == pytest.approx(1, abs=0.1)
    assert (distance_ratio(np.concatenate([real, real]), real, seed=1) or 0) < 0.7
    assert (distance_ratio(like * 4, real, seed=1) or 0) > 2
    assert distance_ratio(like, np.zeros((10, 3), np.float32), seed=1) is None


def test_sound_rows_have_sound_figures(tastes: World, made: SyntheticRows) -> None:
    found = measure(made, tastes.rows, tastes.content, seed=1)
    assert found.rows == len(made)
    assert found.degree == pytest.approx(len(made) / len(tastes.rows))
    assert found.copies == 0 and found.future_items == 0 and found.future_users == 0
    assert found.items_without_events > 0
    assert abs(found.label_mean - found.real_label_mean) < 0.1
    assert found.auc is not None and found.auc < 0.8
    assert found == measure(made, tastes.rows, tastes.content, seed=1)


def test_rows_that_make_no_sense_are_told_from_real_ones(tastes: World, made: SyntheticRows) -> None:
    """Everybody likes what is of the other taste."""
    against = np.array([np.flatnonzero(tastes.clusters != tastes.tastes[user])[9] for user in made.users], np.int32)
    wrong = replace(made, items=against, labels=np.ones_like(made.labels))
    sound, unsound = (measure(rows, tastes.rows, tastes.content, seed=1).auc for rows in (made, wrong))
    assert unsound is not None and sound is not None
    assert unsound > 0.9 > sound


def test_planted_copies_are_found(tastes: World, made: SyntheticRows) -> None:
    items = made.items.copy()
    items[:70] = tastes.rows.items[made.sources[:70]]
    assert measure(replace(made, items=items), tastes.rows, tastes.content, seed=1).copies == pytest.approx(0.1)
    of_another = made.items.copy()
    of_user = np.flatnonzero(tastes.rows.users == made.users[0])
    of_another[0] = tastes.rows.items[of_user[of_user != made.sources[0]][0]]
    found = measure(replace(made, items=of_another), tastes.rows, tastes.content, seed=1)
    assert found.copies == pytest.approx(1 / len(made))


def test_planted_rows_of_the_future_are_found(tastes: World, made: SyntheticRows) -> None:
    items, users = made.items.copy(), made.users.copy()
    items[3], users[[5, 6]] = tastes.future[0], tastes.log.n_users - 1
    found = measure(replace(made, items=items, users=users), tastes.rows, tastes.content, seed=1)
    assert (found.future_items, found.future_users) == (1, 2)


def test_no_rows_have_figures_too(tastes: World) -> None:
    nothing = generator("random", tastes.log, tastes.rows, tastes.content, tastes.settings, seed=1).draw(
        0, temperature=1.0, seed=1
    )
    found = measure(nothing, tastes.rows, tastes.content, seed=1)
    assert (found.rows, found.degree, found.copies, found.auc, found.distance_ratio) == (0, 0, 0, None, None)

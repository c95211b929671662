"""Retrieval: the best of every source, once each, of what may be shown."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.ranking.candidates import Scores, _mark_best, retrieve
from fashionrec_assets.ranking.knowledge import Knowledge
from fashionrec_assets_tests.ranking.conftest import SETTINGS, USERS, World, unseen

SOMEBODY = np.arange(0, USERS, 7, dtype=np.int32)
STRANGER = np.array([USERS], np.int32)


def found_by(
    known: Knowledge, users: NDArray[np.int32], available: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], Scores]:
    """bool (users, items): the candidates."""
    scores = Scores.of(known, users)
    owner, item = retrieve(known, users, scores, unseen(known, users) if available is None else available, SETTINGS)
    wanted = np.zeros((len(users), known.log.n_items), bool)
    wanted[owner, item] = True
    return wanted, scores


def test_candidates_are_available_sorted_and_named_once(known_with_tower: Knowledge) -> None:
    available = unseen(known_with_tower, SOMEBODY)
    available[:, ::3] = False
    scores = Scores.of(known_with_tower, SOMEBODY)
    owner, item = retrieve(known_with_tower, SOMEBODY, scores, available, SETTINGS)
    assert available[owner, item].all()
    keys = owner * known_with_tower.log.n_items + item
    assert (np.diff(keys) > 0).all()
    assert set(owner.tolist()) == set(range(len(SOMEBODY)))


def best_of(scores: NDArray[np.floating], among: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """The clear best: what beats the first one that is left out, and says anything."""
    ranked = np.where(among, scores, 0)
    left_out = -np.sort(-ranked, axis=1)[:, count : count + 1]
    return ranked > np.maximum(left_out, 0)


def test_the_best_of_every_source_is_in(known_with_tower: Knowledge) -> None:
    known, users = known_with_tower, SOMEBODY
    wanted, scores = found_by(known, users)
    available = unseen(known, users)
    new = available & ~known.warm
    assert scores.tower_users is not None
    assert known.tower is not None
    near = scores.tower_users @ known.tower.vectors.T
    size = SETTINGS.candidates
    sources = {
        "item-kNN": best_of(scores.knn, available, 2 * size),
        "content": best_of(scores.content, available, size),
        "section": best_of(scores.section, available, size),
        "popular": best_of(np.broadcast_to(known.recent[0] + 1e-3 * known.people, available.shape), available, size),
        "new by content": best_of(scores.content, new, SETTINGS.new_candidates),
        "two-tower": best_of(np.exp(near), available, 2 * size),
        "new by two-tower": best_of(np.exp(near), new, SETTINGS.new_candidates),
    }
    for name, best in sources.items():
        assert best.any(), name
        assert (wanted | ~best).all(), name
    assert (sources["new by two-tower"].sum(axis=1) == SETTINGS.new_candidates).all()


def test_the_families_of_what_a_user_has_are_in(known: Knowledge, world: World) -> None:
    wanted, _ = found_by(known, SOMEBODY)
    family = world.features.categories["family_id"]
    for at, user in enumerate(SOMEBODY):
        own = known.matrix[[user]].toarray()[0] > 0
        mine = {name for name in family[own].tolist() if name}
        siblings = np.isin(family, list(mine)) & ~own
        assert siblings.any()
        assert wanted[at, siblings].all()


def test_own_items_come_back_where_they_may_be_shown(known: Knowledge) -> None:
    everything = np.ones((len(SOMEBODY), known.log.n_items), bool)
    wanted, _ = found_by(known, SOMEBODY, everything)
    own = known.matrix[SOMEBODY].toarray() > 0
    assert wanted[own].all()


def test_a_stranger_gets_what_is_popular_and_nothing_of_sources_that_know_nothing(known: Knowledge) -> None:
    wanted, scores = found_by(known, STRANGER)
    for matrix in (scores.knn, scores.content, scores.families, scores.section):
        assert not matrix.any()
    popular = known.recent[0] + 1e-3 * known.people
    assert wanted.sum() == SETTINGS.candidates
    assert popular[wanted[0]].min() >= np.sort(popular)[-SETTINGS.candidates]


def test_without_any_events_there_are_no_candidates(world: World) -> None:
    nothing = world.knowledge(log=world.log.between(None, 0))
    wanted, _ = found_by(nothing, SOMEBODY)
    assert not wanted.any()


def test_no_more_candidates_than_the_sources_may_give(known_with_tower: Knowledge) -> None:
    known = known_with_tower
    wanted, _ = found_by(known, SOMEBODY)
    touched = (known.families.knn.matrix[SOMEBODY].toarray() > 0)[:, known.families.codes]
    rest = wanted & ~touched
    assert rest.sum(axis=1).max() <= (2 + 1 + 1 + 1 + 1 + 2) * SETTINGS.candidates + 2 * SETTINGS.new_candidates
    assert wanted.mean() < 0.7


def test_nothing_that_is_hidden_comes_from_the_index(known_with_tower: Knowledge) -> None:
    few = np.zeros((len(SOMEBODY), known_with_tower.log.n_items), bool)
    few[:, [3, 190]] = True
    wanted, _ = found_by(known_with_tower, SOMEBODY, few)
    assert not wanted[:, ~few[0]].any()
    assert wanted[:, 190].all()  # the new item is among the two best new ones of the two-tower model


@pytest.mark.parametrize("count", [0, 1, 3, 6, 9])
def test_marking_takes_the_best_above_zero(count: int) -> None:
    scores = np.array([[0.5, -1.0, 0.0, 0.9, 0.7, 0.1], [0.0, 0.0, 0.0, 0.0, 0.2, 0.0]])
    wanted = np.zeros(scores.shape, bool)
    _mark_best(wanted, scores, count)
    for row, marks in zip(scores, wanted, strict=True):
        best = [place for place in np.argsort(-row)[:count] if row[place] > 0]
        assert np.flatnonzero(marks).tolist() == sorted(best)

"""Lists of a window, and the recommender over the learned ranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.ranking import late_fusion
from fashionrec_assets.ranking.calibration import ANY
from fashionrec_assets.ranking.features import NAMES, pairs_of
from fashionrec_assets.ranking.knowledge import DAY, Knowledge
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender, lists_of, users_per_block, window_starts
from fashionrec_assets.ranking.lists import Lists, joined
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.training import train_ranker
from fashionrec_assets_tests.ranking.conftest import SETTINGS, USERS, World, unseen

SOME = np.array([3, 4, 11, 50, 51, 52], np.int64)
SIZE = 15


@pytest.fixture(scope="module")
def fusion(ranker: Ranker, known: Knowledge) -> LateFusionRecommender:
    return LateFusionRecommender(ranker, known, SETTINGS)


def own(known: Knowledge, users: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(row) for row in known.matrix[users].toarray()]


def pages(
    fusion: LateFusionRecommender, users: NDArray[np.int64], hidden: Sequence[NDArray[np.int64]], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first `size` candidates of each user, -1 and -inf where there are no more."""
    rows = np.full((len(users), size), -1, np.int64)
    chances = np.full((len(users), size), -np.inf, np.float32)
    done = 0
    for block in fusion.ranked(users, hidden):
        assert np.array_equal(block.users, users[done : done + len(block.users)])
        place = np.arange(len(block.owner)) - np.searchsorted(block.owner, block.owner)
        listed = place < size
        rows[done + block.owner[listed], place[listed]] = block.items[listed]
        chances[done + block.owner[listed], place[listed]] = block.chances[listed]
        done += len(block.users)
    assert done == len(users)
    return rows, chances


def test_labels_are_the_targets_of_the_task(world: World, known: Knowledge, lists: Lists) -> None:
    task = world.task()
    wanted = {
        (int(task.users[row]), int(item)): int(bits)
        for row, item, bits in zip(task.target_rows, task.target_items, task.target_bits, strict=True)
        if task.has_history[row]
    }
    users = lists.people.astype(np.int32)
    assert np.array_equal(lists.people, task.users[task.has_history])
    available = task.pool[None, :] & unseen(known, users)
    pairs = pairs_of(known, users, available, SETTINGS)
    assert np.array_equal(lists.owner, pairs.owner)
    assert np.array_equal(lists.values, pairs.values)
    found = {(int(users[owner]), int(item)) for owner, item in zip(pairs.owner, pairs.items, strict=True)}
    labelled = {
        (int(users[owner]), int(item)): int(bits)
        for owner, item, bits in zip(
            lists.owner[lists.taken], pairs.items[lists.taken], lists.bits[lists.taken], strict=True
        )
    }
    assert labelled == {key: bits for key, bits in wanted.items() if key in found}
    assert len(labelled) > 40
    assert lists.targets.sum() == len(wanted)
    assert not lists.bits[~lists.taken].any()
    assert lists.behaviours == {name: 1 << BEHAVIOURS.index(name) for name in BEHAVIOURS}
    assert np.array_equal(lists.warm, known.warm[pairs.items])


def test_lists_of_one_moment_with_the_knowledge_of_another_are_refused(world: World, known: Knowledge) -> None:
    earlier = ranking_task(world.log, name="earlier", start=world.cut - DAY, end=world.cut)
    with pytest.raises(ValueError, match="another moment"):
        lists_of(earlier, known, SETTINGS)


def test_blocks_change_nothing(world: World, known: Knowledge, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_fusion, "BLOCK_BYTES", 4 * 14 * known.log.n_items * 7)
    assert users_per_block(known.log.n_items) == 7
    steps: list[tuple[int, int]] = []
    small = lists_of(world.task(), known, SETTINGS, progress=lambda done, total: steps.append((done, total)))
    assert np.array_equal(small.owner, lists.owner)
    assert np.array_equal(small.taken, lists.taken)
    assert np.abs(small.values - lists.values).max() < 1e-5
    assert steps[0] == (7, len(lists.people))
    assert steps[-1] == (len(lists.people), len(lists.people))


def test_a_window_without_anybody_adds_nothing(world: World, known: Knowledge, lists: Lists) -> None:
    nobody = ranking_task(world.log.between(None, world.cut), name="n", start=world.cut, end=world.cut + DAY)
    empty = lists_of(nobody, known, SETTINGS)
    assert empty.values.shape == (0, len(NAMES))
    assert len(joined([empty, lists]).owner) == len(lists.owner)


def test_windows_end_at_the_cut_and_leave_a_day_of_history() -> None:
    start = 1_000 * DAY
    log = EventLog.build(["u"], ["i"], [0, 0], [0, 0], [start + 5, start + 9 * DAY + 5], [0, 0])
    end = start + 10 * DAY
    assert window_starts(log, end, DAY, 3) == [end - DAY, end - 2 * DAY, end - 3 * DAY]
    assert window_starts(log, end, 2 * DAY, 1) == [end - 2 * DAY]
    # The first two days of the log are history only; the last window is there in any case.
    assert window_starts(log, end, DAY, 50) == [start + back * DAY for back in range(9, 1, -1)]
    assert window_starts(log, start + DAY, DAY, 3) == [start]


def test_a_ranking_is_ordered_without_repeats_and_without_what_is_hidden(
    fusion: LateFusionRecommender, known: Knowledge
) -> None:
    hidden = own(known, SOME)
    hidden[2] = np.arange(100)
    rows, chances = pages(fusion, SOME, hidden, SIZE)
    assert rows.shape == chances.shape == (len(SOME), SIZE)
    assert (rows >= 0).all()
    for shown, gone in zip(rows, hidden, strict=True):
        assert len(set(shown.tolist())) == SIZE
        assert not np.isin(shown, gone).any()
    scores = fusion.score(SOME.astype(np.int32))
    for at in np.flatnonzero(np.arange(len(SOME)) != 2):
        assert (np.diff(np.round(scores[at, rows[at]], 3)) <= 0).all()
        assert scores[at, rows[at, -1]] >= np.sort(scores[at])[-SIZE] - 1e-3
    assert ((chances > 0) & (chances < 1)).all()
    warm = known.warm[rows]
    for chance, old in zip(chances, warm, strict=True):
        assert (np.diff(chance[old]) <= 1e-6).all()


def test_a_list_ends_where_candidates_do(fusion: LateFusionRecommender) -> None:
    n = fusion.known.log.n_items
    hidden = [np.arange(2, n), np.arange(n)]
    rows, chances = pages(fusion, SOME[:2], hidden, SIZE)
    assert set(rows[0].tolist()) <= {-1, 0, 1}
    assert (rows[1] == -1).all()
    assert ((rows >= 0) == np.isfinite(chances)).all()
    assert (chances[rows < 0] == -np.inf).all()


def test_own_items_may_be_shown_again(fusion: LateFusionRecommender, known: Knowledge) -> None:
    everything_else = [np.setdiff1d(np.arange(known.log.n_items), mine) for mine in own(known, SOME)]
    rows, _ = pages(fusion, SOME, everything_else, 3)
    for shown, mine in zip(rows, own(known, SOME), strict=True):
        assert np.isin(shown, mine).all()


def test_a_users_ranking_does_not_depend_on_who_else_is_asked_for(
    fusion: LateFusionRecommender, known: Knowledge
) -> None:
    users = np.arange(USERS)
    together, chances = pages(fusion, users, own(known, users), SIZE)
    for user in range(0, USERS, 9):
        alone, chance = pages(fusion, users[[user]], own(known, users[[user]]), SIZE)
        assert np.array_equal(alone[0], together[user])
        assert chance[0] == pytest.approx(chances[user], abs=2e-6)
    backwards, _ = pages(fusion, users[::-1], own(known, users)[::-1], SIZE)
    assert np.array_equal(backwards[::-1], together)


def test_what_is_no_candidate_scores_nothing(fusion: LateFusionRecommender, known: Knowledge) -> None:
    users = SOME.astype(np.int32)
    scores = fusion.score(users)
    assert scores.shape == (len(users), known.log.n_items)
    pairs = pairs_of(known, users, unseen(known, users), SETTINGS)
    candidates = np.zeros(scores.shape, bool)
    candidates[pairs.owner, pairs.items] = True
    assert np.array_equal(np.isfinite(scores), candidates)
    assert (scores[~candidates] == -np.inf).all()
    assert not np.isfinite(scores[known.matrix[users].toarray() > 0]).any()
    assert scores[pairs.owner, pairs.items] == pytest.approx(fusion.ranker.scores(pairs.values), abs=1e-5)


def test_it_ranks_what_people_take_above_chance(world: World, known: Knowledge, ranker: Ranker) -> None:
    """Trained on the day before the cut, it finds the items of the user's style on the day after."""
    earlier = ranking_task(world.log, name="earlier", start=world.cut - DAY, end=world.cut)
    before = replace(world, cut=world.cut - DAY).knowledge()
    learned = train_ranker(lists_of(earlier, before, SETTINGS), SETTINGS, seed=1)
    users = np.arange(USERS, dtype=np.int32)
    rows, _ = pages(LateFusionRecommender(learned, known, SETTINGS), users.astype(np.int64), own(known, users), 10)
    in_style = (rows % 5 == users[:, None] % 5).mean()
    assert in_style > 0.6  # one in five by chance


def test_users_without_a_history_get_what_is_popular_with_a_tower_or_without(
    fusion: LateFusionRecommender, ranker: Ranker, known_with_tower: Knowledge
) -> None:
    users = np.array([USERS, 3, USERS + 1], np.int32)
    scores = fusion.score(users)
    assert np.isfinite(scores[[0, 2]]).all()
    assert np.array_equal(scores[0], scores[2])
    newest = fusion.known.recent[0]
    assert newest[np.argmax(scores[0])] > 0
    assert np.array_equal(scores[1], fusion.score(users[1:2])[0])

    with_tower = LateFusionRecommender(ranker, known_with_tower, SETTINGS).score(users)
    assert np.array_equal(with_tower[0], scores[0])


def test_probabilities_are_of_the_candidates_of_known_users(fusion: LateFusionRecommender, known: Knowledge) -> None:
    users = np.array([3, USERS, 4], np.int32)
    pairs, chances = fusion.probabilities(users)
    assert set(pairs.owner.tolist()) == {0, 2}
    assert set(chances) == {ANY, *BEHAVIOURS}
    assert all(len(chance) == len(pairs.items) for chance in chances.values())
    alone = pairs_of(known, users[2:], unseen(known, users[2:]), SETTINGS)
    mine = pairs.owner == 2
    assert np.array_equal(pairs.items[mine], alone.items)
    wanted = fusion.ranker.probabilities(alone.owner, alone.values)[ANY]
    assert chances[ANY][mine] == pytest.approx(wanted, abs=1e-5)

    nothing, no_chances = fusion.probabilities(np.array([USERS], np.int32))
    assert len(nothing.items) == 0
    assert all(len(chance) == 0 for chance in no_chances.values())


def test_asked_for_nobody_it_answers_nothing(fusion: LateFusionRecommender) -> None:
    nobody = np.zeros(0, np.int32)
    assert fusion.score(nobody).shape == (0, fusion.known.log.n_items)
    rows, chances = pages(fusion, nobody.astype(np.int64), [], SIZE)
    assert rows.shape == chances.shape == (0, SIZE)

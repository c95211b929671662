from __future__ import annotations

import numpy as np

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.sequences import (
    first_encounters,
    furthest,
    gap_codes,
    next_wanted,
    serving_batches,
    shuffle_ties,
    training_batches,
)


def log_of(*users: list[tuple[int, int]]) -> EventLog:
    """One list of (item, time) per user, over 9 items; behaviour is item modulo 4."""
    rows = [(u, i, t, i % 4) for u, events in enumerate(users) for i, t in events]
    columns = [list(c) for c in zip(*rows, strict=True)] if rows else [[], [], [], []]
    return EventLog.build([f"u{k}" for k in range(len(users))], [f"i{k}" for k in range(9)], *columns)


def test_gaps_have_a_boundary_at_half_an_hour() -> None:
    codes = gap_codes(np.array([-1, 0, 1_799, 1_800, 10**9]))
    assert codes[0] == 0 and codes[1] == 1
    assert codes[2] < codes[3] < codes[4]


def test_first_encounters() -> None:
    log = log_of([(3, 1), (5, 2), (3, 3)], [(3, 1)])
    assert first_encounters(log).tolist() == [True, True, False, True]


def test_a_training_batch_asks_for_the_next_item_when_it_is_new() -> None:
    log = log_of([(3, 100), (5, 160), (3, 300), (7, 90_000)])
    (batch,) = training_batches(log, history=10, batch_size=4, new_only=True, rng=np.random.default_rng(0))
    assert batch.items.tolist() == [[-1, 3, 5, 3]]
    assert batch.targets.tolist() == [[3, 5, 7, 7]]
    assert batch.gap_before.tolist() == [[0, 0, *gap_codes(np.array([60, 140]))]]
    (batch,) = training_batches(log, history=10, batch_size=4, new_only=False, rng=np.random.default_rng(0))
    assert batch.targets.tolist() == [[3, 5, 3, 7]]


def test_long_histories_are_cut_from_the_newest_and_start_only_once() -> None:
    log = log_of([(k, k) for k in range(5)])
    batches = list(training_batches(log, history=2, batch_size=1, new_only=True, rng=np.random.default_rng(0)))
    seen = sorted((b.items[0].tolist(), b.targets[0].tolist()) for b in batches)
    assert seen == [([-1], [0]), ([-1, 1], [-1, 2]), ([-1, 3], [-1, 4])]


def test_every_new_item_is_a_target_once_unless_it_opens_a_later_window() -> None:
    rng = np.random.default_rng(0)
    log = log_of(*[[(int(i), t) for t, i in enumerate(rng.permutation(9)[:n])] for n in (1, 4, 9, 2)])
    batches = training_batches(log, history=50, batch_size=2, new_only=True, rng=rng)
    targets = np.concatenate([b.targets[b.targets >= 0] for b in batches])
    assert sorted(targets) == sorted(log.items)


def test_sessions_are_counted_and_the_question_has_a_time() -> None:
    log = log_of([(3, 100), (5, 160), (7, 90_000)])
    rng = np.random.default_rng(0)
    (batch,) = training_batches(log, history=10, batch_size=4, new_only=True, rng=rng)
    assert batch.sessions.tolist() == [[-1, 0, 0]]
    assert batch.gap_after.tolist() == [[0, *gap_codes(np.array([60, 89_840]))]]
    assert batch.target_times.tolist() == [[100, 160, 90_000]]
    (batch,) = serving_batches(log, np.array([0]), history=10, batch_size=4, as_of=90_060)
    assert batch.sessions.tolist() == [[-1, 0, 0, 1]]
    assert batch.gap_after.tolist() == [[0, 0, 0, *gap_codes(np.array([60]))]]
    (wide,) = serving_batches(log, np.array([0]), history=10, batch_size=4, session_gap=10**6)
    assert wide.sessions.tolist() == [[-1, 0, 0, 0]]


def test_the_furthest_behaviour_from_an_event_on() -> None:
    columns = [0, 0, 0, 0, 1], [4, 4, 4, 5, 4], [1, 2, 3, 4, 5], [0, 3, 1, 0, 2]
    log = EventLog.build(["a", "b"], [f"i{k}" for k in range(9)], *columns)
    assert furthest(log).tolist() == [3, 3, 1, 0, 2]
    assert len(furthest(log.between(None, 0))) == 0


def test_the_next_wanted_event_is_the_same_users() -> None:
    log = log_of([(k, k) for k in range(4)], [(7, 0), (8, 1)], [(1, 1)])
    wanted = np.array([True, False, True, False, False, True, False])
    assert next_wanted(log, wanted).tolist() == [0, 2, 2, -1, 5, 5, -1]
    assert next_wanted(log, np.zeros(7, bool)).tolist() == [-1] * 7


def test_ties_are_shuffled_and_nothing_else() -> None:
    log = log_of([(i, 10) for i in range(8)] + [(8, 11)])
    shuffled = shuffle_ties(log, np.random.default_rng(1))
    assert shuffled.items.tolist() != log.items.tolist()
    assert shuffled.items[-1] == 8
    assert sorted(zip(shuffled.items, shuffled.behaviours, strict=True)) == sorted(
        zip(log.items, log.behaviours, strict=True)
    )


def test_serving_reads_the_newest_events() -> None:
    log = log_of([(3, 0), (5, 60)], [], [(1, 0), (2, 1), (4, 2)])
    (batch,) = serving_batches(log, np.array([2, 1, 0]), history=2, batch_size=9)
    assert batch.items.tolist() == [[-1, 2, 4], [-1, -1, -1], [-1, 3, 5]]
    assert batch.lengths.tolist() == [2, 0, 2]


def test_an_empty_log_serves_start_tokens() -> None:
    (batch,) = serving_batches(log_of([], []), np.array([0, 1]), history=2, batch_size=9)
    assert batch.items.tolist() == [[-1], [-1]]

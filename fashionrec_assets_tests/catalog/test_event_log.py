"""Samples of a log."""

from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog, sample_people

USERS = 40


@pytest.fixture(scope="module")
def log() -> EventLog:
    """3 to 9 events of each of the users but the first, who has none."""
    rng = np.random.default_rng(4)
    users = np.repeat(np.arange(1, USERS), rng.integers(3, 10, USERS - 1))
    return EventLog.build(
        [f"u{n:02}" for n in range(USERS)],
        [f"i{n:02}" for n in range(20)],
        users.tolist(),
        rng.integers(0, 20, len(users)).tolist(),
        rng.integers(0, 1000, len(users)).tolist(),
        [0] * len(users),
    )


def test_people_are_sampled_whole(log: EventLog) -> None:
    sample = sample_people(log, 10, 10_000, seed=3)
    people = np.unique(sample.users)
    assert len(people) == 10
    assert len(sample) == np.isin(log.users, people).sum()
    assert np.array_equal(sample.users, sample_people(log, 10, 10_000, seed=3).users)
    assert not np.array_equal(people, np.unique(sample_people(log, 10, 10_000, seed=4).users))
    assert np.array_equal(sample.user_ids, log.user_ids)
    assert sample_people(log, 10_000, 10_000, seed=3) is log


def test_people_are_sampled_up_to_a_number_of_events(log: EventLog) -> None:
    sample = sample_people(log, 10_000, 100, seed=3)
    assert 90 < len(sample) <= 100
    # Somebody is taken, however many events that is.
    assert len(np.unique(sample_people(log, 10_000, 1, seed=3).users)) == 1

"""What people of a profile turn to, on logs small enough to count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.ranking.sources.profile_popularity import ProfilePopularity

DAY = 86_400
NOW = 1_000 * DAY
GENDER = np.array(["f"] * 6 + ["m"] * 6 + ["f", "m", "", "x"], np.str_)
STRANGERS = np.array([12, 13, 14, 15], np.int32)


def log_of(choices: list[tuple[int, int, float]]) -> EventLog:
    """(user, item, days before NOW) of 16 users and 4 items."""
    users, items, ago = zip(*choices, strict=True)
    times = [int(NOW - days * DAY) for days in ago]
    return EventLog.build([f"u{at:02}" for at in range(16)], list("abcd"), users, items, times, [0] * len(choices))


@pytest.fixture
def log() -> EventLog:
    """Women turn to a, men to b, everybody to c; d was popular long ago."""
    women = [(user, 0, 0.5) for user in range(6)]
    men = [(user, 1, 0.5) for user in range(6, 12)]
    both = [(user, 2, 0.5) for user in range(0, 12, 2)]
    return log_of([*women, *men, *both, *[(user, 3, 9) for user in range(12)]])


def test_strangers_get_what_people_like_them_turn_to(log: EventLog) -> None:
    scores = ProfilePopularity.fit(log, {"gender": GENDER}, cut=NOW, days=1, shrink=1).score(STRANGERS)
    woman, man, unknown, other = scores
    assert woman[0] > woman[2] > woman[1]
    assert man[1] > man[2] > man[0]
    assert unknown[0] == pytest.approx(unknown[1], abs=1e-5)
    assert np.array_equal(other, unknown)
    # Long ago does not count against lately, whoever asks.
    assert scores.argmin(axis=1)[2:].tolist() == [3, 3]


def test_the_lift_of_a_value_is_its_share_over_everybodys(log: EventLog) -> None:
    fitted = ProfilePopularity.fit(log, {"gender": GENDER}, cut=NOW, days=1, shrink=0)
    # Of 15 choices of women 6 fall on a, of 30 choices in all 6.
    assert np.exp(fitted.lifts["gender"]["f"])[0] == pytest.approx((6 / 15) / (6 / 30), rel=1e-4)
    assert np.exp(fitted.lifts["gender"]["m"])[2] == pytest.approx((3 / 15) / (6 / 30), rel=1e-4)
    assert set(fitted.lifts["gender"]) == {"f", "m"}


def test_few_people_say_little(log: EventLog) -> None:
    weak = ProfilePopularity.fit(log, {"gender": GENDER}, cut=NOW, days=1, shrink=1e6)
    assert np.abs(weak.lifts["gender"]["f"]).max() < 1e-3


def test_a_tireless_person_counts_once(log: EventLog) -> None:
    tireless = log_of([(0, 1, 0.1 + at / 1000) for at in range(50)] + [(1, 0, 0.2), (2, 0, 0.2)])
    scores = ProfilePopularity.fit(tireless, {}, cut=NOW, days=1).score(STRANGERS[:1])[0]
    assert scores[0] > scores[1]


def test_nothing_after_the_cut_counts(log: EventLog) -> None:
    later = replace(log, times=np.where(log.items == 2, NOW + 1, log.times))
    fitted = ProfilePopularity.fit(later, {"gender": GENDER}, cut=NOW, days=1)
    without = ProfilePopularity.fit(log.select(log.items != 2), {"gender": GENDER}, cut=NOW, days=1)
    assert np.array_equal(fitted.score(STRANGERS), without.score(STRANGERS))


def test_an_empty_log_gives_finite_scores(log: EventLog) -> None:
    empty = ProfilePopularity.fit(log.select(np.zeros(len(log), bool)), {"gender": GENDER}, cut=NOW, days=1)
    assert np.isfinite(empty.score(STRANGERS)).all()

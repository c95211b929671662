"""The behaviour log: sessions with an intent, repeated views, and the funnel pv -> fav/cart -> buy.

Belongs here: when users come, what they look at and what they do with it, given `taste`. Does not belong here: file
formats and malformed rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.sample.attributes import DAY, PERIOD_DAYS, PERIOD_END, PERIOD_START, TEST_DAYS
from fashionrec_assets.sample.taste import INTENTS, Taste

BEHAVIOURS = ("pv", "fav", "cart", "buy")
STICKINESS = 0.8
"""Probability that a session goes on with the previous session's intent; otherwise one is drawn afresh."""
MAX_VIEWS = 20
MEAN_VIEWS = 4.6
REVISIT = 0.12
"""Probability that a view after the first looks again at an item of the same session."""
BOTS = 6
BOT_EVENTS = (505, 540)
BOT_SHARE = 0.04
"""Bots are never more than this share of the events; a small shop has fewer of them, or none."""

_HOURS = np.array(
    [8, 4, 2, 1, 1, 2, 6, 12, 18, 22, 26, 30, 34, 30, 26, 26, 28, 32, 38, 46, 54, 52, 36, 18], dtype=np.float64
)
_WEEKDAYS = np.array([0.95, 0.92, 0.95, 1.0, 1.08, 1.2, 1.15])


@dataclass(frozen=True)
class Behaviour:
    """Events in time order as arrays of equal length, and what the simulator knows about users.

    `users`, `items`: rows; `times`: UTC seconds; `kinds`: positions in `BEHAVIOURS`. `bots`: bool (U,).
    `test_intents`: float32 (U, INTENTS), the expected share of the user's sessions in the test period with each intent,
    given the intent of their last session before it. `joined`: int64 (U,), first day of the period a user may come.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[np.int64]
    kinds: NDArray[np.int64]
    bots: NDArray[np.bool_]
    joined: NDArray[np.int64]
    test_intents: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.users)


def simulate(
    taste: Taste,
    events: int,
    rng: np.random.Generator,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Behaviour:
    """At least `events` events (at most 0.1 % and one session more) of every user in `taste` over the period."""
    users, items = len(taste.users), len(taste.items)
    bots, bot_events = _draw_bots(users, items, events, taste, rng)
    people = np.flatnonzero(~bots)
    wanted = events - len(bot_events[0])

    joined = _join_days(users, rng)
    rates = np.exp(rng.normal(0, 1.0, users))
    rates[bots] = 0.0
    sessions = _draw_sessions(people, joined, rates, wanted, rng)
    user, day, start, views = sessions
    intent = _draw_intents(user, taste.intent_shares, rng)

    viewed, appeal = _draw_views(taste, user, day, intent, views, rng, progress)
    flat = _funnel(viewed, appeal, views, start, rng)
    session, item, time, kind = flat

    inside = time < PERIOD_END
    # A little more than wanted: sessions of one user may overlap, and then an event may repeat and is dropped.
    kept = _choose_sessions(user, session[inside], wanted + wanted // 2000 + 8, rng)
    inside &= kept[session]
    log_users = np.concatenate([user[session[inside]], bot_events[0]])
    log_items = np.concatenate([item[inside], bot_events[1]])
    log_times = np.concatenate([time[inside], bot_events[2]])
    log_kinds = np.concatenate([kind[inside], bot_events[3]])
    order = np.lexsort((log_kinds, log_items, log_users, log_times))
    table = np.stack([log_users, log_items, log_times, log_kinds], axis=1)[order]
    fresh = np.ones(len(table), bool)
    fresh[1:] = (table[1:] != table[:-1]).any(axis=1)
    table = table[fresh]
    test_intents = _expected_test_intents(taste, user[kept], day[kept], intent[kept], joined, users)
    return Behaviour(table[:, 0], table[:, 1], table[:, 2], table[:, 3], bots, joined, test_intents)


def _join_days(users: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Most users were there before the period; some join in it, more of them towards its end."""
    joined = np.zeros(users, np.int64)
    order = rng.permutation(users)
    late = round(0.05 * users)
    middle = round(0.20 * users)
    joined[order[:late]] = rng.integers(PERIOD_DAYS - TEST_DAYS, PERIOD_DAYS, late)
    joined[order[late : late + middle]] = rng.integers(1, PERIOD_DAYS - TEST_DAYS, middle)
    return joined


def _draw_bots(
    users: int, items: int, events: int, taste: Taste, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    bots = np.zeros(users, bool)
    count = min(BOTS, int(BOT_SHARE * events) // BOT_EVENTS[1], users // 20)
    chosen = rng.choice(users, size=count, replace=False) if count else np.empty(0, np.int64)
    bots[chosen] = True
    columns: list[list[NDArray[np.int64]]] = [[], [], [], []]
    for bot in chosen:
        day = int(rng.integers(PERIOD_DAYS))
        size = int(rng.integers(*BOT_EVENTS))
        known = np.flatnonzero(np.isfinite(taste.day_bias[day]))
        seconds = np.sort(rng.choice(DAY, size=size, replace=False))
        columns[0].append(np.full(size, bot, np.int64))
        columns[1].append(rng.choice(known, size=size).astype(np.int64))
        columns[2].append((PERIOD_START + day * DAY + seconds).astype(np.int64))
        columns[3].append(np.where(rng.random(size) < 0.97, 0, rng.integers(1, 4, size)).astype(np.int64))
    joined = tuple(np.concatenate(parts) if parts else np.empty(0, np.int64) for parts in columns)
    return bots, (joined[0], joined[1], joined[2], joined[3])


def _draw_sessions(
    people: NDArray[np.int64],
    joined: NDArray[np.int64],
    rates: NDArray[np.float64],
    events: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(user, day, start second, views) of sessions, sorted by user and start; a few more than needed.

    Everyone has one session; the rest go to users by their rate and the days they are there.
    """
    weights = rates[people] * (PERIOD_DAYS - joined[people])
    # A view leads to about 0.3 further events; a tenth is spare, `_choose_sessions` drops it.
    count = max(len(people), int(1.12 * events / (MEAN_VIEWS * 1.25)) + 8)
    extra = rng.choice(people, size=count - len(people), p=weights / weights.sum())
    user = np.sort(np.concatenate([people, extra]))
    day_weights = _WEEKDAYS[np.arange(PERIOD_DAYS) % 7]
    cumulative = np.concatenate([[0.0], np.cumsum(day_weights)])
    low = cumulative[joined[user]]
    position = low + rng.random(len(user)) * (cumulative[-1] - low)
    day = np.minimum(np.searchsorted(cumulative, position, side="right") - 1, PERIOD_DAYS - 1)
    hour = rng.choice(24, size=len(user), p=_HOURS / _HOURS.sum())
    start = PERIOD_START + day * DAY + hour * 3600 + rng.integers(0, 3600, len(user))
    order = np.lexsort((start, user))
    views = np.minimum(rng.geometric(1.0 / MEAN_VIEWS, len(user)), MAX_VIEWS)
    return user[order], day[order].astype(np.int64), start[order].astype(np.int64), views


def _draw_intents(
    user: NDArray[np.int64], intent_shares: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The intent of every session: a chain per user that keeps its state with probability STICKINESS."""
    count = len(user)
    cumulative = np.cumsum(intent_shares[user].astype(np.float64), axis=1)
    drawn = (rng.random(count)[:, None] * cumulative[:, -1:] > cumulative).sum(axis=1)
    first = np.ones(count, bool)
    first[1:] = user[1:] != user[:-1]
    anew = first | (rng.random(count) >= STICKINESS)
    source = np.maximum.accumulate(np.where(anew, np.arange(count), 0))
    return np.minimum(drawn, INTENTS - 1)[source]


def _draw_views(
    taste: Taste,
    user: NDArray[np.int64],
    day: NDArray[np.int64],
    intent: NDArray[np.int64],
    views: NDArray[np.int64],
    rng: np.random.Generator,
    progress: Callable[[int, int], None],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Items viewed in each session, (S, MAX_VIEWS), and how much each appeals, 0 to 1.

    Sampling without replacement by the softmax of the session's log-propensities: the smallest of exponential
    variates over the weights are such a draw, in order.
    """
    count, items = len(user), len(taste.items)
    slots = min(MAX_VIEWS, items)
    viewed = np.zeros((count, MAX_VIEWS), np.int64)
    appeal = np.zeros((count, MAX_VIEWS), np.float32)
    chunk = max(1, 4_000_000 // items)
    by_day = np.argsort(day, kind="stable")
    bounds = np.searchsorted(day[by_day], np.arange(PERIOD_DAYS + 1))
    factors = np.ascontiguousarray(taste.items.T)
    done = 0
    for today in range(PERIOD_DAYS):
        members = by_day[bounds[today] : bounds[today + 1]]
        for at in range(0, len(members), chunk):
            rows = members[at : at + chunk]
            wants = taste.users[user[rows]] + taste.intents[user[rows], intent[rows]]
            scores = wants @ factors
            scores += taste.day_bias[today]
            keys = rng.standard_exponential(scores.shape, dtype=np.float32)
            np.log(np.maximum(keys, 1e-30, out=keys), out=keys)
            keys -= scores
            best = np.argpartition(keys, slots - 1, axis=1)[:, :slots]
            nested = np.argsort(np.take_along_axis(keys, best, axis=1), axis=1, kind="stable")
            best = np.take_along_axis(best, nested, axis=1)
            liking = np.take_along_axis(scores, best, axis=1)
            liking = 1.0 / (1.0 + np.exp(np.clip(scores.max(axis=1, keepdims=True) - liking - 1.6, -30, 30)))
            viewed[rows, :slots] = best
            appeal[rows, :slots] = liking
            done += len(rows)
            progress(done, count)
    again = rng.random((count, MAX_VIEWS)) < REVISIT
    again[:, 0] = False
    beyond = np.arange(MAX_VIEWS)[None] >= slots
    again |= np.broadcast_to(beyond, again.shape)
    earlier = (rng.random((count, MAX_VIEWS)) * np.arange(MAX_VIEWS)).astype(np.int64)
    earlier = np.minimum(earlier, slots - 1)
    source = np.where(again, earlier, np.arange(MAX_VIEWS))
    return np.take_along_axis(viewed, source, axis=1), np.take_along_axis(appeal, source, axis=1)


def _funnel(
    viewed: NDArray[np.int64],
    appeal: NDArray[np.float32],
    views: NDArray[np.int64],
    start: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(session, item, time, kind) of every event, in session order; times rise strictly within a session."""
    happens = np.zeros((*viewed.shape, len(BEHAVIOURS)), bool)
    happens[..., 0] = np.arange(MAX_VIEWS)[None] < views[:, None]
    chance = rng.random((*viewed.shape, 3))
    happens[..., 1] = happens[..., 0] & (chance[..., 0] < 0.02 + 0.13 * appeal)
    happens[..., 2] = happens[..., 0] & (chance[..., 1] < 0.02 + 0.20 * appeal)
    wanted = np.where(happens[..., 2], 0.10 + 0.45 * appeal, 0.004 + 0.02 * appeal)
    happens[..., 3] = happens[..., 0] & (chance[..., 2] < wanted)
    session, slot, kind = np.nonzero(happens)
    mean_gap = np.array([40.0, 6.0, 9.0, 60.0])[kind]
    gap = 1 + np.minimum(rng.exponential(mean_gap), 900).astype(np.int64)
    elapsed = np.cumsum(gap)
    first = np.searchsorted(session, np.arange(len(viewed)))
    elapsed -= elapsed[first][session]
    return session, viewed[session, slot], start[session] + elapsed, kind


def _choose_sessions(
    user: NDArray[np.int64], session: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which sessions stay so that there are `wanted` events and everyone keeps one session."""
    sizes = np.bincount(session, minlength=len(user))
    first = np.ones(len(user), bool)
    first[1:] = user[1:] != user[:-1]
    order = np.lexsort((rng.random(len(user)), ~first))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    kept = np.zeros(len(user), bool)
    kept[order[:enough]] = True
    return kept


def _expected_test_intents(
    taste: Taste,
    user: NDArray[np.int64],
    day: NDArray[np.int64],
    intent: NDArray[np.int64],
    joined: NDArray[np.int64],
    users: int,
) -> NDArray[np.float32]:
    """Mixture over intents for a session in the test period, knowing the chain's state at the cut, not beyond."""
    cut = PERIOD_DAYS - TEST_DAYS
    before = day < cut
    rate = np.bincount(user[before], minlength=users) / np.maximum(cut - joined, 1)
    expected = np.clip(np.rint(rate * TEST_DAYS), 1, 50)
    # Mean of STICKINESS**k over the k-th session of the test period, k = 1 .. expected.
    kept = STICKINESS * (1 - STICKINESS**expected) / ((1 - STICKINESS) * expected)
    last = np.full(users, -1, np.int64)
    last[user[before]] = intent[before]  # sessions are sorted, so the last assignment is the latest session
    mixture = taste.intent_shares.astype(np.float64).copy()
    known = np.flatnonzero(last >= 0)
    mixture[known] *= 1 - kept[known, None]
    mixture[known, last[known]] += kept[known]
    return (mixture / mixture.sum(axis=1, keepdims=True)).astype(np.float32)

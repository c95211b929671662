"""Behaviour as padded sequences: what the user tower reads, for training and for serving.

Belongs here: cutting event logs into windows and mini-batches, gap buckets, training targets. Does not belong here:
the networks, the losses, the loop.

A sequence of n events is n + 1 tokens: a start token, then the events. The output at token p answers "what comes next
after the first p events?".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog

GAP_EDGES: tuple[int, ...] = (1, 10, 60, 300, 1_800, 10_800, 43_200, 86_400, 259_200, 604_800, 2_592_000)
"""Seconds; code 0 means that there is no gap to speak of."""

SESSION_GAP = 1_800
"""Seconds; a longer pause starts a new session, unless the catalog's settings say otherwise."""

GAPS = len(GAP_EDGES) + 2
START_BEHAVIOUR = len(BEHAVIOURS)


def gap_codes(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 + the bucket of every gap; negative gaps mean that there is none and get 0."""
    return np.where(seconds < 0, 0, 1 + np.searchsorted(np.asarray(GAP_EDGES), seconds, side="right")).astype(np.int64)


@dataclass(frozen=True)
class Batch:
    """B sequences of T tokens, padded on the right (causal attention never looks there).

    `users` int64 (B,): rows of the log's users. `items` int64 (B, T): rows of the log's catalog, -1 for the start token
    and padding. `behaviours` int64 (B, T). `gap_before` int64 (B, T): codes of `gap_codes`, since the previous event.
    `gap_after` int64 (B, T): until the token is asked (when its target happens, or, in serving, when the last token is
    asked). `sessions` int64 (B, T): counts the sessions of a sequence, -1 is the start token, which has one of its own.
    `lengths` int64 (B,): events in each sequence, which is also the last token's place. `targets` int64 (B, T): the
    item to come, -1 where there is nothing to learn; `target_times` (UTC seconds) and `reached` (the furthest behaviour
    that the user shows for the target from then on) are 0 there.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    gap_before: NDArray[np.int64]
    gap_after: NDArray[np.int64]
    sessions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.int64]
    target_times: NDArray[np.int64]
    reached: NDArray[np.int64]


def first_encounters(log: EventLog) -> NDArray[np.bool_]:
    """bool (n,): whether an event is its user's first with its item, in the order of the log."""
    order = np.lexsort((np.arange(len(log)), log.items, log.users))
    users, items = log.users[order], log.items[order]
    repeated = np.zeros(len(log), bool)
    repeated[order[1:]] = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    return ~repeated


def furthest(log: EventLog) -> NDArray[np.int8]:
    """int8 (n,): the furthest behaviour that an event's user shows for its item from that event on, in log order."""
    order = np.lexsort((np.arange(len(log)), log.items, log.users))
    pairs = log.users[order].astype(np.int64) * log.n_items + log.items[order]
    # From the end, groups only grow in number: with the number above the behaviour, the running maximum starts anew.
    group = np.cumsum(np.append(0, pairs[::-1][1:] != pairs[::-1][:-1])) if len(log) else pairs
    top = len(BEHAVIOURS)
    running = np.maximum.accumulate(group * top + log.behaviours[order][::-1]) % top
    found = np.zeros(len(log), np.int8)
    found[order[::-1]] = running
    return found


def shuffle_ties(log: EventLog, rng: np.random.Generator) -> EventLog:
    """The same log with events of one user at one time in random order.

    Logs sort ties by item, and a next-item model would learn that order ("the next item has a larger id"), which says
    nothing about what a user wants next. Day-resolution logs consist of little else than ties.
    """
    order = np.lexsort((rng.random(len(log)), log.times, log.users))
    return replace(
        log,
        users=log.users[order],
        items=log.items[order],
        times=log.times[order],
        behaviours=log.behaviours[order],
    )


def training_batches(
    log: EventLog,
    *,
    history: int,
    batch_size: int,
    new_only: bool,
    rng: np.random.Generator,
    session_gap: int = SESSION_GAP,
) -> Iterator[Batch]:
    """One epoch: every user's events in windows of at most `history`, counted from the newest, in random batches.

    With `new_only` an event is a target only where its item is new to the user, the question that evaluation (which
    masks the history) and a homepage ask: what a token learns is the next such event, however many repetitions lie
    before it. The start token learns to predict first events, and so becomes the vector of a user without history.
    """
    log = shuffle_ties(log, rng)
    targets = next_wanted(log, first_encounters(log) if new_only else np.ones(len(log), bool))
    wanted = _Wanted(targets, furthest(log))
    offsets = log.offsets()
    counts = np.diff(offsets)
    windows = -(-counts // history)
    newer = np.arange(int(windows.sum())) - np.repeat(np.cumsum(windows) - windows, windows)
    ends = np.repeat(offsets[1:], windows) - history * newer
    firsts = np.repeat(offsets[:-1], windows)
    starts = np.maximum(ends - history, firsts)
    # Sequences of similar length share a batch, or padding would be most of it.
    order = rng.permutation(len(starts))
    block = batch_size * 32
    batches: list[NDArray[np.int64]] = []
    for at in range(0, len(order), block):
        chunk = order[at : at + block]
        chunk = chunk[np.argsort((ends - starts)[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    for k in rng.permutation(len(batches)):
        rows = batches[k]
        yield _pack(log, starts[rows], ends[rows], firsts[rows], session_gap, wanted=wanted)


def next_wanted(log: EventLog, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64 (n,): for every event, its user's next `wanted` event (it may be the event itself); -1 where none is left.

    A token looks this up for the event that follows it.
    """
    place = np.append(np.flatnonzero(wanted), -1)
    found = place[np.searchsorted(place[:-1], np.arange(len(log)))]
    return np.where((found >= 0) & (log.users[found] == log.users), found, -1)


def serving_batches(
    log: EventLog,
    user_rows: NDArray[np.integer],
    *,
    history: int,
    batch_size: int,
    session_gap: int = SESSION_GAP,
    as_of: int | None = None,
) -> Iterator[Batch]:
    """The newest `history` events of every user in `user_rows`, in that order, without targets.

    `as_of` (UTC seconds): when the last token is asked; None: right after the newest event of the log.
    """
    offsets = log.offsets()
    asked = int(log.times.max(initial=0)) if as_of is None else as_of
    for at in range(0, len(user_rows), batch_size):
        rows = np.asarray(user_rows[at : at + batch_size], np.int64)
        firsts, ends = offsets[rows], offsets[rows + 1]
        batch = _pack(log, np.maximum(ends - history, firsts), ends, firsts, session_gap, as_of=asked)
        yield replace(batch, users=rows)


@dataclass(frozen=True)
class _Wanted:
    """By event of a log: what `next_wanted` and `furthest` gave."""

    following: NDArray[np.int64]
    reached: NDArray[np.int8]


def _pack(
    log: EventLog,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    firsts: NDArray[np.int64],
    session_gap: int,
    *,
    wanted: _Wanted | None = None,
    as_of: int = 0,
) -> Batch:
    """With `wanted`, in training, the last event of a window is only a target."""
    lengths = ends - starts
    place = np.arange(int(lengths.max(initial=0)) + (wanted is None))
    shape = (len(starts), len(place))
    none = np.zeros(shape, np.int64)
    if len(log) == 0:
        return Batch(
            users=np.zeros(len(starts), np.int64),
            items=none - 1,
            behaviours=none + START_BEHAVIOUR,
            gap_before=none,
            gap_after=none,
            sessions=none - 1,
            lengths=lengths,
            targets=none - 1,
            target_times=none,
            reached=none,
        )
    event = starts[:, None] + place - 1  # token p holds event p - 1 of its window; token 0 is the start
    held = (place > 0) & (place <= lengths[:, None])
    safe = np.where(held, event, 0)
    gap = np.where(held & (event > firsts[:, None]), log.times[safe] - log.times[np.maximum(safe - 1, 0)], -1)
    sessions = np.where(place > 0, np.cumsum(gap > session_gap, axis=1), -1)
    if wanted is None:
        target, asked_at, reached = none - 1, np.where(place == lengths[:, None], as_of, -1), none
    else:
        # The start token speaks for a user about whom nothing is known; inside a long history that is not the case.
        asked = (event + 1 < ends[:, None]) & ((place > 0) | (starts == firsts)[:, None])
        found = np.where(asked, wanted.following[np.where(asked, event + 1, 0)], -1)
        target = np.where(found >= 0, log.items[found], -1).astype(np.int64)
        asked_at = np.where(found >= 0, log.times[found], -1)
        reached = np.where(found >= 0, wanted.reached[found], 0).astype(np.int64)
    return Batch(
        users=log.users[np.minimum(starts, len(log) - 1)].astype(np.int64),
        items=np.where(held, log.items[safe], -1).astype(np.int64),
        behaviours=np.where(held, log.behaviours[safe], START_BEHAVIOUR).astype(np.int64),
        gap_before=gap_codes(gap),
        gap_after=gap_codes(np.where(held & (asked_at >= 0), np.maximum(asked_at - log.times[safe], 0), -1)),
        sessions=sessions,
        lengths=lengths,
        targets=target,
        target_times=np.maximum(asked_at, 0) if wanted is not None else none,
        reached=reached,
    )

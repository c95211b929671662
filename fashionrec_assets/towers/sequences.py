"""Behaviour as padded sequences: what the user tower reads, for training and for serving.

Belongs here: cutting event logs into windows and mini-batches, gap buckets, training targets. Does not belong here:
the networks, the losses, the loop.

A sequence of n events is n + 1 tokens: a start token, then the events. The output at token p answers "what comes next
after the first p events?". Each question also says how long after the token it is asked, which is known when
recommendations are made and is the time of the target in training: the next item one minute later (the same intent) and
the next item three days later (the same taste) are different questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog

GAP_EDGES: tuple[int, ...] = (1, 10, 60, 300, 1_800, 10_800, 43_200, 86_400, 259_200, 604_800, 2_592_000)
"""Seconds. Gaps from 1,800 s (half an hour) on are a session boundary; code 0 means no previous event."""

GAPS = len(GAP_EDGES) + 2
START_BEHAVIOUR = len(BEHAVIOURS)


def gap_codes(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 + the bucket of every gap; negative gaps mean that there is none and get 0."""
    return np.where(seconds < 0, 0, 1 + np.searchsorted(np.asarray(GAP_EDGES), seconds, side="right")).astype(np.int64)


@dataclass(frozen=True)
class Batch:
    """B sequences of T tokens, padded on the right (causal attention never looks there).

    `items` int64 (B, T): rows of the log's catalog, -1 for the start token and padding. `behaviours` int64 (B, T).
    `gap_before`, `asked_after` int64 (B, T): codes of `gap_codes`, since the previous event and until the question.
    `lengths` int64 (B,): events in each sequence, which is also the last token's place. `targets` int64 (B, T): an item
    to come, -1 where there is nothing to learn.
    """

    items: NDArray[np.int64]
    behaviours: NDArray[np.int64]
    gap_before: NDArray[np.int64]
    asked_after: NDArray[np.int64]
    lengths: NDArray[np.int64]
    targets: NDArray[np.int64]


def first_encounters(log: EventLog) -> NDArray[np.bool_]:
    """bool (n,): whether an event is its user's first with its item, in the order of the log."""
    order = np.lexsort((np.arange(len(log)), log.items, log.users))
    users, items = log.users[order], log.items[order]
    repeated = np.zeros(len(log), bool)
    repeated[order[1:]] = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
    return ~repeated


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
    log: EventLog, *, history: int, batch_size: int, new_only: bool, horizon: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """One epoch: every user's events in windows of at most `history`, counted from the newest, in random batches.

    With `new_only` an event is a target only where its item is new to the user, the question that evaluation (which
    masks the history) and a homepage ask. A token's target is drawn from the user's next `horizon` such events, because
    recommendations are made for a period and not for the very next click. The start token learns to predict first
    events, and so becomes the vector of a user without history.
    """
    log = shuffle_ties(log, rng)
    targets = draw_targets(log, first_encounters(log) if new_only else np.ones(len(log), bool), horizon, rng)
    offsets = log.offsets()
    counts = np.diff(offsets)
    windows = -(-counts // history)
    ends = np.concatenate([np.arange(c, 0, -history) for c in counts[counts > 0]] or [np.zeros(0, np.int64)])
    ends = ends + np.repeat(offsets[:-1], windows)
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
        yield _pack(log, starts[rows], ends[rows], firsts[rows], targets)


def draw_targets(log: EventLog, wanted: NDArray[np.bool_], horizon: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """int64 (n,): for every event, one of its user's next `horizon` wanted events (itself included), drawn at random.

    -1 where none is left. A token looks this up for the event that follows it.
    """
    place = np.flatnonzero(wanted)
    following = np.searchsorted(place, np.arange(len(log)))  # of the first wanted event at or after each event
    last = np.searchsorted(place, log.offsets()[1:])[log.users]  # one past the user's last wanted event
    choices = np.minimum(last - following, horizon)
    drawn = following + np.floor(rng.random(len(log)) * choices).astype(np.int64)
    return np.where(choices > 0, place[np.minimum(drawn, len(place) - 1)], -1) if len(place) else following - 1


def serving_batches(
    log: EventLog, user_rows: NDArray[np.integer], *, history: int, as_of: int, batch_size: int
) -> Iterator[Batch]:
    """The newest `history` events of every user in `user_rows`, in that order; questions are asked at `as_of`."""
    offsets = log.offsets()
    for at in range(0, len(user_rows), batch_size):
        rows = np.asarray(user_rows[at : at + batch_size], np.int64)
        firsts, ends = offsets[rows], offsets[rows + 1]
        yield _pack(log, np.maximum(ends - history, firsts), ends, firsts, as_of)


def _pack(
    log: EventLog,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    firsts: NDArray[np.int64],
    question: NDArray[np.int64] | int,
) -> Batch:
    """`question`: in training what `draw_targets` gave (the last event is then only a target), else a time."""
    serving = isinstance(question, int)
    lengths = ends - starts
    place = np.arange(int(lengths.max(initial=0)) + serving)
    shape = (len(starts), len(place))
    if len(log) == 0:
        none, zeros = np.full(shape, -1, np.int64), np.zeros(shape, np.int64)
        return Batch(none, zeros + START_BEHAVIOUR, zeros, zeros, lengths, none)
    event = starts[:, None] + place - 1  # token p holds event p - 1 of its window; token 0 is the start
    held = (place > 0) & (place <= lengths[:, None])
    safe = np.where(held, event, 0)
    times = log.times
    before = np.where(held & (event > firsts[:, None]), times[safe] - times[np.maximum(safe - 1, 0)], -1)
    if serving:
        target = np.full(shape, -1)
        asked = np.where(held, question - times[safe], -1)
    else:
        follows = event + 1
        # The start token speaks for a user about whom nothing is known; inside a long history that is not the case.
        known = (follows < ends[:, None]) & ((place > 0) | (starts == firsts)[:, None])
        target = np.where(known, question[np.where(known, follows, 0)], -1)
        asked = np.where(held & (target >= 0), times[target] - times[safe], -1)
    return Batch(
        items=np.where(held, log.items[safe], -1).astype(np.int64),
        behaviours=np.where(held, log.behaviours[safe], START_BEHAVIOUR).astype(np.int64),
        gap_before=gap_codes(before),
        asked_after=gap_codes(asked),
        lengths=lengths,
        targets=np.where(target >= 0, log.items[target], -1).astype(np.int64),
    )

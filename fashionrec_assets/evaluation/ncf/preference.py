"""Mean squared error of the predicted preference: how far a model's probabilities are from what people turned to.

Belongs here: the pairs that preference is asked about, calibration of scores, and the error. Does not belong here:
rankings (`metrics.py`), intervals.

Definition. *Preference* is 1 for an item that the person turns to in the window and 0 else. The pairs are every target
of the people evaluated and, for each person, `OTHERS` items drawn uniformly from the pool without replacement, none of
them a target or in the person's history; they are the same for every model. A score becomes a probability by Platt
scaling (Platt 1999), fitted on pairs of the same kind of people kept back *before* the window, never on the window
itself. MSE is the mean squared error over a person's pairs, then over people. In a slice of items it is over the pairs
with such an item. The line to beat is the error of foretelling, for every pair, the share of wanted items among the
pairs kept back.

The figure depends on how many other items are drawn beside the targets, so it is one to compare models by, on the same
pairs; it is no property of a model alone, and not to be compared with a figure from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.metrics import block_size, scores_of
from fashionrec_assets.evaluation.recommender import Recommender

OTHERS = 4
"""Items that are no targets, for each person."""
_REGULARISATION = 1e4
_TRIES = 64


class CalibrationError(ValueError):
    """There are no pairs to calibrate on, or all of them are of one kind."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of a task: `rows` int64 (p,), positions in its users, ascending; `items` int32 (p,); `wanted` bool (p,)."""

    rows: NDArray[np.int64]
    items: NDArray[np.int32]
    wanted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def weights(self) -> NDArray[np.float64]:
        """Float64 (p,): one over how many pairs the person has, so that every person counts the same."""
        return 1.0 / np.bincount(self.rows)[self.rows] if len(self) else np.zeros(0)


def preference_pairs(task: RankingTask, seed: int, others: int = OTHERS) -> Pairs:
    """The pairs of this module's docstring, the same for the same task and seed.

    A person of whom fewer than `others` items of the pool are unknown gets as many as there are.
    """
    rng = np.random.default_rng([seed, others])
    pool = np.flatnonzero(task.pool).astype(np.int32)
    seen = task.seen
    rows, items = [task.target_rows], [task.target_items]
    for row, user in enumerate(task.users.tolist()):
        targets = task.target_items[task.target_offsets[row] : task.target_offsets[row + 1]]
        barred = np.union1d(seen.indices[seen.indptr[user] : seen.indptr[user + 1]], targets)
        drawn = _drawn(pool, barred, others, rng)
        rows.append(np.full(len(drawn), row, np.int64))
        items.append(drawn)
    of, what = np.concatenate(rows), np.concatenate(items)
    wanted = np.zeros(len(of), bool)
    wanted[: len(task.target_items)] = True
    order = np.argsort(of, kind="stable")
    return Pairs(of[order], what[order].astype(np.int32), wanted[order])


def _drawn(
    pool: NDArray[np.int32], barred: NDArray[np.integer], count: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """At most `count` items of the pool that are not barred, uniformly without replacement."""
    if len(pool) > 8 * (len(barred) + count):
        # Most draws are good: far cheaper than the difference of the two sets in a large catalog.
        tried = pool[rng.integers(len(pool), size=_TRIES * count)]
        _, first = np.unique(tried, return_index=True)
        good = tried[np.sort(first)]
        good = good[~np.isin(good, barred)][:count]
        if len(good) == count:
            return good
    free = np.setdiff1d(pool, barred)
    return rng.choice(free, size=min(count, len(free)), replace=False)


@dataclass(frozen=True)
class PairScores:
    """A recommender that keeps, while a task's users are scored with it, the scores of `pairs`: one pass for both.

    `values` float32 (p,) is whole once every user of the task has been scored.
    """

    inner: Recommender
    task: RankingTask
    pairs: Pairs
    values: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.full(len(self.pairs), np.nan, np.float32))

    @property
    def name(self) -> str:
        return self.inner.name

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        scores = self.inner.score(user_rows)
        if scores.shape == (len(user_rows), self.task.n_items):
            for place, row in enumerate(np.searchsorted(self.task.users, user_rows).tolist()):
                start, stop = np.searchsorted(self.pairs.rows, [row, row + 1])
                self.values[start:stop] = scores[place, self.pairs.items[start:stop]]
        return scores


def pair_scores(task: RankingTask, pairs: Pairs, recommender: Recommender) -> NDArray[np.float32]:
    """The recommender's scores of the pairs, (p,), users in blocks."""
    reader = PairScores(recommender, task, pairs)
    step = block_size(task.n_items)
    for start in range(0, len(task.users), step):
        scores_of(reader, task.users[start : start + step], task.n_items)
    return reader.values


@dataclass(frozen=True)
class Calibration:
    """Probability of preference: the logistic function of slope * (score - centre) / scale + intercept.

    `floor` stands for a score of -inf. `base_rate`: share of wanted items among the pairs it was fitted on, every
    person counting the same.
    """

    slope: float
    intercept: float
    centre: float
    scale: float
    floor: float
    base_rate: float

    def probabilities(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Float64 (p,) in [0, 1]."""
        from scipy.special import expit

        finite = np.where(np.isfinite(scores), scores, self.floor).astype(np.float64)
        return expit(self.slope * (finite - self.centre) / self.scale + self.intercept)


def fit_calibration(scores: NDArray[np.floating], pairs: Pairs) -> Calibration:
    """Platt scaling of the `scores` (p,) of pairs kept back. Raises CalibrationError without pairs of both kinds."""
    from sklearn.linear_model import LogisticRegression

    if not len(pairs) or pairs.wanted.all() or not pairs.wanted.any():
        raise CalibrationError("nobody kept back before the window has both wanted and other items to calibrate on")
    weights = pairs.weights()
    rate = float(np.average(pairs.wanted, weights=weights))
    known = np.isfinite(scores)
    floor = float(scores[known].min()) if known.any() else 0.0
    finite = np.where(known, scores, floor).astype(np.float64)
    centre, scale = float(finite.mean()), float(finite.std())
    if scale <= 1e-12:
        return Calibration(0.0, float(np.log(rate / (1 - rate))), centre, 1.0, floor, rate)
    inputs = ((finite - centre) / scale)[:, None]
    fitted = LogisticRegression(C=_REGULARISATION, max_iter=1_000).fit(inputs, pairs.wanted, sample_weight=weights)
    return Calibration(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]), centre, scale, floor, rate)


def calibrate(kept_back: RankingTask, recommender: Recommender, *, before: int, seed: int) -> Calibration:
    """The calibration of a recommender that scores the people kept back, whose own window must end by `before`.

    Raises ValueError if it does not, since that would be calibrating on the window that is measured, and
    CalibrationError without pairs.
    """
    if kept_back.end > before:
        raise ValueError(f"people kept back end at {kept_back.end}, inside the window that begins at {before}")
    pairs = preference_pairs(kept_back, seed)
    return fit_calibration(pair_scores(kept_back, pairs, recommender), pairs)


def squared_errors(
    pairs: Pairs, foretold: NDArray[np.floating] | float, people: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The mean squared error of each of the `people` (u,) with a pair among `chosen` (p,), in the task's order."""
    used = chosen & people[pairs.rows]
    errors = (np.broadcast_to(foretold, len(pairs)) - pairs.wanted) ** 2
    counts = np.bincount(pairs.rows[used], minlength=len(people))
    sums = np.bincount(pairs.rows[used], weights=errors[used], minlength=len(people))
    return sums[counts > 0] / counts[counts > 0]

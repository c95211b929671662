"""Trade-off curves: the lists of a dial at each of its values, and what they are worth user by user.

Belongs here: making lists at every value of a dial and measuring them. Does not belong here: gathering what they are
made from (`inputs.py`), intervals and judgement (`report.py`), wording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.metrics import coverage, find_hits, novelty, slice_metrics
from fashionrec_assets.recommendations.diversity import intra_list_diversity, mmr, places
from fashionrec_assets.recommendations.styles.picks import Pool, pick
from fashionrec_assets.settings import StyleSettings

VALUES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 1.0)
"""The values of a dial that are measured, beside the one in force."""


_COMPONENTS = 64


@dataclass(frozen=True)
class Scored:
    """The candidates of the users to be measured: p pairs of `owner` (a position in the task's users, ascending) and
    `items`, with the `scores` they are ordered by and their calibrated `chances`."""

    owner: NDArray[np.int64]
    items: NDArray[np.int64]
    scores: NDArray[np.float64]
    chances: NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A dial. `at` (d,): its values, rising, with `in_force` among them. `values`: metric -> float64 (d, u), of the
    same u users at each value. `whole`: metric -> (d,) figures of all lists together. `k`: length of the lists."""

    dial: str
    at: tuple[float, ...]
    in_force: float
    k: int
    values: Mapping[str, NDArray[np.float64]]
    whole: Mapping[str, NDArray[np.float64]]


def values_of(in_force: float) -> tuple[float, ...]:
    """The values to measure: `VALUES` and the one in force, rising."""
    return tuple(sorted({*VALUES, in_force}))


def diversity_curve(task: RankingTask, scored: Scored, content: NDArray[np.float32], in_force: float, k: int) -> Curve:
    """The lists of MMR at each weight of diversity. `content` (n_items, d): by which items are alike.

    Lists are chosen by the cosines of the content's `_COMPONENTS` principal axes, which a choice made many times over
    reads faster, and measured by those of the content itself.

    Per user: `ndcg`, `chance` (mean calibrated chance of the items listed) and `diversity` (intra-list); `coverage` of
    all lists. Users with fewer than two candidates are left out.
    """
    at = values_of(in_force)
    axes = principal_axes(content, _COMPONENTS)

    def lists_at(weight: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows = mmr(scored.owner, scored.items, scored.scores, axes, k, weight)
        return rows, places(scored.owner[rows])

    def extra(rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        owner, items = scored.owner[rows], scored.items[rows]
        found = np.full(len(task.users), np.nan)
        found[np.unique(owner)] = intra_list_diversity(owner, items, content)
        return {"diversity": found, "chance": _mean(owner, scored.chances[rows], len(task.users))}

    return _curve(
        task, "diversity", at, in_force, k, lists_at, lambda rows: (scored.owner[rows], scored.items[rows]), extra
    )


def principal_axes(content: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """`content` (n, d) in its `count` principal axes about zero: float32 (n, count), whose products are nearly those
    of the rows themselves; the rows as they are where d is no larger."""
    if content.shape[1] <= count:
        return content
    wide = content.astype(np.float64)
    values, axes = np.linalg.eigh(wide.T @ wide)
    return (wide @ axes[:, np.argsort(-values)[:count]]).astype(np.float32)


def exploration_curve(
    task: RankingTask,
    rows_of: NDArray[np.int64],
    pool: Pool,
    scored: Scored,
    settings: StyleSettings,
) -> Curve:
    """The picks at each value of the exploration dial, of unexplored styles only.

    `rows_of` (o,): the position in the task's users of each owner of the pool. Per user: `ndcg` and `recall`, `chance`
    (the ranker's mean calibrated chance of the picks, 0 for what is none of its candidates), `relevance` (mean, as in
    `style_picks`), `style_novelty`, and `novelty` (self-information); `coverage` of all lists. Only users with a full
    list at every value are measured, so that all points are of the same people.
    """
    at = values_of(settings.exploration)
    owner = rows_of[pool.owner]
    keys = scored.owner * np.int64(task.n_items) + scored.items
    order = np.argsort(keys, kind="stable")
    wanted = owner * np.int64(task.n_items) + pool.items
    place = np.minimum(np.searchsorted(keys[order], wanted), max(len(keys) - 1, 0))
    known = keys[order][place] == wanted if len(keys) else np.zeros(len(wanted), bool)
    chances = np.where(known, scored.chances[order][place], 0.0) if len(keys) else np.zeros(len(wanted))
    n = len(task.users)

    def lists_at(dial: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        chosen = pick(pool, settings, dial)
        return chosen.rows, chosen.rank - 1

    def extra(rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        full = np.bincount(owner[rows], minlength=n) == settings.picks
        found = {
            "chance": _mean(owner[rows], chances[rows], n),
            "relevance": _mean(owner[rows], pool.relevance[rows], n),
            "style_novelty": _mean(owner[rows], pool.novelty[rows], n),
        }
        return {name: np.where(full, one, np.nan) for name, one in found.items()}

    return _curve(
        task,
        "exploration",
        at,
        settings.exploration,
        settings.picks,
        lists_at,
        lambda rows: (owner[rows], pool.items[rows]),
        extra,
    )


def _curve(
    task: RankingTask,
    dial: str,
    at: Sequence[float],
    in_force: float,
    k: int,
    lists_at: Callable[[float], tuple[NDArray[np.int64], NDArray[np.int64]]],
    pairs: Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]],
    extra: Callable[[NDArray[np.int64]], dict[str, NDArray[np.float64]]],
) -> Curve:
    """Measures the lists at every value; users for whom a figure is missing at one are left out at all."""
    points: list[dict[str, NDArray[np.float64]]] = []
    shares: list[float] = []
    for value in at:
        rows, rank = lists_at(value)
        owner, items = pairs(rows)
        lists = np.full((len(task.users), k), -1, np.int32)
        lists[owner, rank] = items
        found = slice_metrics(task, find_hits(task, lists), "overall", [k])
        point = extra(rows)
        for metric in ("ndcg", "recall"):
            point[metric] = np.full(len(task.users), np.nan)
            point[metric][found.rows] = found.values[metric, k]
        point["novelty"] = novelty(task, lists, k)
        points.append(point)
        shares.append(coverage(task, lists, k))
    names = list(points[0])
    stacked = {name: np.stack([point[name] for point in points]) for name in names}
    there = np.logical_and.reduce([np.isfinite(one).all(axis=0) for one in stacked.values()])
    values = {name: one[:, there] for name, one in stacked.items()}
    return Curve(dial, tuple(at), in_force, k, values, {"coverage": np.asarray(shares)})


def _mean(owner: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """The mean of each owner's values, float64 (n,); NaN for an owner without."""
    counts = np.bincount(owner, minlength=n)
    sums = np.bincount(owner, weights=values, minlength=n)
    return np.divide(sums, counts, out=np.full(n, np.nan), where=counts > 0)

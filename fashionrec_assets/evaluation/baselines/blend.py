"""The tuned linear blend: a weighted sum of z-scored methods, the simplest late fusion there is.

Belongs here: the blend and the grid search of its weights on a validation task. Does not belong here: its parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.metrics import (
    Progress,
    block_size,
    find_hits,
    mask_unavailable,
    slice_metrics,
    top_k,
)

ScoreFunction = Callable[[NDArray[np.int32]], NDArray[np.float32]]

GRID: tuple[tuple[float, ...], ...] = ((0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0), (1.0,), (0.0, 0.1, 0.2, 0.4, 0.8))
"""Candidate weights of item-kNN, TF-IDF content and recent popularity; only their ratios matter, so one is fixed."""


def _no_progress(done: int, total: int) -> None:
    return None


def z_scores(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row less its mean, over its standard deviation; a constant row becomes zeros. A new array."""
    centred = scores - scores.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    spread = centred.std(axis=1, keepdims=True)
    # A constant row has nothing to say, and rounding must not give it a voice.
    spread[spread <= 1e-12] = np.inf
    return np.divide(centred, spread, dtype=np.float32)


@dataclass(frozen=True)
class Blend:
    """`weights[p]` times the z-scores of `parts[p]`, summed. Parts must give finite scores."""

    parts: tuple[ScoreFunction, ...]
    weights: tuple[float, ...]
    name: str = "blend"

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        total: NDArray[np.float32] | None = None
        for part, weight in zip(self.parts, self.weights, strict=True):
            if weight:
                term = z_scores(part(user_rows))
                term *= np.float32(weight)
                total = term if total is None else np.add(total, term, out=total)
        if total is None:
            raise ValueError("a blend needs at least one weight other than zero")
        return total


@dataclass(frozen=True)
class Trial:
    """Weights and the NDCG they reached on the validation task."""

    weights: tuple[float, ...]
    ndcg: float


def tune_blend(
    task: RankingTask,
    parts: Sequence[ScoreFunction],
    grid: Sequence[Sequence[float]] = GRID,
    *,
    k: int = 20,
    block: int | None = None,
    progress: Progress = _no_progress,
) -> tuple[tuple[float, ...], list[Trial]]:
    """The weights with the best NDCG@k for users with a history, and every trial. Ties go to the earlier weights.

    Each part scores every user once. Raises ValueError if the task has no users with a history to tune on.
    """
    candidates = [weights for weights in itertools.product(*grid) if any(weights)]
    known = task.has_history
    if not known.any():
        raise ValueError(f"the {task.name} task has no user with a history: the blend cannot be tuned on it")
    lists = np.full((len(candidates), len(task.users), k), -1, dtype=np.int32)
    rows = np.flatnonzero(known)
    step = block or block_size(task.n_items)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        users = task.users[chosen]
        terms = [z_scores(part(users)) for part in parts]
        unavailable = mask_unavailable(task, users, np.zeros_like(terms[0]))
        for position, weights in enumerate(candidates):
            total = unavailable.copy()
            for term, weight in zip(terms, weights, strict=True):
                if weight:
                    total += term * np.float32(weight)
            lists[position, chosen] = top_k(total, k)
        progress(min(start + step, len(rows)), len(rows))
    trials = []
    for weights, ranked in zip(candidates, lists, strict=True):
        figures = slice_metrics(task, find_hits(task, ranked), "overall", [k])
        trials.append(Trial(weights, float(figures.values["ndcg", k].mean())))
    best = max(trials, key=lambda trial: trial.ndcg)
    return best.weights, trials

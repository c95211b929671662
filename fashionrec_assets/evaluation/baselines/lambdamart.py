"""LambdaMART: a learned order of what simple methods propose, the strongest peer without a neural network.

Candidates are the best of item-kNN, TF-IDF content and recent popularity; LightGBM's LambdaMART (Burges 2010) orders
them by the scores and ranks those methods gave, popularity over two windows, and how much is known of the person. It
learns from the validation window, from features of the history before it, and is applied to the test window with
features of the history before that: it never sees scores of purchases that its sources were fitted on.

Belongs here: this one baseline. Does not belong here: its sources. LightGBM is an optional dependency (the extra
`lambdamart`), imported inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.metrics import mask_unavailable, top_k

if TYPE_CHECKING:
    import lightgbm

ScoreFunction = Callable[[NDArray[np.int32]], NDArray[np.float32]]

PARAMETERS: dict[str, Any] = {
    "objective": "lambdarank",
    "num_leaves": 7,
    "learning_rate": 0.05,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "lambdarank_truncation_level": 40,
    "max_bin": 127,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
}
ROUNDS = 100
"""Small trees and few of them, chosen by cross-validation on a validation window of a thousand people: larger ones
learn those people by heart."""
_DAY = 86_400
_USERS_AT_ONCE = 256


class LightGBMUnavailableError(RuntimeError):
    """LightGBM, or a library it needs, is not installed; the message says what to do."""


class NothingToLearnError(ValueError):
    """Nobody in the validation window chose anything that the sources propose."""


def load_lightgbm() -> Any:
    """The library. Raises LightGBMUnavailableError where it, or the OpenMP runtime it needs, is missing."""
    try:
        import lightgbm
    except ImportError as error:
        remedy = "pip install 'fashionrec_assets[lambdamart]'"
        raise LightGBMUnavailableError(f"LightGBM is not installed: {remedy}") from error
    except OSError as error:
        raise LightGBMUnavailableError(
            f"LightGBM cannot be loaded ({error}): install the OpenMP runtime, on Debian `apt-get install libgomp1`"
        ) from error
    return lightgbm


@dataclass(frozen=True)
class Source:
    """A method fitted on a history: its scores (users, n_items), and how many of its best become candidates."""

    name: str
    score: ScoreFunction
    best: int


@dataclass(frozen=True)
class Candidates:
    """Pairs of user and item to be ordered: `rows` int64 (c,), ascending positions in the users that were asked for,
    `items` int32 (c,), ascending within a user, and `features` float32 (c, f)."""

    rows: NDArray[np.int64]
    items: NDArray[np.int32]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class CandidateFeatures:
    """The candidates of a task and what is known of them, all of it from the task's history."""

    task: RankingTask
    sources: tuple[Source, ...]
    columns: NDArray[np.float32]
    """float32 (n_items, 4): log popularity of the whole history and of its last day, days since the first event (-1
    for cold items), and the last day's share of the popularity."""

    @classmethod
    def of(cls, task: RankingTask, sources: tuple[Source, ...]) -> CandidateFeatures:
        return cls(task, sources, _item_columns(task.history, task.start))

    def of_users(self, users: NDArray[np.int32]) -> Candidates:
        """The candidates of some users, in blocks that bound memory."""
        parts = list(self._blocks(users))
        if not parts:
            empty = np.zeros(0, np.int64)
            return Candidates(empty, empty.astype(np.int32), np.zeros((0, 0), np.float32))
        return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _blocks(
        self, users: NDArray[np.int32]
    ) -> Generator[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]]:
        counts = np.bincount(self.task.history.users, minlength=self.task.history.n_users)
        for start in range(0, len(users), _USERS_AT_ONCE):
            block = users[start : start + _USERS_AT_ONCE]
            proposed = np.zeros((len(block), self.task.n_items), bool)
            given: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
            for source in self.sources:
                scores = mask_unavailable(self.task, block, np.asarray(source.score(block), np.float32))
                best = top_k(scores, min(source.best, self.task.n_items))
                rows, places = np.nonzero(best >= 0)
                proposed[rows, best[rows, places]] = True
                rank = np.full(scores.shape, best.shape[1], np.float32)
                rank[rows, best[rows, places]] = places
                given.append((scores, np.log1p(rank)))
            rows, items = np.nonzero(proposed)
            known = np.log1p(counts[block])[rows].astype(np.float32)
            own = [column[rows, items] for pair in given for column in pair]
            features = np.column_stack([*own, self.columns[items], known]).astype(np.float32)
            yield rows + start, items.astype(np.int32), features


def _item_columns(history: EventLog, cut: int) -> NDArray[np.float32]:
    counts = np.bincount(history.items, minlength=history.n_items)
    recent = np.bincount(history.between(cut - _DAY, cut).items, minlength=history.n_items)
    first = np.full(history.n_items, cut, np.int64)
    np.minimum.at(first, history.items, history.times)
    age = np.where(counts > 0, (cut - first) / _DAY, -1.0)
    return np.column_stack([np.log1p(counts), np.log1p(recent), age, recent / np.maximum(counts, 1)]).astype(np.float32)


@dataclass(frozen=True)
class LambdaMart:
    """`booster` orders the candidates of `features`; what is no candidate follows by `fallback`, float32 (n_items,)."""

    booster: lightgbm.Booster
    features: CandidateFeatures
    fallback: NDArray[np.float32]
    name: str = "lambdamart"

    @classmethod
    def fit(
        cls, validation: CandidateFeatures, test: CandidateFeatures, fallback: NDArray[np.float32], *, seed: int = 0
    ) -> LambdaMart:
        """Learns from the validation task's people with a history who have a target among their candidates.

        Raises LightGBMUnavailableError, NothingToLearnError if there is nobody to learn from.
        """
        library = load_lightgbm()
        task = validation.task
        known = np.flatnonzero(task.has_history)
        found = validation.of_users(task.users[known])
        wanted = task.target_rows * np.int64(task.n_items) + task.target_items
        label = np.isin(known[found.rows] * np.int64(task.n_items) + found.items, wanted)
        answered = np.bincount(found.rows, weights=label, minlength=len(known)) > 0
        if not answered.any():
            raise NothingToLearnError("nobody in the validation window chose what its sources propose")
        kept = answered[found.rows]
        groups = np.bincount(found.rows[kept], minlength=len(known))
        data = library.Dataset(
            found.features[kept], label[kept].astype(np.int32), group=groups[groups > 0], free_raw_data=True
        )
        booster = library.train({**PARAMETERS, "seed": seed}, data, ROUNDS)
        return cls(booster, test, fallback.astype(np.float32))

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores (len(user_rows), n_items); people without a history get the fallback."""
        lowest = self.fallback - (self.fallback.max(initial=0.0) + np.float32(1))
        scores = np.broadcast_to(lowest, (len(user_rows), len(lowest))).copy()
        history = self.features.task.history
        known = np.isin(user_rows, history.users)
        found = self.features.of_users(user_rows[known])
        if len(found.rows):
            given = np.asarray(self.booster.predict(found.features, num_threads=1), np.float32)
            # All candidates stand above everything else, whatever the sign of the learned score.
            scores[np.flatnonzero(known)[found.rows], found.items] = given - given.min() + np.float32(1)
        return scores

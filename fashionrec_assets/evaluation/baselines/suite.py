"""All baselines fitted for one report, and the blend tuned the way a model would have to be: on validation.

Belongs here: which baselines stand in every report, with the words that introduce them. Does not belong here: the
methods themselves, measurement.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fashionrec_assets.evaluation.baselines.blend import Blend, Trial, tune_blend
from fashionrec_assets.evaluation.baselines.ease import Ease, TooManyItemsError
from fashionrec_assets.evaluation.baselines.interactions import BEHAVIOUR_WEIGHTS
from fashionrec_assets.evaluation.baselines.item_knn import ItemKnn
from fashionrec_assets.evaluation.baselines.popularity import Popularity
from fashionrec_assets.evaluation.baselines.random import Random
from fashionrec_assets.evaluation.baselines.tfidf import TfIdf, text_features
from fashionrec_assets.evaluation.protocol import RankingTask
from fashionrec_assets.evaluation.recommender import Entrant
from fashionrec_assets.settings import EvaluationSettings

DEFAULT_WEIGHTS: tuple[float, float, float] = (0.5, 1.0, 0.2)
"""The blend's weights where the validation task has nobody to tune on."""

_MANY_ITEMS = 50_000
_NEIGHBOURS_OF_MANY = 300

Step = Callable[[int, int], None]
R = TypeVar("R")


@dataclass(frozen=True)
class Baselines:
    """`entrants` fitted on the test task's history; how the blend was chosen; what was left out, in words."""

    entrants: tuple[Entrant, ...]
    blend_weights: tuple[float, ...]
    blend_trials: tuple[Trial, ...]
    notes: tuple[str, ...]


def _no_progress(done: int, total: int) -> None:
    return None


def _timed(fit: Callable[[], R]) -> tuple[R, float]:
    start = time.perf_counter()
    fitted = fit()
    return fitted, time.perf_counter() - start


def fit_baselines(
    validation: RankingTask,
    test: RankingTask,
    texts: Sequence[str],
    settings: EvaluationSettings,
    *,
    seed: int = 0,
    behaviour_weights: Mapping[str, float] = BEHAVIOUR_WEIGHTS,
    progress: Step = _no_progress,
) -> Baselines:
    """Every baseline, fitted on `test.history`; the blend's weights chosen on `validation`.

    `texts`: one string per item in the order of the log, all of its descriptive fields joined by spaces. Raises
    ValueError if there are not as many texts as items.
    """
    if len(texts) != test.n_items:
        raise ValueError(f"there are {len(texts)} texts for {test.n_items} items")
    # Loading a library is no part of what a method costs to fit.
    importlib.import_module("sklearn.feature_extraction.text")
    steps = 6
    notes: list[str] = []
    history = test.history
    neighbours = settings.knn_neighbours
    if neighbours is None and test.n_items > _MANY_ITEMS:
        neighbours = _NEIGHBOURS_OF_MANY
        notes.append(
            f"item-kNN keeps {neighbours} neighbours per item: the catalog has more than {_MANY_ITEMS:,} items"
        )

    def fit_knn(task: RankingTask) -> ItemKnn:
        return ItemKnn.fit(
            task.history,
            exponent=settings.knn_exponent,
            shrink=settings.knn_shrink,
            neighbours=neighbours,
            weights=behaviour_weights,
        )

    def fit_recent(task: RankingTask) -> Popularity:
        return Popularity.fit_recent(task.history, cut=task.start, days=settings.recent_days, weights=behaviour_weights)

    popularity, popularity_seconds = _timed(lambda: Popularity.fit(history, behaviour_weights))
    recent, recent_seconds = _timed(lambda: fit_recent(test))
    progress(1, steps)
    knn, knn_seconds = _timed(lambda: fit_knn(test))
    progress(2, steps)
    features, features_seconds = _timed(lambda: text_features(texts))
    tfidf, tfidf_seconds = _timed(lambda: TfIdf.fit(history, features))
    progress(3, steps)

    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    trials: list[Trial] = []
    tuning_seconds = 0.0
    if validation.has_history.any():
        start = time.perf_counter()
        parts = (
            fit_knn(validation).evidence,
            TfIdf.fit(validation.history, features).evidence,
            fit_recent(validation).score,
        )
        weights, trials = tune_blend(validation, parts, k=max(settings.k))
        tuning_seconds = time.perf_counter() - start
    else:
        notes.append(
            "the blend keeps its default weights: nobody with a history has a new item in the validation window"
        )
    progress(4, steps)
    blend = Blend((knn.evidence, tfidf.evidence, recent.score), weights)

    entrants = [
        Entrant(Random(test.n_items, seed), 0.0, "Random", "A random order for each person: the floor."),
        Entrant(popularity, popularity_seconds, "Popularity", "What most people touched, the same list for everybody."),
        Entrant(
            recent,
            recent_seconds,
            "Recent popularity",
            f"The same over the last {settings.recent_days} days before the cut.",
        ),
        Entrant(knn, knn_seconds, "Item-kNN", "What people who touched your items also touched. Blind to new items."),
    ]
    try:
        ease, ease_seconds = _timed(
            lambda: Ease.fit(
                history,
                regularisation=settings.ease_regularisation,
                max_items=settings.ease_max_items,
                behaviour_weights=behaviour_weights,
            )
        )
    except TooManyItemsError as error:
        notes.append(f"EASE was left out: {error}")
    else:
        entrants.append(
            Entrant(ease, ease_seconds, "EASE", "A linear model that predicts each item from all others (Steck 2019).")
        )
    progress(5, steps)
    names = ("item-kNN", "TF-IDF content", "recent popularity")
    recipe = " + ".join(f"{weight:g} × {name}" for weight, name in zip(weights, names, strict=True))
    chosen = "chosen on the validation days" if trials else "defaults"
    entrants += [
        Entrant(
            tfidf,
            features_seconds + tfidf_seconds,
            "TF-IDF content",
            "Items whose text resembles the text of something you touched. Knows new items.",
        ),
        Entrant(
            blend,
            knn_seconds + features_seconds + tfidf_seconds + recent_seconds + tuning_seconds,
            "Tuned blend",
            f"{recipe}, z-scored; weights {chosen}. The bar a model has to clear.",
        ),
    ]
    progress(steps, steps)
    return Baselines(tuple(entrants), weights, tuple(trials), tuple(notes))

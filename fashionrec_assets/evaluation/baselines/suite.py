"""All baselines fitted for one report, and the blend tuned the way a model would have to be: on validation.

Belongs here: which baselines stand in every report, with the words that introduce them. Does not belong here: the
methods themselves, measurement.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.evaluation.baselines.blend import Blend, ScoreFunction, Trial, tune_blend
from fashionrec_assets.evaluation.baselines.ease import Ease, TooManyItemsError
from fashionrec_assets.evaluation.baselines.lambdamart import (
    CandidateFeatures,
    LambdaMart,
    LightGBMUnavailableError,
    NothingToLearnError,
    Source,
)
from fashionrec_assets.evaluation.baselines.random import Random
from fashionrec_assets.evaluation.cost import Cost, costing
from fashionrec_assets.evaluation.recommender import Entrant, Recommender
from fashionrec_assets.ranking.sources.interactions import BEHAVIOUR_WEIGHTS
from fashionrec_assets.ranking.sources.item_knn import MANY_ITEMS, ItemKnn, neighbours_for
from fashionrec_assets.ranking.sources.popularity import Popularity
from fashionrec_assets.ranking.sources.tfidf import TfIdf, text_features
from fashionrec_assets.settings import EvaluationSettings

DEFAULT_WEIGHTS: tuple[float, float, float] = (0.5, 1.0, 0.2)
"""The blend's weights where the validation task has nobody to tune on."""

_CANDIDATES = (200, 100, 100)
"""How many of item-kNN, TF-IDF content and recent popularity LambdaMART orders."""
_STEPS = 6

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Baselines:
    """`entrants` fitted on the test task's history; how the blend was chosen; what was left out, in words."""

    entrants: tuple[Entrant, ...]
    blend_weights: tuple[float, ...]
    blend_trials: tuple[Trial, ...]
    notes: tuple[str, ...]


def _no_progress(done: int, total: int) -> None:
    return None


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
    notes: list[str] = []
    history = test.history
    neighbours = neighbours_for(test.n_items, settings.knn_neighbours)
    if neighbours != settings.knn_neighbours:
        notes.append(f"item-kNN keeps {neighbours} neighbours per item: the catalog has more than {MANY_ITEMS:,} items")

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

    popularity = costing(lambda: Popularity.fit(history, behaviour_weights))
    recent = costing(lambda: fit_recent(test))
    progress(1, _STEPS)
    knn = costing(lambda: fit_knn(test))
    progress(2, _STEPS)
    features = costing(lambda: text_features(texts))
    tfidf = costing(lambda: TfIdf.fit(history, features.result))
    progress(3, _STEPS)
    parts = _Parts(knn.result, tfidf.result, recent.result)
    spent = [knn, features, tfidf, recent]

    entrants = [
        Entrant(Random(test.n_items, seed), 0.0, "Random", "A random order for each person: the floor."),
        _entrant([popularity], popularity.result, "Popularity", "What most people touched, the same for everybody."),
        _entrant(
            [recent],
            recent.result,
            "Recent popularity",
            f"The same over the last {settings.recent_days} days before the cut.",
        ),
        _entrant([knn], knn.result, "Item-kNN", "What people who touched your items also touched. Blind to new items."),
        _entrant(
            [features, tfidf],
            tfidf.result,
            "TF-IDF content",
            "Items whose text resembles the text of something you touched. Knows new items.",
        ),
    ]
    try:
        ease = costing(
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
        text = "A linear model that predicts each item from all others (Steck 2019)."
        entrants.append(_entrant([ease], ease.result, "EASE", text))
    progress(4, _STEPS)

    weights: tuple[float, ...] = DEFAULT_WEIGHTS
    trials: list[Trial] = []
    if not validation.has_history.any():
        notes.append(
            "the blend keeps its default weights and LambdaMART is left out: nobody with a history has a new item in "
            "the validation window"
        )
    else:
        earlier = costing(
            lambda: _Parts(fit_knn(validation), TfIdf.fit(validation.history, features.result), fit_recent(validation))
        )
        tuned = costing(lambda: tune_blend(validation, earlier.result.evidence(), k=max(settings.k)))
        weights, trials = tuned.result
        spent = [*spent, earlier]
        progress(5, _STEPS)
        try:
            mart = costing(lambda: _lambdamart(validation, test, earlier.result, parts, seed))
        except (LightGBMUnavailableError, NothingToLearnError) as error:
            notes.append(f"LambdaMART was left out: {error}")
        else:
            text = (
                "LightGBM orders the best of item-kNN, TF-IDF content and recent popularity; learned on the validation "
                "days. The strongest peer without a neural network."
            )
            entrants.append(_entrant([*spent, mart], mart.result, "LambdaMART", text))
        spent = [*spent, tuned]
    names = ("item-kNN", "TF-IDF content", "recent popularity")
    recipe = " + ".join(f"{weight:g} × {name}" for weight, name in zip(weights, names, strict=True))
    chosen = "chosen on the validation days" if trials else "defaults"
    text = f"{recipe}, z-scored; weights {chosen}. The bar a model has to clear."
    entrants.append(_entrant(spent, Blend(parts.evidence(), weights), "Tuned blend", text))
    progress(_STEPS, _STEPS)
    return Baselines(tuple(entrants), weights, tuple(trials), tuple(notes))


@dataclass(frozen=True)
class _Parts:
    """What the combining baselines combine, fitted on one history."""

    knn: ItemKnn
    tfidf: TfIdf
    recent: Popularity

    def evidence(self) -> tuple[ScoreFunction, ...]:
        return (self.knn.evidence, self.tfidf.evidence, self.recent.score)


def _entrant(costs: Sequence[Cost[Any]], recommender: Recommender, title: str, description: str) -> Entrant:
    """An entrant whose costs are those of all it is made of: seconds add up, peaks of memory do not."""
    seconds, growth = sum(cost.seconds for cost in costs), max(cost.growth for cost in costs)
    return Entrant(recommender, seconds, title, description, fit_growth=growth)


def _lambdamart(validation: RankingTask, test: RankingTask, earlier: _Parts, now: _Parts, seed: int) -> LambdaMart:
    def features(task: RankingTask, parts: _Parts) -> CandidateFeatures:
        sources = zip(("knn", "tfidf", "recent"), parts.evidence(), _CANDIDATES, strict=True)
        return CandidateFeatures.of(task, tuple(Source(name, score, best) for name, score, best in sources))

    return LambdaMart.fit(features(validation, earlier), features(test, now), now.recent.scores, seed=seed)

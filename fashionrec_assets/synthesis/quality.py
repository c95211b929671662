"""What can be said of synthetic rows before anything is trained on them.

Belongs here: figures of synthetic rows against the real ones. Does not belong here: whether training on them helps
(evaluation). sklearn is imported inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.synthesis.conditional_vae import row_features
from fashionrec_assets.synthesis.reduction import Reduction
from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows, TrainingRows, contains, pair_keys

MOST_ROWS = 5_000
"""Rows of each kind that the classifier and the distances are computed on, at the most, a seeded sample."""

COMPONENTS = 16
FOLDS = 3


@dataclass(frozen=True)
class SyntheticQuality:
    """Figures of m synthetic rows against n real ones.

    `degree`: m / n. `label_mean`, `real_label_mean`: of the labels. `pseudo_positives`: share of labels above 1/2.
    `copies`: share of rows whose pair is a real row's, or whose item is its source's. `items_without_events`: share of
    rows about items that no real row likes. `distance_ratio`: the median distance of a synthetic row to the nearest
    real one, over that of a real row to the nearest other one; 0 for copies, about 1 where they lie as real ones do.
    `auc`: how well real and synthetic rows can be told apart by a classifier it was not trained on; .5: not at all.
    `future_items`, `future_users`: rows about items that could not be bought before the cut, about users without a
    row. The two figures in between are None where there are too few rows.
    """

    rows: int
    degree: float
    label_mean: float
    real_label_mean: float
    pseudo_positives: float
    copies: float
    items_without_events: float
    distance_ratio: float | None
    auc: float | None
    future_items: int
    future_users: int


def measure(made: SyntheticRows, rows: TrainingRows, content: ItemContent, *, seed: int) -> SyntheticQuality:
    """The figures of `made` of `rows`; every source must be known. Deterministic by `seed`."""
    n_items = len(content.available)
    keys = pair_keys(made.users, made.items, n_items)
    real = contains(np.unique(pair_keys(rows.users, rows.items, n_items)), keys)
    liked = np.bincount(rows.items[rows.labels > 0.5], minlength=n_items) > 0
    known_users = np.zeros(int(max(rows.users.max(initial=-1), made.users.max(initial=-1))) + 1, np.bool_)
    known_users[rows.users] = True
    few = min(len(made), len(rows)) < 2 * FOLDS
    one, other = (None, None) if few else row_vectors(made, rows, content)
    return SyntheticQuality(
        rows=len(made),
        degree=len(made) / max(len(rows), 1),
        label_mean=_mean(made.labels),
        real_label_mean=_mean(rows.labels),
        pseudo_positives=_mean(made.labels > 0.5),
        copies=_mean(real | (made.items == rows.items[made.sources])),
        items_without_events=_mean(~liked[made.items]),
        distance_ratio=None if one is None or other is None else distance_ratio(one, other, seed=seed),
        auc=None if one is None or other is None else separability(one, other, seed=seed),
        future_items=int((~content.available[made.items]).sum()),
        future_users=int((~known_users[made.users]).sum()),
    )


def row_vectors(
    made: SyntheticRows, rows: TrainingRows, content: ItemContent
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Synthetic and real rows as vectors (m, w) and (n, w): user content, item content, how they agree, the label.

    The user of a synthetic row is described as at its source, without the source's item. Pseudo-labels are rounded:
    their being between 0 and 1 would tell them apart, and says nothing of what was made up.
    """
    components = Reduction.fit(content, COMPONENTS).apply(content)
    real = row_features(rows, content, components)

    def together(
        user: NDArray[np.float32], item: NDArray[np.float32], label: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        agreement = (user[:, : item.shape[1]] * item).sum(axis=1)
        return np.concatenate([user, item, agreement[:, None], label[:, None]], axis=1).astype(np.float32)

    labels = (made.labels > 0.5).astype(np.float32)
    return (
        together(real.user[made.sources], components[made.items], labels),
        together(real.user, real.item, real.preference),
    )


def separability(one: NDArray[np.float32], other: NDArray[np.float32], *, seed: int) -> float:
    """The area under the ROC curve of boosted trees that tell rows of `one` (m, w) from rows of `other` (n, w).

    Cross-validated, on as many rows of each. Two samples of one distribution give .5 (Lopez-Paz & Oquab 2017,
    "Revisiting Classifier Two-Sample Tests").
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rng = np.random.default_rng([seed, 5])
    most = min(len(one), len(other), MOST_ROWS)
    both = np.concatenate([given[rng.choice(len(given), most, replace=False)] for given in (one, other)])
    label = np.repeat([1, 0], most)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, both, label, cv=folds, method="predict_proba")
    return float(roc_auc_score(label, np.asarray(scores)[:, 1]))


def distance_ratio(made: NDArray[np.float32], real: NDArray[np.float32], *, seed: int) -> float | None:
    """Median distance of `made` (m, w) to the nearest of one half of `real` (n, w), over that of its other half.

    None if the real rows are all alike.
    """
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng([seed, 6])
    some = real[rng.choice(len(real), min(len(real), 2 * MOST_ROWS), replace=False)]
    scale = np.maximum(some.std(axis=0), 1e-6)
    held, asked = np.array_split(some / scale, 2)
    drawn = made[rng.choice(len(made), min(len(made), MOST_ROWS), replace=False)] / scale
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(held)
    ours, theirs = (float(np.median(index.kneighbors(given)[0])) for given in (drawn, asked))
    return ours / theirs if theirs > 0 else None


def _mean(values: NDArray[np.generic]) -> float:
    return float(np.mean(values.astype(np.float64))) if len(values) else 0.0

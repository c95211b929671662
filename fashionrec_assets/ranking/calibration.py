"""Chances from scores: Platt scaling of a user's list, each behaviour for itself.

Belongs here: fitting it on users the scoring network did not see, and the chances it gives. Does not belong here:
scores (`ranker.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.lists import Lists

ANY = "any"
"""The name of the chance that any of the behaviours follows."""

Calibration = Mapping[str, tuple[float, float, float]]
"""Behaviour -> (intercept, weight of the log share of the list, weight of the user's log activity)."""


def calibrate(lists: Lists, scores: NDArray[np.float32]) -> dict[str, tuple[float, float, float]]:
    """Platt scaling (1999) of scores given to users outside of training; a behaviour nobody showed is left out."""
    from sklearn.linear_model import LogisticRegression

    inputs = _inputs(lists.owner, scores, lists.values)
    labels = {ANY: lists.taken} | {name: (lists.bits & bit) > 0 for name, bit in lists.behaviours.items()}
    found: dict[str, tuple[float, float, float]] = {}
    for name, label in labels.items():
        if label.any() and not label.all():
            fitted = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-9, max_iter=100).fit(inputs, label)
            slope = fitted.coef_[0]
            found[name] = (float(fitted.intercept_[0]), float(slope[0]), float(slope[1]))
    return found


def chances(
    calibration: Calibration, owner: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Behaviour -> float32 (p,) of `scores` (p,) that are not lifted, of pairs with features `values` (p, features)."""
    inputs = _inputs(owner, scores, values)
    found = {
        name: (1 / (1 + np.exp(-(inputs @ np.asarray(weights[1:]) + weights[0])))).astype(np.float32)
        for name, weights in calibration.items()
    }
    # Each is fitted alone, and in the tails one behaviour could come out likelier than any at all.
    return {name: np.minimum(chance, found.get(ANY, chance)) for name, chance in found.items()}


def _inputs(owner: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    users = int(owner.max(initial=-1)) + 1
    top = np.full(users, -np.inf)
    np.maximum.at(top, owner, scores)
    total = np.bincount(owner, weights=np.exp(scores - top[owner]), minlength=users)
    share = scores - top[owner] - np.log(total)[owner]
    activity = np.log1p(values[:, NAMES.index("history_items")])
    return np.column_stack([share, activity]).astype(np.float64)

"""Attributes read off a photo without training a classifier: the class whose prompts are nearest to the image.

Belongs here: prompts, classes, predictions, accuracy and macro-F1 with intervals. Does not belong here: encoding, and
which models are compared (`retrieval_report.py`).

Prompt ensembling as in CLIP (Radford et al. 2021, section 3.1.4): each class is the normalised mean of the unit vectors
of several sentences that name it. The truth is always a raw catalog field, never a measured colour or a description.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.bootstrap import Interval, percentile_interval
from fashionrec_assets.evaluation.shopper_phrases import Fields

TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "product_type": ("a photo of a {}.", "a product photo of a {}.", "a person wearing a {}.", "{}"),
    "category": ("a photo of {}.", "a product photo of {}, a kind of clothing.", "clothing: {}.", "{}"),
    "colour": ("a photo of a {} garment.", "a {} piece of clothing.", "clothes in {}.", "{}"),
    "pattern": ("a photo of a {} garment.", "clothing with a {} pattern.", "{} fabric.", "{}"),
    "gender": ("clothing for {}.", "a photo of a garment for {}.", "{} fashion.", "{}"),
    "section": ("clothing from the {} department.", "a garment sold under {}.", "{} fashion.", "{}"),
}
"""By field, the sentences that stand for a value; `{}` is the value."""


@dataclass(frozen=True)
class ZeroShotTask:
    """A field with its `classes`, commonest first, and the class of every item, int64 (n,); -1: none of them."""

    field: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    @property
    def prompts(self) -> list[str]:
        """Every template of every class: the classes in order, the templates of one class side by side."""
        return [template.replace("{}", value) for value in self.classes for template in TEMPLATES[self.field]]

    def class_vectors(self, prompts: NDArray[np.float32]) -> NDArray[np.float32]:
        """One unit vector per class, (c, d), from the vectors of `prompts`."""
        mean = prompts.reshape(len(self.classes), -1, prompts.shape[1]).mean(axis=1)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def zero_shot_tasks(fields: Fields, *, least: int, most: int) -> list[ZeroShotTask]:
    """One task for each field that has at least two values with `least` items; at most the `most` commonest values."""
    tasks: list[ZeroShotTask] = []
    for name in TEMPLATES:
        counts = Counter(value for value in fields.get(name, ()) if value)
        common = sorted((value for value, count in counts.items() if count >= least), key=lambda v: (-counts[v], v))
        classes = tuple(common[:most])
        if len(classes) >= 2:
            place = {value: number for number, value in enumerate(classes)}
            labels = np.array([place.get(value, -1) for value in fields[name]], dtype=np.int64)
            tasks.append(ZeroShotTask(name, classes, labels))
    return tasks


def predict(images: NDArray[np.float32], classes: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of the highest cosine for each image, (n,)."""
    return np.argmax(images @ classes.T, axis=1).astype(np.int64)


@dataclass(frozen=True)
class Scores:
    accuracy: Interval
    macro_f1: Interval


def score(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
    clusters: NDArray[np.int64],
    *,
    draws: int,
    seed: int,
) -> Scores:
    """Accuracy and macro-F1 over the items that have a class, with 95 % intervals from resamples of whole clusters.

    Macro-F1 is the plain mean over classes of F1; a class that a resample neither holds nor is predicted in does not
    count in that resample. ValueError if no item has a class.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no item has one of the classes")
    truth, guess = labels[known], predicted[known]
    groups = np.unique(clusters[known], return_inverse=True)[1]
    n_groups = int(groups.max()) + 1
    # Per cluster and class: hits, items, guesses. Everything is a sum of these.
    hit = truth == guess
    pairs = ((groups[hit], truth[hit]), (groups, truth), (groups, guess))
    size = n_groups * n_classes
    table = [np.bincount(row * n_classes + column, minlength=size).reshape(n_groups, -1) for row, column in pairs]
    flat = np.concatenate(table, axis=1).astype(np.float64)
    counts = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
    resampled = _figures((counts @ flat).reshape(draws, 3, n_classes))
    value = _figures(flat.sum(axis=0).reshape(1, 3, n_classes))[0]
    low, high = percentile_interval(resampled, n_groups)
    accuracy, macro = (Interval(float(value[i]), float(low[i]), float(high[i])) for i in range(2))
    return Scores(accuracy, macro)


def commonest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """What someone would guess who sees no photo: the commonest class, for every item. The bar to clear."""
    known = labels[labels >= 0]
    return np.full(len(labels), np.bincount(known).argmax() if len(known) else -1, dtype=np.int64)


def _figures(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy and macro-F1, (draws, 2), from hits, items and guesses per class (draws, 3, c)."""
    hits, items, guesses = table[:, 0], table[:, 1], table[:, 2]
    both = items + guesses
    there = both > 0
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=there)
    return np.stack([hits.sum(axis=1) / items.sum(axis=1), f1.sum(axis=1) / there.sum(axis=1)], axis=1)

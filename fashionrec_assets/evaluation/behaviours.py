"""How good predicted probabilities of behaviours are: whether they order, and whether they can be believed.

Belongs here: AUC, log loss and calibration of probabilities that a model gave to pairs of user and item. Does not
belong here: the models, and rankings of the whole pool (`metrics.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class BehaviourScores:
    """What `title` foretold of pairs of user and item: behaviour -> (probabilities (n,), labels (n,)).

    A label says whether the behaviour came. The pairs are the model's own choice, `pairs` says which, for example
    "the candidates of the test users".
    """

    name: str
    title: str
    pairs: str
    by_behaviour: Mapping[str, tuple[NDArray[np.floating], NDArray[np.bool_]]]


@dataclass(frozen=True)
class ReliabilityBin:
    """Pairs of about equal probability: their mean, how many of them were right, and how many there are."""

    foretold: float
    came: float
    pairs: int


@dataclass(frozen=True)
class BehaviourFigures:
    """Figures of one behaviour of one model.

    `auc`: the chance that a pair with the behaviour is placed above one without. `log_loss` in nats, beside the
    `base_log_loss` of foretelling the rate for every pair. `calibration_error`: expected calibration error over bins of
    equal mass (Naeini et al. 2015, with the bins of Nguyen and O'Connor 2015).
    """

    name: str
    title: str
    pairs_are: str
    behaviour: str
    auc: float
    log_loss: float
    base_log_loss: float
    calibration_error: float
    pairs: int
    positives: int
    bins: tuple[ReliabilityBin, ...]


def behaviour_figures(scores: Sequence[BehaviourScores]) -> tuple[BehaviourFigures, ...]:
    """Figures for every behaviour that came for some pairs and not for others, in the given order.

    Raises ValueError for probabilities outside [0, 1] and for lengths that disagree.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    figures: list[BehaviourFigures] = []
    for model in scores:
        for behaviour, (given, came) in model.by_behaviour.items():
            chance, label = np.asarray(given, np.float64), np.asarray(came, bool)
            if chance.shape != label.shape or chance.ndim != 1:
                raise ValueError(
                    f"{model.name}, {behaviour}: {chance.shape} probabilities for {label.shape} labels; give one each"
                )
            if not bool(((chance >= 0) & (chance <= 1)).all()):
                raise ValueError(f"{model.name}, {behaviour}: probabilities must lie in [0, 1]")
            if not label.any() or label.all():
                continue
            rate = float(label.mean())
            bins = reliability(chance, label)
            gaps = [abs(part.foretold - part.came) * part.pairs for part in bins]
            figures.append(
                BehaviourFigures(
                    name=model.name,
                    title=model.title,
                    pairs_are=model.pairs,
                    behaviour=behaviour,
                    auc=float(roc_auc_score(label, chance)),
                    log_loss=float(log_loss(label, chance)),
                    base_log_loss=float(-(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))),
                    calibration_error=sum(gaps) / len(label),
                    pairs=len(label),
                    positives=int(label.sum()),
                    bins=bins,
                )
            )
    return tuple(figures)


def reliability(chance: NDArray[np.float64], label: NDArray[np.bool_], bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """`bins` of equal mass in order of probability; equal probabilities stay in one bin, so there may be fewer."""
    order = np.argsort(chance, kind="stable")
    chance, label = chance[order], label[order]
    edges = [len(part) for part in np.array_split(chance, bins)]
    ends = np.cumsum([size for size in edges if size])
    ends = np.unique(np.searchsorted(chance, chance[ends - 1], side="right"))
    starts = np.append(0, ends[:-1])
    return tuple(
        ReliabilityBin(float(chance[a:b].mean()), float(label[a:b].mean()), int(b - a))
        for a, b in zip(starts, ends, strict=True)
    )

"""Answers of made-up users with known preferences: whether the preference model finds them again.

Belongs here: the simulation, and the figures of how well a model that learned from it does on answers it has not seen.
Does not belong here: the model (`recommendations.feedback.strategies`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.evaluation.bootstrap import Interval, mean_interval, paired_difference
from fashionrec_assets.recommendations.explanations.facts import KINDS
from fashionrec_assets.recommendations.feedback.answers import SEGMENTS
from fashionrec_assets.recommendations.feedback.strategies import fit_preferences

OFFERED = 3
"""Kinds of facts among which an explanation's lead may be chosen: the evidence has no more."""


@dataclass(frozen=True)
class World:
    """u users: their true chance (u, k) of finding a lead of each of k kinds helpful, and the group of each (u,)."""

    chances: NDArray[np.float64]
    segments: NDArray[np.int64]

    @classmethod
    def drawn(
        cls, users: int, seed: int, *, everyone: float = 0.6, group: float = 0.5, person: float = 0.8, mood: float = 0.7
    ) -> World:
        """Log odds are sums of normal deviates: of a kind, of it in a group, of it for a person, and of a person.

        The arguments are their standard deviations. With all but the `mood` 0 nobody prefers anything: some people say
        yes more often than others, to whatever they are shown.
        """
        rng = np.random.default_rng(seed)
        segments = rng.integers(len(SEGMENTS), size=users)
        odds = rng.normal(0, everyone, len(KINDS)) + rng.normal(0, group, (len(SEGMENTS), len(KINDS)))[segments]
        odds = odds + rng.normal(0, person, (users, len(KINDS))) + rng.normal(0, mood, (users, 1))
        return cls(1 / (1 + np.exp(-odds)), segments)

    def answers(self, each: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """`each` answers of every user to leads drawn at random: users (n,), kinds (n,), and helpful or not (n,)."""
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(len(self.chances)), each)
        kinds = rng.integers(len(KINDS), size=len(users))
        return users, kinds, rng.random(len(users)) < self.chances[users, kinds]


@dataclass(frozen=True)
class Recovery:
    """How much of the simulated users' preferences was found, on explanations nobody had answered about.

    `correlation`: Spearman's, of expected and true chances of all kinds, mean over users. The others are shares of
    helpful explanations: with the lead the model chooses, the first in the default order, and the best there is.
    """

    correlation: Interval
    chosen: Interval
    default: Interval
    oracle: Interval
    gain: Interval
    established: bool
    answers: int

    @property
    def of_possible(self) -> float:
        """The share of the way from the default to the oracle that the model goes."""
        possible = self.oracle.value - self.default.value
        return self.gain.value / possible if possible > 0 else 0.0


def recovery(world: World, *, each: int, seed: int, draws: int = 500, offers: int = 20) -> Recovery:
    """Learn from `each` answers a user, then choose leads for `offers` new explanations of each user.

    An explanation offers `OFFERED` kinds at random, in a random default order: that of weight knows no preference.
    """
    users, kinds, helpful = world.answers(each, seed)
    names = np.char.mod("%06d", np.arange(len(world.chances)))
    groups = np.array(SEGMENTS)[world.segments]
    model = fit_preferences(KINDS, kinds, helpful, names[users].tolist(), groups[users].tolist())
    expected = np.array(
        [model.expected(str(name), str(group)) for name, group in zip(names, groups, strict=True)], dtype=np.float64
    )
    rng = np.random.default_rng([seed, 1])
    offered = rng.random((len(names), offers, len(KINDS))).argsort(axis=2)[:, :, :OFFERED]
    person = np.arange(len(names))[:, None, None]
    truth, wanted = world.chances[person, offered], expected[person, offered]
    best = wanted.argmax(axis=2) if model.established else np.zeros(wanted.shape[:2], np.int64)
    by_model = np.take_along_axis(truth, best[:, :, None], axis=2)[:, :, 0].mean(axis=1)
    by_default, by_oracle = truth[:, :, 0].mean(axis=1), truth.max(axis=2).mean(axis=1)

    def over(values: NDArray[np.float64]) -> Interval:
        return mean_interval(values, draws=draws, seed=seed)

    return Recovery(
        over(_rank_correlations(expected, world.chances)),
        over(by_model),
        over(by_default),
        over(by_oracle),
        paired_difference(by_model, by_default, draws=draws, seed=seed),
        model.established,
        len(users),
    )


def _rank_correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of the rows of two tables (u, k); 0 where a row of the first does not vary."""
    from scipy.stats import rankdata

    one, two = (rankdata(values, axis=1) for values in (first, second))
    one, two = one - one.mean(axis=1, keepdims=True), two - two.mean(axis=1, keepdims=True)
    size = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.divide((one * two).sum(axis=1), size, out=np.zeros(len(one)), where=size > 0)


def recoveries(answers: Sequence[int] = (2, 10, 30), *, users: int = 300, seed: int = 0) -> Mapping[int, Recovery]:
    """What is found of 300 users' preferences after so many answers of each."""
    world = World.drawn(users, seed)
    return {each: recovery(world, each=each, seed=seed) for each in answers}

"""What an explanation had best lead with, learned from answers: by whom it is read.

Belongs here: the model of preferences, its file, and the one in force. Does not belong here: reading answers
(`feedback.py`), wording.

A choice (the kind of fact an explanation leads with; its tone; its length) was helpful h of n times. The rate of an
option is a Beta-binomial with three levels: all users, their group by activity, the user. Each level is pulled towards
the one above it as by so many answers more, and how many is what makes the counts of that level most likely. Some
people find every explanation helpful and some none: what a group or a user says of all options together moves their
log odds of each, so that only what they say of one option beyond that is a preference. This is empirical Bayes
(Casella, "An introduction to empirical Bayes data analysis", The American Statistician 39, 1985; Gelman et al.,
"Bayesian Data Analysis", chapter 5); the mean of a level stands for its distribution below, as usual there.

Options count as different if hardly any shuffling of each user's yes and no among their own answers makes the model's
likelihood as large (a permutation test; those who answered once are shuffled within their group).

Answers are only about what was shown. An option that was led with where the recommendation was good anyway looks
better than it is; a shop that varies its leads at random learns more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.recommendations.explanations.facts import KINDS, Kind
from fashionrec_assets.recommendations.feedback.answers import Answer, segments
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.files import write_text

Dimension = Literal["lead", "tone", "length"]
DIMENSIONS: tuple[Dimension, ...] = ("lead", "tone", "length")

ARTIFACT, FILE = "explanation_strategies", "strategies.json"

STRENGTHS: tuple[float, ...] = tuple(2.0**power for power in range(11))
"""Answers that a level may count for the level below it."""
SHUFFLES = 39
MOST_CHANCE = 0.05
"""Options are known to differ up to this share of shuffled answers that look as much like it."""


@dataclass(frozen=True)
class Preferences:
    """The expected share of helpful answers of each of `options`.

    `everyone` (o,), `segments` and `users` (o,) by name; a user is there once they have answered. `shown`: answers of
    each option. `chance`: the share of shuffled answers that look at least as much as if options differed.
    """

    options: tuple[str, ...]
    everyone: tuple[float, ...]
    segments: Mapping[str, tuple[float, ...]]
    users: Mapping[str, tuple[float, ...]]
    shown: tuple[int, ...]
    strengths: tuple[float, float, float]
    chance: float

    @property
    def established(self) -> bool:
        """Whether the answers show that options differ at all."""
        return self.chance <= MOST_CHANCE

    def expected(self, user: str, segment: str | None = None) -> tuple[float, ...]:
        """The share of helpful answers to expect of each option."""
        return self.users.get(user) or self.segments.get(segment or "") or self.everyone

    def order(self, user: str, segment: str | None = None) -> tuple[str, ...]:
        """Options, the most helpful first; ties in the order of `options`. Empty unless options are known to differ."""
        if not self.established:
            return ()
        shares = self.expected(user, segment)
        return tuple(self.options[at] for at in sorted(range(len(shares)), key=lambda at: (-shares[at], at)))


def fit_preferences(
    options: Sequence[str],
    chosen: NDArray[np.int64],
    helpful: NDArray[np.bool_],
    users: Sequence[str],
    segments: Sequence[str],
    *,
    seed: int = 0,
) -> Preferences:
    """Preferences by n answers: `chosen` (n,) rows of `options`, whether `helpful` (n,), by whom, and of which group.

    `seed` shuffles. Without answers all options are expected to be helpful half of the time; nothing is established.
    """
    groups, in_group = np.unique(np.asarray(segments, dtype=np.str_), return_inverse=True)
    people, person = np.unique(np.asarray(users, dtype=np.str_), return_inverse=True)
    model = _Levels(len(options), chosen, person, in_group, len(people), len(groups))
    everyone, by_group, by_user = model.fitted(helpful)
    # Whom to shuffle together: a user's answers, or those of a group who answered once.
    once = np.bincount(person, minlength=len(people))[person] < 2
    together = np.where(once, in_group, len(groups) + person)
    rng = np.random.default_rng(seed)
    place = np.argsort(together, kind="stable")
    likelier = 0
    for _ in range(SHUFFLES if len(chosen) else 0):
        shuffled = np.empty_like(helpful)
        shuffled[place] = helpful[np.lexsort((rng.random(len(helpful)), together))]
        likelier += model.fitted(shuffled)[2].likelihood >= by_user.likelihood - 1e-9
    return Preferences(
        tuple(options),
        tuple(everyone.means[0].tolist()),
        {str(name): tuple(row) for name, row in zip(groups, by_group.means.tolist(), strict=True)},
        {str(name): tuple(row) for name, row in zip(people, by_user.means.tolist(), strict=True)},
        tuple(np.bincount(chosen, minlength=len(options)).tolist()),
        (everyone.strength, by_group.strength, by_user.strength),
        (1 + likelier) / (1 + SHUFFLES) if len(chosen) else 1.0,
    )


@dataclass(frozen=True)
class _Levels:
    """n answers as cells: `chosen` options (n,), by `person` (n,) of `in_group` (n,)."""

    options: int
    chosen: NDArray[np.int64]
    person: NDArray[np.int64]
    in_group: NDArray[np.int64]
    people: int
    groups: int

    def fitted(self, helpful: NDArray[np.bool_]) -> tuple[_Level, _Level, _Level]:
        """Everyone (1, o), groups (g, o) and users (u, o)."""
        rate = (float(helpful.sum()) + 1.0) / (len(helpful) + 2.0)
        group_of = np.zeros(self.people, dtype=np.int64)
        group_of[self.person] = self.in_group
        alike = np.zeros(len(self.chosen), np.int64)

        # How often a group, and a user, says yes whatever they are shown.
        yes = np.full((1, 1), rate)
        counts = _counts(self.in_group, self.groups, alike, helpful, 1)
        yes_of_group = _Level.of(np.repeat(yes, self.groups, axis=0), *counts).means
        yes_of_user = _Level.of(yes_of_group[group_of], *_counts(self.person, self.people, alike, helpful, 1)).means

        everyone = _Level.of(np.full((1, self.options), rate), *_counts(alike, 1, self.chosen, helpful, self.options))
        above = _shifted(np.repeat(everyone.means, self.groups, axis=0), yes_of_group, yes)
        by_group = _Level.of(above, *_counts(self.in_group, self.groups, self.chosen, helpful, self.options))
        above = _shifted(by_group.means[group_of], yes_of_user, yes_of_group[group_of])
        by_user = _Level.of(above, *_counts(self.person, self.people, self.chosen, helpful, self.options))
        return everyone, by_group, by_user


def _shifted(
    rates: NDArray[np.float64], yes: NDArray[np.float64], yes_above: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`rates` (g, o) of who says yes as often as `yes_above` (g, 1), for who says it as often as `yes` (g, 1)."""
    from scipy.special import expit, logit

    return expit(logit(rates) + logit(yes) - logit(yes_above))


@dataclass(frozen=True)
class _Level:
    """Posterior `means` (g, o), how many answers the level above counts for, and the answers' log `likelihood`."""

    means: NDArray[np.float64]
    strength: float
    likelihood: float

    @classmethod
    def of(cls, above: NDArray[np.float64], good: NDArray[np.float64], all_: NDArray[np.float64]) -> _Level:
        """Cells with `good` of `all_` (g, o) helpful answers, whose means are `above` (g, o) before any answer."""
        likelihoods = [_likelihood(strength, above, good, all_) for strength in STRENGTHS]
        best = max(range(len(STRENGTHS)), key=lambda at: (likelihoods[at], at))
        strength = STRENGTHS[best]
        return cls((good + strength * above) / (all_ + strength), strength, likelihoods[best])


def _likelihood(
    strength: float, above: NDArray[np.float64], good: NDArray[np.float64], all_: NDArray[np.float64]
) -> float:
    """Log probability of the answers in the order they came, the cells' rates drawn from Beta distributions."""
    from scipy.special import betaln

    a, b = strength * above, strength * (1 - above)
    return float((betaln(a + good, b + all_ - good) - betaln(a, b)).sum())


def _counts(
    group: NDArray[np.int64], groups: int, chosen: NDArray[np.int64], helpful: NDArray[np.bool_], options: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Helpful answers and answers, (groups, options) each."""
    cell = group * options + chosen
    shape = (groups, options)
    good = np.bincount(cell, weights=helpful.astype(np.float64), minlength=groups * options).reshape(shape)
    return good.astype(np.float64), np.bincount(cell, minlength=groups * options).reshape(shape).astype(np.float64)


@dataclass(frozen=True)
class Strategies:
    """Preferences in each dimension that was ever answered about, and the group of each user."""

    of: Mapping[Dimension, Preferences]
    unread: int = 0
    """Answers that name no kind of fact this project knows as their lead."""

    def lead_order(self, user: str, segment: str | None = None) -> tuple[Kind, ...]:
        """Kinds of facts, the one an explanation to `user` had best lead with first; empty where nothing is known."""
        found = self.of.get("lead")
        return () if found is None else cast("tuple[Kind, ...]", found.order(user, segment))

    def best(self, dimension: Dimension, user: str, segment: str | None = None) -> str | None:
        """The option to choose in a dimension; None where nothing is known."""
        found = self.of.get(dimension)
        return next(iter(() if found is None else found.order(user, segment)), None)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        content = {"unread": self.unread, "of": {name: asdict(one) for name, one in self.of.items()}}
        write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> Strategies:
        """What `save` wrote."""
        content = json.loads(path.read_text("utf-8"))
        return cls({name: _preferences(one) for name, one in content["of"].items()}, content["unread"])


def _preferences(read: Mapping[str, object]) -> Preferences:
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in read.items()}
    for name in ("segments", "users"):
        plain[name] = {key: tuple(row) for key, row in cast("dict[str, list[float]]", read[name]).items()}
    return Preferences(**plain)  # pyright: ignore[reportArgumentType]


def fit_strategies(answers: Sequence[Answer], segment_of: Mapping[str, str], *, seed: int = 0) -> Strategies:
    """What `answers` tell about leads, tones and lengths. `segment_of`: the group of every user among them.

    Answers that do not say which option was shown count for nothing in that dimension.
    """
    made: dict[Dimension, Preferences] = {}
    for dimension in DIMENSIONS:
        named = [(getattr(one, dimension), one) for one in answers]
        options = KINDS if dimension == "lead" else tuple(sorted({name for name, _ in named if name}))
        place = {name: at for at, name in enumerate(options)}
        told = [(place[name], one) for name, one in named if name in place]
        if told:
            made[dimension] = fit_preferences(
                options,
                np.array([at for at, _ in told], dtype=np.int64),
                np.array([one.helpful for _, one in told], dtype=np.bool_),
                [one.user_id for _, one in told],
                [segment_of[one.user_id] for _, one in told],
                seed=seed,
            )
    return Strategies(made, sum(one.lead not in KINDS for one in answers))


def strategies_in_force(shop: Shop) -> Strategies | None:
    """What the asset `explanation_strategies` learned last; None before it ran."""
    version = shop.version_or_none(ARTIFACT)
    return None if version is None else Strategies.load(shop.artifacts.folder(ARTIFACT, version) / FILE)


def lead_orders(shop: Shop, user_ids: Sequence[str]) -> dict[str, tuple[Kind, ...]]:
    """For each of `user_ids` kinds of facts, the best lead first, as far as it is known; users without are left out."""
    found = strategies_in_force(shop)
    if found is None or "lead" not in found.of or not found.of["lead"].established:
        return {}
    group = segments(shop, user_ids)
    return {user: order for user in user_ids if (order := found.lead_order(user, group.get(user)))}

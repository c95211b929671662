"""Asking the assistant what is known, and judging its answers.

Belongs here: the measurements and their figures. Does not belong here: drawing queries (`queries.py`), judging one item
(`checking.py`), the page (`page.py`).

Every query is asked as a shopper would, through a conversation. HITS@10 is the share of queries whose target is among
the ten items of the answer; the same query, all lines in one, is given to search by text alone and by the CLIP model
alone, over all items and without constraints. Taste is measured on the test days with the two-tower model that never
saw them: short queries made from an item that the user turned to then, asked with and without the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.evaluation.assistant.checking import Facts, readings
from fashionrec_assets.evaluation.assistant.queries import (
    Drawn,
    Source,
    Words,
    draw_queries,
    draw_vague,
    read_sources,
    words_of_shop,
)
from fashionrec_assets.evaluation.bootstrap import Interval, mean_interval, paired_difference
from fashionrec_assets.evaluation.sample_truth import truth_folder
from fashionrec_assets.recommendations.assistant.query import PRICE_ABOVE, PRICE_BELOW, Query, parse
from fashionrec_assets.recommendations.assistant.retrieval import best, standardised
from fashionrec_assets.recommendations.assistant.stylist import Stylist
from fashionrec_assets.resources.shop import Shop

K = 10
TIMED = 30
"""Queries asked with a clock, with no text known before."""
IMAGE_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """A query and what came of it. `exact`: understood as it was meant (None: that is not defined); `really`: items
    that are what was meant; `kept`: of the `returned` items, those that satisfy what the assistant took them for;
    `right`: those that are what was meant; `hit`, `text_hit`, `image_hit`: whether the target was among the ten."""

    drawn: Drawn
    query: Query
    returned: tuple[str, ...]
    exact: bool | None
    really: int
    kept: int
    right: int
    hit: bool
    text_hit: bool
    image_hit: bool


@dataclass(frozen=True)
class TasteGain:
    """HITS@10 of short queries of `users` test users: without the user, with the user's tower, and with popularity in
    its place; differences are paired."""

    users: int
    without: Interval
    with_user: Interval
    with_popularity: Interval
    gain: Interval
    gain_over_popularity: Interval


@dataclass(frozen=True)
class AssistantReport:
    """All that was measured. `weights`: HITS@10 on the validation queries by the weight of photos; `seconds` of warm
    answers, (p50, p95)."""

    outcomes: tuple[Outcome, ...]
    weights: Mapping[float, float]
    image_weight: float
    taste: TasteGain | None
    seconds: tuple[float, float]
    draws: int
    seed: int
    items: int

    def share(self, flags: Sequence[bool]) -> Interval | None:
        """A share with its interval; None of nothing."""
        return mean_interval(np.asarray(flags, float), draws=self.draws, seed=self.seed) if len(flags) else None

    @property
    def with_target(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.drawn.target is not None]

    def shares(self) -> dict[str, Interval | None]:
        """The shares of the report by name."""
        judged = [one for one in self.outcomes if one.exact is not None]
        returned = sum(len(one.returned) for one in self.outcomes)
        nothing = [one for one in self.outcomes if not one.really]
        said_nothing = [one for one in self.outcomes if not one.returned]
        targets = self.with_target
        found = {
            "constraints_kept": self.share([True] * sum(one.kept for one in self.outcomes)
                                           + [False] * (returned - sum(one.kept for one in self.outcomes))),
            "items_as_meant": self.share([True] * sum(one.right for one in self.outcomes)
                                         + [False] * (returned - sum(one.right for one in self.outcomes))),
            "read_exactly": self.share([bool(one.exact) for one in judged]),
            "read_exactly.own_words": self.share([bool(one.exact) for one in judged if one.drawn.own]),
            "read_exactly.other_words": self.share([bool(one.exact) for one in judged if not one.drawn.own]),
            "nothing_when_nothing_fits": self.share([not one.returned for one in nothing]),
            "nothing_was_right": self.share([not one.really for one in said_nothing]),
            "hits@10": self.share([one.hit for one in targets]),
            "hits@10.text_only": self.share([one.text_hit for one in targets]),
            "hits@10.clip_only": self.share([one.image_hit for one in targets]),
        }  # fmt: skip
        for kind in sorted({one.drawn.kind for one in judged}):
            found[f"read_exactly.{kind}"] = self.share([bool(one.exact) for one in judged if one.drawn.kind == kind])
        return found

    def gains(self) -> dict[str, Interval]:
        """Paired differences in HITS@10 of the assistant to search by text and by CLIP alone."""
        targets = self.with_target
        if not targets:
            return {}
        ours = [float(one.hit) for one in targets]
        others = {
            "text_only": [float(one.text_hit) for one in targets],
            "clip_only": [float(one.image_hit) for one in targets],
        }
        return {
            name: paired_difference(ours, theirs, draws=self.draws, seed=self.seed) for name, theirs in others.items()
        }

    def misread(self) -> list[Outcome]:
        """The queries that were not understood as they were meant."""
        return [one for one in self.outcomes if one.exact is False]

    def flat(self) -> dict[str, float]:
        """`assistant.<figure>`, with `.low` and `.high`; differences as `assistant.gain.<to>`."""
        intervals = {name: one for name, one in self.shares().items() if one is not None}
        intervals |= {f"gain.{name}": one for name, one in self.gains().items()}
        if self.taste is not None:
            intervals |= {
                "taste.hits@10.without": self.taste.without,
                "taste.hits@10.with": self.taste.with_user,
                "taste.hits@10.popularity": self.taste.with_popularity,
                "taste.gain": self.taste.gain,
                "taste.gain_over_popularity": self.taste.gain_over_popularity,
            }
        found: dict[str, float] = {}
        for name, one in intervals.items():
            found |= {
                f"assistant.{name}": one.value,
                f"assistant.{name}.low": one.low,
                f"assistant.{name}.high": one.high,
            }
        return found | {
            "assistant.queries": float(len(self.outcomes)),
            "assistant.seconds.p50": self.seconds[0],
            "assistant.seconds.p95": self.seconds[1],
        }


def measure_assistant(shop: Shop, progress: Progress) -> AssistantReport:
    """The report on a shop. Raises LookupError if the shop has no items or models yet."""
    settings = shop.settings
    # The rules are what is measured, whoever reads queries: a report must cost nothing.
    stylist = Stylist.of(shop).measured(worded=False)
    sources = read_sources(shop)
    held_out, validation = _parts(shop, sources)
    words = words_of_shop(truth_folder(settings) is not None)
    drawn = draw_queries(sources, held_out, words, settings.assistant.report_queries, seed=settings.seed)
    outcomes = ask_all(stylist, Facts.read(shop), drawn, progress)
    weights = _weights(stylist, draw_queries(sources, validation, words, len(drawn) // 2, seed=settings.seed + 1))
    taste = measure_taste(shop, stylist, sources, words)
    return AssistantReport(
        outcomes=tuple(outcomes),
        weights=weights,
        image_weight=settings.assistant.image_weight,
        taste=taste,
        seconds=_latency(
            stylist.measured(worded=True), draw_queries(sources, held_out, words, TIMED, seed=settings.seed + 2)
        ),
        draws=settings.evaluation.bootstrap,
        seed=settings.seed,
        items=len(stylist.catalog),
    )


def _parts(shop: Shop, sources: Sequence[Source]) -> tuple[list[str], list[str]]:
    """Items that the CLIP model never saw, and those that chose its epoch; halves of all where it saw none."""
    from fashionrec_assets.embeddings.ablation import held_out_items
    from fashionrec_assets.embeddings.clip_split import FamilySplit

    held_out = held_out_items(shop)
    ids = [one.item_id for one in sources]
    if not held_out:
        return ids[::2], ids[1::2]
    with shop.warehouse.reader() as connection:
        rows = connection.execute("SELECT item_id, coalesce(family_id, item_id) FROM items ORDER BY 1").fetchall()
    parts = FamilySplit.load(shop.current("clip_model")).parts([family for _, family in rows])
    chosen = [item_id for (item_id, _), part in zip(rows, parts, strict=True) if part == "validation"]
    return held_out, chosen or [item_id for item_id in ids if item_id not in set(held_out)]


def ask_all(stylist: Stylist, facts: Facts, drawn: Sequence[Drawn], progress: Progress) -> list[Outcome]:
    """What comes of each query, asked line by line."""
    catalog = stylist.catalog
    if not drawn:
        return []
    raw = stylist.retriever.scores([one.text for one in drawn])
    everything = np.ones(len(catalog), dtype=np.bool_)
    # What the conversations will ask is encoded in one batch; what this misses is encoded when it is asked.
    stylist.retriever.scores([parse(line, catalog.vocabulary).text or line for one in drawn for line in one.lines])
    outcomes: list[Outcome] = []
    for place, one in enumerate(drawn):
        talk = stylist.conversation(k=K)
        answer = [talk.ask(line) for line in one.lines][-1]
        returned = tuple(found.item_id for found in answer.items)
        by_text = catalog.item_ids[best(raw.by_text[place], everything, K)].tolist()
        right = facts.right(one.meant)
        by_image = catalog.item_ids[best(raw.by_image[place], everything, K)].tolist()
        outcomes.append(
            Outcome(
                one,
                answer.query,
                returned,
                as_meant(answer.query, one) if one.exact else None,
                len(right),
                sum(facts.keeps(item_id, answer.query.constraints) for item_id in returned),
                sum(item_id in right for item_id in returned),
                one.target in returned,
                one.target in by_text,
                one.target in by_image,
            )
        )
        progress(place + 1, len(drawn))
    return outcomes


def as_meant(query: Query, drawn: Drawn) -> bool:
    """Whether the constraints of `query` are exactly what the query was drawn to mean, no more and no less."""
    meant = drawn.meant
    wanted: dict[tuple[str, bool], set[str]] = {
        (name, excluded): readings(name, value)
        for excluded, values in ((False, meant.wanted), (True, meant.excluded))
        for name, value in values.items()
    }
    limits = {PRICE_BELOW: meant.high, PRICE_ABOVE: meant.low}
    for name, limit in limits.items():
        found = query.constraint(name)
        if (None if found is None else found.limit) != limit:
            return False
    said = {one.key: one.values for one in query.constraints if one.limit is None}
    return said.keys() == wanted.keys() and all(
        len(values) == 1 and " ".join(values[0].casefold().split()) in wanted[key] for key, values in said.items()
    )


def _weights(stylist: Stylist, drawn: Sequence[Drawn]) -> dict[float, float]:
    """HITS@10 on queries of one line by the weight of photos; constraints as ever."""
    catalog = stylist.catalog
    asked = [(parse(one.lines[0], catalog.vocabulary), one) for one in drawn if len(one.lines) == 1 and one.target]
    if not asked:
        return {}
    scores = stylist.retriever.scores([query.text for query, _ in asked])
    fits = [catalog.fitting(query, stylist.allowed) for query, _ in asked]
    found: dict[float, float] = {}
    for weight in IMAGE_WEIGHTS:
        fused = scores.fused(stylist.settings.model_copy(update={"image_weight": weight}))
        hits = [
            one.target in catalog.item_ids[best(fused[row], fits[row], K)].tolist()
            for row, (_, one) in enumerate(asked)
        ]
        found[weight] = float(np.mean(hits))
    return found


def _latency(stylist: Stylist, drawn: Sequence[Drawn]) -> tuple[float, float]:
    """Seconds of an answer, (p50, p95), to texts that were never encoded before, with everything loaded."""
    seconds = [stylist.ask(f"{one.lines[0]} nr {place}x").seconds for place, one in enumerate(drawn)]
    if not seconds:
        return 0.0, 0.0
    p50, p95 = np.percentile(seconds, [50, 95])
    return float(p50), float(p95)


def measure_taste(shop: Shop, stylist: Stylist, sources: Sequence[Source], words: Words) -> TasteGain | None:
    """What the user's tower adds on the test days; None without such users.

    For each user one item they turned to in the window and not before; of the items on sale those are ranked that fit
    the query and that the user had not bought.
    """
    from fashionrec_assets.catalog.ranking_task import ranking_tasks
    from fashionrec_assets.catalog.reading import cuts, launched

    settings = shop.settings
    log = stylist.people.log
    _, task = ranking_tasks(
        log,
        cuts(shop),
        launched_at=launched(shop),
        max_users=settings.assistant.report_users,
        max_cold_users=1,
        seed=settings.seed,
    )
    rng = np.random.default_rng(settings.seed + 3)
    asked: list[tuple[int, int, Query]] = []
    for place in np.flatnonzero(task.has_history).tolist():
        targets = task.target_items[task.target_offsets[place] : task.target_offsets[place + 1]]
        if not len(targets):
            continue
        row = int(targets[int(rng.integers(len(targets)))])
        drawn = draw_vague(sources[row], words, rng)
        if drawn is not None:
            asked.append((int(task.users[place]), row, parse(drawn.text, stylist.catalog.vocabulary)))
    if not asked:
        return None
    return _taste_gain(shop, stylist, task.history, task.start, task.pool, asked)


def _taste_gain(
    shop: Shop,
    stylist: Stylist,
    history: EventLog,
    start: int,
    pool: NDArray[np.bool_],
    asked: Sequence[tuple[int, int, Query]],
) -> TasteGain:
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.reading import EVALUATION, item_features, user_profiles
    from fashionrec_assets.towers.recommender import TwoTowerRecommender

    catalog, settings = stylist.catalog, stylist.settings
    users = np.array([user for user, _, _ in asked], dtype=np.int32)
    model = TwoTower.load(shop.current("two_tower_model") / EVALUATION)
    recommender = TwoTowerRecommender(
        model,
        history,
        item_features(shop, history.item_ids.tolist()),
        as_of=start,
        profiles=user_profiles(shop, history.user_ids.tolist()),
    )
    taste = standardised(recommender.score(users))
    people = np.unique(np.stack([history.items, history.users], axis=1), axis=0)[:, 0]
    popular = standardised(np.log1p(np.bincount(people, minlength=history.n_items)).astype(np.float32)[None, :])
    text = stylist.retriever.scores([query.text for _, _, query in asked]).fused(settings)
    weight = np.float32(settings.user_weight)
    arms = {"without": text, "user": text + weight * taste, "popularity": text + weight * popular}
    hits: dict[str, list[float]] = {name: [] for name in arms}
    bought = history.behaviours == BEHAVIOURS.index("buy")
    for place, (user, target, query) in enumerate(asked):
        fits = catalog.fitting(query, stylist.allowed & pool)
        fits[history.items[bought & (history.users == user)]] = False
        for name, scores in arms.items():
            hits[name].append(float(target in best(scores[place], fits, K).tolist()))
    draws, seed = shop.settings.evaluation.bootstrap, shop.settings.seed

    def gain(first: str, second: str) -> Interval:
        return paired_difference(hits[first], hits[second], draws=draws, seed=seed)

    interval = {name: mean_interval(values, draws=draws, seed=seed) for name, values in hits.items()}
    return TasteGain(
        len(asked),
        interval["without"],
        interval["user"],
        interval["popularity"],
        gain("user", "without"),
        gain("user", "popularity"),
    )

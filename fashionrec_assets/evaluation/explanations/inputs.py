"""What the report on explanations reads of a shop.

Belongs here: reads of published explanations, the features of the catalog, histories, and scores by the full ranker.
Does not belong here: figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.names import item_name
from fashionrec_assets.catalog.reading import cuts
from fashionrec_assets.evaluation.explanations.counterfactual import Faithfulness, Question, Trial, counterfactual
from fashionrec_assets.evaluation.explanations.history import Point, moved
from fashionrec_assets.evaluation.explanations.judges import Judgement, judge
from fashionrec_assets.evaluation.explanations.report import (
    ExplanationReport,
    counted,
    examples,
    faithfulness_figures,
    measure,
    untrue,
)
from fashionrec_assets.evaluation.explanations.rows import Explained
from fashionrec_assets.evaluation.explanations.simulation import recoveries
from fashionrec_assets.evaluation.explanations.texts import Vocabulary
from fashionrec_assets.recommendations.explanations.facts import Evidence, facts_of
from fashionrec_assets.recommendations.explanations.reading import recommended
from fashionrec_assets.recommendations.explanations.tables import PUBLISHED_SURFACES
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation
from fashionrec_assets.recommendations.feedback.answers import answers
from fashionrec_assets.recommendations.feedback.strategies import strategies_in_force
from fashionrec_assets.resources.llm import BASE_URL, KEY, endpoint_is_set
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.storage.tables import literal

if TYPE_CHECKING:
    from fashionrec_assets.catalog.event_log import EventLog

FIELDS = ("category", "product_type", "brand", "colour", "pattern", "section", "gender")
"""The catalog's columns whose values are features."""


def explained(shop: Shop, limit: int) -> tuple[list[Explained], int]:
    """At most `limit` explanations of each surface with their facts as they are now, and how many there are in all.

    Which ones follows from their keys alone: the same from run to run, as far as they are still there.
    """
    found: list[Explained] = []
    with shop.warehouse.reader() as connection:
        for surface in PUBLISHED_SURFACES:
            facts = recommended(f"surface = {literal(surface)} AND subject IN (SELECT subject FROM chosen)")
            rows = connection.execute(
                f"""
                WITH chosen AS (
                    SELECT subject, item_id, text, claims, lead, writer, rejected FROM explanations
                    WHERE surface = ? ORDER BY sha256(subject || chr(0) || item_id), subject, item_id LIMIT ?
                )
                SELECT chosen.*, items.title, known.facts FROM chosen
                JOIN items USING (item_id) LEFT JOIN ({facts}) known USING (subject, item_id)
                ORDER BY sha256(subject || chr(0) || item_id), subject, item_id
                """,
                [surface, limit],
            ).fetchall()
            found += [_explained(surface, *row) for row in rows]
        total = connection.execute("SELECT count(*) FROM explanations").fetchall()[0][0]
    return found, int(total)


def _explained(
    surface: Any,
    subject: str,
    item_id: str,
    text: str,
    claims: Sequence[dict[str, str]] | None,
    lead: Any,
    writer: Any,
    rejected: int,
    title: str,
    facts: Sequence[dict[str, object]] | None,
) -> Explained:
    stated = tuple(Claim(claim["text"], claim["cites"]) for claim in claims or ())
    return Explained(
        Evidence(surface, subject, item_id, item_name(title, item_id), facts_of(facts)),
        Explanation(text, stated, lead or None, writer, rejected),
    )


def vocabulary(shop: Shop) -> Vocabulary:
    """The features of the catalog: values of its columns, and of attributes read from descriptions."""
    columns = ", ".join(FIELDS)
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT DISTINCT value FROM (SELECT unnest([{columns}]) AS value FROM items UNION ALL "
            "SELECT unnest(attributes).value FROM descriptions) WHERE value IS NOT NULL"
        ).fetchall()
    return Vocabulary(row[0] for row in rows)


def history(shop: Shop) -> list[Point]:
    """The figures of earlier runs."""
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT run_at, settings, figure, value, low, high FROM explanation_history ORDER BY run_at, figure"
        ).fetchall()
    return [Point(*row) for row in rows]


@dataclass(frozen=True)
class _Ranking:
    log: EventLog
    score: Callable[[Sequence[Question]], NDArray[np.float64]]


def faithfulness(shop: Shop, rows: Sequence[Explained], progress: Callable[[int, int], None]) -> Faithfulness | None:
    """The counterfactual test on explanations of the homepage that cite events of their user; None without any."""
    settings = shop.settings.feedback
    citing = [one for one in rows if one.evidence.surface == "homepage" and _cited_items(one)]
    citing = citing[: settings.counterfactual_rows]
    if not citing:
        return None
    ranking = _ranking(shop, progress)
    return counterfactual(
        trials(citing, ranking.log),
        ranking.score,
        draws=settings.counterfactual_draws,
        seed=shop.settings.seed,
        bootstrap=shop.settings.evaluation.bootstrap,
    )


def _cited_items(one: Explained) -> set[str]:
    return {fact.item for fact in one.cited if fact.kind == "history" and fact.item is not None}


def trials(citing: Sequence[Explained], log: EventLog) -> list[Trial]:
    """What is to be taken away for each explanation, in rows of `log`; those whose user or items left it are not."""
    offsets = log.offsets()
    found: list[Trial] = []
    for one in citing:
        user, item = _row(log.user_ids, one.evidence.subject), _row(log.item_ids, one.evidence.item_id)
        if user is None or item is None:
            continue
        turned_to = set(log.items[offsets[user] : offsets[user + 1]].tolist())
        rows = {_row(log.item_ids, name) for name in _cited_items(one)}
        cited = {row for row in rows if row is not None and row in turned_to}
        if cited:
            found.append(Trial(user, item, tuple(sorted(cited)), tuple(sorted(turned_to - cited))))
    return found


def _row(ids: NDArray[np.str_], name: str) -> int | None:
    at = int(np.searchsorted(ids, name))
    return at if at < len(ids) and ids[at] == name else None


def _ranking(shop: Shop, progress: Callable[[int, int], None]) -> _Ranking:
    """The ranker that is served, as it scores a user whose log was shortened."""
    from fashionrec_assets.index.item_index import ItemIndex
    from fashionrec_assets.ranking.counterfactual import log_shares
    from fashionrec_assets.ranking.ranker import Ranker
    from fashionrec_assets.ranking.reading import RankingInputs
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.reading import SERVED

    inputs = RankingInputs.of(shop)
    tower = TwoTower.load(shop.current("two_tower_model") / SERVED)
    known = inputs.knowledge(cuts(shop).end, tower, ItemIndex.load(shop.current("faiss_index")))
    ranker = Ranker.load(shop.current("late_fusion_model") / SERVED)

    def score(questions: Sequence[Question]) -> NDArray[np.float64]:
        found = np.empty(len(questions))
        for at in range(0, len(questions), _PORTION):
            part = questions[at : at + _PORTION]
            found[at : at + len(part)] = log_shares(
                known,
                ranker,
                shop.settings.ranking,
                np.array([one.user for one in part], dtype=np.int64),
                np.array([one.item for one in part], dtype=np.int64),
                [np.array(one.removed, dtype=np.int64) for one in part],
            )
            progress(at + len(part), len(questions))
        return found

    return _Ranking(known.log, score)


_PORTION = 500


def measured(shop: Shop, at: datetime, run: str, progress: Callable[[int, int], None]) -> ExplanationReport:
    """Everything the report says; `at` (UTC) and `run`, the fingerprint of its settings, go into the history."""
    settings = shop.settings
    rows, total = explained(shop, settings.feedback.rows)
    figures = measure(
        rows, vocabulary(shop), settings.explanations, bootstrap=settings.evaluation.bootstrap, seed=settings.seed
    )
    test = faithfulness(shop, rows, progress)
    figures += faithfulness_figures(test)
    judgement, note = _judged(shop, rows)
    points = [Point(at, run, one.key, one.value, one.low, one.high) for one in figures]
    past = [*history(shop), *points]
    return ExplanationReport(
        tuple(figures),
        counted(rows, lambda one: one.explanation.lead or "nothing"),
        counted(rows, lambda one: one.explanation.writer),
        {name: found.get("nothing", 0) for name, found in counted(rows, _says_nothing).items()},
        untrue(rows, settings.explanations),
        examples(rows),
        total,
        test,
        recoveries(seed=settings.seed),
        judgement,
        note,
        len(answers(shop)),
        strategies_in_force(shop),
        tuple(past),
        tuple(moved(past, settings.feedback.drift)),
    )


def _says_nothing(one: Explained) -> str:
    return "something" if one.explanation.claims else "nothing"


def _judged(shop: Shop, rows: Sequence[Explained]) -> tuple[Judgement | None, str]:
    """What two language models say, or why they were not asked."""
    settings = shop.settings.feedback
    if settings.judges is None:
        return None, "Not run: feedback.judges names no models."
    if not endpoint_is_set():
        return None, f"Not run: neither {KEY} nor {BASE_URL} is set."
    asked = [one for one in rows if one.explanation.claims][: settings.judge_rows]
    return judge(asked, settings, shop.settings.explanations), "There was no explanation to grade."

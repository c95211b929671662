"""The explanations on the ranking page: the protocol, point by point, and the metrics.

Belongs here: words that hold whatever the figures are. Does not belong here: verdicts (`ranking_verdicts.py`), tables
and plots.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fashionrec_assets.evaluation.ranking_figures import RankingReport
from fashionrec_assets.evaluation.ranking_sections import BEHAVIOUR_TITLES
from fashionrec_assets.evaluation.slices import SLICE_TITLES

_FEW = 30


def moment(seconds: int) -> str:
    """A UTC second as a reader writes it: a day, with the time only where it is not midnight."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return f"second {seconds}"
    day = f"{at.day} {at:%B %Y}"
    return day if seconds % 86_400 == 0 else f"{day} {at:%H:%M} UTC"


def protocol_points(report: RankingReport) -> list[str]:
    """What was evaluated, on whom, and how far the figures can be trusted."""
    facts = report.setting
    words = [BEHAVIOUR_TITLES[behaviour] for behaviour in facts.behaviours]
    behaviours = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
    sampled = facts.evaluated_users + facts.evaluated_cold_users
    points = [
        f"Methods see every event before {moment(facts.start)}: {facts.history_events:,} events of "
        f"{facts.history_users:,} people. Nothing later reaches them.",
        f"Targets are {behaviours} from {moment(facts.start)} up to, not including, {moment(facts.end)}, on items "
        "new to the person.",
        f"Evaluated are {facts.evaluated_users:,} people with a history, who have {facts.targets:,} targets "
        f"({_percent(facts.cold_targets, facts.targets)} of them cold), and {facts.evaluated_cold_users:,} without.",
        f"Each method ranks the whole pool of {facts.pool:,} items launched by the end of the window "
        f"({facts.cold_pool:,} of them cold); no sampled candidates. What a person already had is never recommended.",
        "Choices, such as the blend's weights, are made on the validation days before, with methods that have not "
        "seen those days; the figures here come from the days after.",
        f"Intervals are 95 % percentile bootstrap intervals from {facts.bootstrap:,} resamples of the people. "
        "Comparisons are paired: both methods on the same resample.",
    ]
    if sampled < facts.eligible_users:
        points.append(f"These are a random sample: {facts.eligible_users:,} people were eligible.")
    small = [SLICE_TITLES[name].lower() for name in report.slices if _people(report, name) < _FEW]
    if small:
        points.append(
            f"Fewer than {_FEW} people stand behind the figures for {', '.join(small)}: read them as anecdotes."
        )
    if facts.repeated_targets:
        points.append(f"{facts.repeated_targets:,} pairs of person and item were set aside as repeats.")
    if facts.targets_outside_pool:
        points.append(
            f"{facts.targets_outside_pool:,} targets were set aside because the catalog says the item was launched "
            "only after the window."
        )
    return points


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


def metric_terms(k: int) -> list[tuple[str, str]]:
    """Each figure of the page and what it means."""
    return [
        (f"NDCG@{k}", "Rewards hits near the top of the list; 1 is a perfect order. The figure verdicts rest on."),
        (f"Recall@{k}", f"The share of a person's targets that is among the first {k}. Most people have few targets."),
        (f"Precision@{k}", f"The share of the {k} recommendations that are targets: small where targets are few."),
        (f"MRR@{k}", "One over the rank of the first hit: 1 if it is first, one half if second, 0 if there is none."),
        (f"Coverage@{k}", "The share of the pool that is recommended to at least one person."),
        (f"Novelty@{k}", "How surprising the items are, in bits: 10 means one person in 1,024 had touched them."),
        (
            f"Text diversity@{k}",
            "How unlike the texts of two items of one list are: 1 less their cosine, over all pairs.",
        ),
        (f"Type diversity@{k}", "The share of pairs of items of one list that are of different product types."),
        ("Growth", "How much memory the process grew by while the method was fitted; memory left free is used again."),
        ("Interval", "Where the figure would fall for other people of the same kind, 95 times in 100."),
    ]


def _people(report: RankingReport, slice_name: str) -> int:
    return next(row.users for row in report.rows if row.slice == slice_name)


def slice_size(report: RankingReport, slice_name: str) -> str:
    """How many people and targets stand behind a slice's figures."""
    row = next(row for row in report.rows if row.slice == slice_name)
    return f"{row.users:,} people, {row.targets:,} targets"

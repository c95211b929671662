"""What the study says in sentences: the paper's open questions first, each with its figures.

Belongs here: wording of verdicts and names of slices. Does not belong here: figures (`report.py`), the page around them
(`page.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fashionrec_assets.evaluation.ablations import Judgement
from fashionrec_assets.evaluation.ncf.grid import Subject, percent
from fashionrec_assets.evaluation.ncf.report import NcfReport, Outcome
from fashionrec_assets.evaluation.ncf.study import SLICES
from fashionrec_assets.evaluation.slices import SLICE_TITLES, SliceName
from fashionrec_assets.evaluation.words import Tone, Verdict, listed, paired, signed

JUDGEMENT_WORDS: Mapping[Judgement, str] = {
    "pays": "pays",
    "harms": "harms",
    "cannot_tell": "cannot be told",
    "reference": "reference",
}
_TONES: Mapping[Judgement, Tone] = {"pays": "good", "harms": "bad", "cannot_tell": "undecided", "reference": "note"}
SHORT_SLICES: Mapping[str, str] = {
    "warm": "warm",
    "cold": "cold",
    "cold_users": "0",
    "history_1": "1",
    "history_2_5": "2–5",
    "history_6_20": "6–20",
    "history_over_20": "over 20",
}


def ncf_verdicts(report: NcfReport) -> list[Verdict]:
    """The paper's three open questions, then what else the experiments tell, one line each."""
    return [
        *_cold_start_verdicts(report),
        *_question(report, "Open question 2, explicit alignment", ("alignment",)),
        *_question(report, "Open question 3, VAE samples rather than rules", ("vae_over_rule",)),
        *_question(report, "Text, photos and IDs together", ("modalities",)),
        *_question(report, "The fusion in force", ("fusion",)),
        *_question(report, "The matching in force", ("scorer",)),
        *_question(report, "More events", ("events",)),
        *_question(report, "The model beside content alone", ("baseline",)),
    ]


def _cold_start_verdicts(report: NcfReport) -> list[Verdict]:
    """Open question 1: samples overall and for whom, the degree, and generated embeddings of cold items."""
    lead = "Open question 1, cold start"
    found = _question(report, f"{lead}: VAE samples in the training data", ("vae",))
    found += [*_by_slice(report, lead), *_degree(report, lead)]
    found += _question(report, f"{lead}: what stands for the ID of a cold item", ("filling", "filling_over_rule"))
    return found


def _question(report: NcfReport, lead: str, subjects: Sequence[Subject]) -> list[Verdict]:
    """What pays, harms, and cannot be told, of the techniques of some subjects, in one sentence; none if none was run.

    One model may stand in several experiments; the same comparison is said once.
    """
    parts: dict[Judgement, list[str]] = {}
    said: set[tuple[str, str | None, str]] = set()
    of = {"overall": f"NDCG@{report.k}", "cold": f"NDCG@{report.k} of cold items"}
    measures: set[str] = set()
    for one in report.outcomes:
        figure, effect = one.headline, one.effect(one.variant.headline)
        if one.variant.subject not in subjects or figure is None or effect is None:
            continue
        if (comparison := report.comparison(one)) in said:
            continue
        said.add(comparison)
        measures.add(of[one.variant.headline])
        spoken = f"{signed(effect.value)}; {signed(effect.low)} to {signed(effect.high)}{_at_a_price(one)}"
        parts.setdefault(figure.judgement, []).append(f"{one.variant.technique} ({spoken})")
    if not parts:
        return []
    order: tuple[Judgement, ...] = ("pays", "harms", "cannot_tell")
    words = {"pays": "pays", "harms": "harms", "cannot_tell": "cannot be told from chance"}
    text = "; ".join(f"{words[judgement]}: {listed(parts[judgement])}" for judgement in order if judgement in parts)
    tone: Tone = _TONES[next(iter(parts))] if len(parts) == 1 else "note"
    return [Verdict(tone, f"{lead}, by {listed(sorted(measures))}: {text}.")]


def _at_a_price(one: Outcome) -> str:
    """What a technique that is judged in a slice costs everybody, where it does."""
    overall, effect = one.figures.get(("overall", "ndcg")), one.effect()
    if one.variant.headline == "overall" or overall is None or effect is None or overall.judgement != "harms":
        return ""
    return f", but {signed(effect.value)} overall"


def _by_slice(report: NcfReport, lead: str) -> list[Verdict]:
    """Whom the samples of the settings' degree serve."""
    one = _samples(report)
    if one is None:
        return []
    parts: list[str] = []
    for name in SLICES:
        effect, figure = one.effect(name), one.figures.get((name, "ndcg"))
        if name != "overall" and effect is not None and figure is not None:
            parts.append(f"{slice_title(name)} {JUDGEMENT_WORDS[figure.judgement]} ({signed(effect.value)})")
    text = f"{lead}: for whom VAE samples work, NDCG@{report.k} by slice: {', '.join(parts)}."
    return [Verdict("note", text)] if parts else []


def _samples(report: NcfReport) -> Outcome | None:
    """The model with VAE samples that stands for the technique: all events, the test window, the settings in force."""
    for experiment in (3, 2, 5):
        for one in report.of(experiment, contrasts=False):
            if one.variant.subject == "vae":
                return one
    return None


def _degree(report: NcfReport, lead: str) -> list[Verdict]:
    """The best degree of those tried, and whether it can be told from no samples."""
    tried = [one for one in report.of(3, contrasts=False) if one.variant.reference == "augmentation=none"]
    tried = [one for one in tried if one.variant.subject == "vae" and one.headline is not None]
    if not tried:
        return []
    best = max(tried, key=lambda one: one.headline.value if one.headline is not None else 0.0)
    effect, figure = best.effect(), best.headline
    if effect is None or figure is None:
        return []
    degrees = ", ".join(percent(one.variant.degree) for one in tried)
    none = report.find("augmentation=none")
    ahead = none is None or none.headline is None or figure.value > none.headline.value
    words = f"{percent(best.variant.degree)}" if ahead else "none at all"
    text = (
        f"{lead}: of the degrees tried (none, {degrees}) the best by NDCG@{report.k} is {words}; "
        f"{percent(best.variant.degree)} {JUDGEMENT_WORDS[figure.judgement]} against none: {paired(effect)}."
    )
    return [Verdict(_TONES[figure.judgement], text)]


def slice_title(name: SliceName) -> str:
    words = {"overall": "Overall", "warm": "warm items", "cold": "cold items", "cold_users": "people without events"}
    return (
        words.get(name)
        or f"people with {SHORT_SLICES.get(name, SLICE_TITLES[name])} {'event' if name == 'history_1' else 'events'}"
    )

"""What is wrong, if the figures say so: the failure signatures of the study's model, each with its evidence.

Belongs here: the signatures with their thresholds, likely causes and what to do. Does not belong here: figures
(`report.py`), layout.

The signatures are those of the notes on arXiv 2410.02219: low Precision@K with a high MSE (poor fusion, or samples of
the VAE that have nothing to do with anybody), high Precision@K with low NDCG (the right items in the wrong places), and
a long training for nothing (vectors too wide, a VAE too complex). To them comes the plain one: samples that hurt. The
paper gives no thresholds; low and high are against the variant's own reference, by paired interval, or against the
other models of the same window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.ncf.grid import Subject
from fashionrec_assets.evaluation.ncf.report import Figure, NcfReport, Outcome
from fashionrec_assets.evaluation.words import number, signed

_About = Literal["samples", "fusion", "filling", "other"]
Signature = Literal["imprecise_and_far_off", "wrong_order", "slow_for_nothing", "harmful_samples"]

SIGNATURES: dict[Signature, str] = {
    "imprecise_and_far_off": "Low precision with a high error",
    "wrong_order": "The right items in the wrong places",
    "slow_for_nothing": "Long training for nothing",
    "harmful_samples": "VAE samples that hurt",
}
LOW_PRECISION = 0.5
"""Share of the best precision of the window below which a model that is no better than the base rate is imprecise."""
LOW_ORDER = 0.9
"""Share of the usual NDCG for the precision below which the order of a list is wrong."""
FEWEST_PEERS = 3
"""Other models of a window that say what is usual."""
SLOW = 2.0
"""Times the seconds of the reference."""
SLOW_SECONDS = 1.0
"""Seconds more than the reference's that are worth a word."""


@dataclass(frozen=True)
class Finding:
    """One signature at one variant: the figures that show it, the likely cause, and what to do.

    `models`: the fingerprints of those the evidence is about; findings that share them are one.
    """

    signature: Signature
    variant: str
    title: str
    models: tuple[str, ...]
    evidence: str
    cause: str
    remedy: str


def diagnose(report: NcfReport) -> tuple[Finding, ...]:
    """Every signature at every model, in the order of `SIGNATURES`; empty if nothing was found.

    A comparison that stands in several experiments is named once.
    """
    found: list[Finding] = []
    models = [one for one in report.outcomes if not one.variant.contrast and not one.variant.baseline]
    found += [finding for one in models if (finding := _imprecise(report, one, models)) is not None]
    found += [finding for one in models if (finding := _wrong_order(report, one, models)) is not None]
    found += [finding for one in models if (finding := _slow(report, one)) is not None]
    found += [finding for one in models if (finding := _harmful(report, one)) is not None]
    unique: dict[tuple[Signature, tuple[str, ...]], Finding] = {}
    for finding in found:
        unique.setdefault((finding.signature, finding.models), finding)
    return tuple(unique.values())


def _imprecise(report: NcfReport, one: Outcome, models: Sequence[Outcome]) -> Finding | None:
    """Both worse than the reference beyond chance, or worse than the base rate and far behind in precision.

    To have fewer events is meant to be worse, and so is to know less of an item; but where one modality alone is better
    in both, it is the fusion of all of them that fails.
    """
    precision, mse = one.figures.get(("overall", "precision")), one.figures.get(("overall", "mse"))
    base = one.figures.get(("overall", "base_mse"))
    if precision is None or mse is None:
        return None
    lower, higher = precision.difference, mse.difference
    subject = one.variant.subject
    if lower is not None and higher is not None and subject == "modalities":
        whole = report.find(one.variant.reference)
        if whole is not None and lower.low > 0 and higher.high < 0:
            evidence = (
                f"“{one.variant.title}” is better in both: Precision@{report.k} {number(precision.value)}, "
                f"{_gap(lower)}, and MSE {number(mse.value)}, {_gap(higher)}."
            )
            return _finding("imprecise_and_far_off", whole, evidence, (whole.model, one.model), about="fusion")
    elif lower is not None and higher is not None and subject != "events" and lower.high < 0 and higher.low > 0:
        evidence = (
            f"Precision@{report.k} {number(precision.value)}, {_gap(lower)}, and MSE {number(mse.value)}, "
            f"{_gap(higher)}, against “{_reference(report, one)}”."
        )
        return _finding("imprecise_and_far_off", one, evidence, _both(report, one))
    best = max((_value(peer, "precision") for peer in _peers(one, models)), default=0.0)
    if base is not None and mse.interval.low > base.value and precision.value < LOW_PRECISION * best:
        evidence = (
            f"MSE {number(mse.value)}, where foretelling the base rate for everything gives {number(base.value)}, and "
            f"Precision@{report.k} {number(precision.value)} beside {number(best)} of the best model."
        )
        return _finding("imprecise_and_far_off", one, evidence, (one.model,))
    return None


def _wrong_order(report: NcfReport, one: Outcome, models: Sequence[Outcome]) -> Finding | None:
    """Precision not below the middle of the window's models, yet less NDCG than they get for the same precision."""
    peers = [peer for peer in _peers(one, models) if _value(peer, "precision") > 0]
    precision, ndcg = _value(one, "precision"), _value(one, "ndcg")
    if len(peers) < FEWEST_PEERS or precision <= 0:
        return None
    usual = precision * median(_value(peer, "ndcg") / _value(peer, "precision") for peer in peers)
    if precision < median(_value(peer, "precision") for peer in peers) or ndcg >= LOW_ORDER * usual:
        return None
    evidence = (
        f"Precision@{report.k} {number(precision)}, with which the other models get an NDCG@{report.k} of about "
        f"{number(usual)}; this one gets {number(ndcg)}."
    )
    return _finding("wrong_order", one, evidence, (one.model,))


def _slow(report: NcfReport, one: Outcome) -> Finding | None:
    """More than `SLOW` times the reference's seconds, and no gain in NDCG beyond chance."""
    base = report.find(one.variant.reference)
    gap = _ndcg_gap(one)
    if base is None or gap is None or one.variant.subject == "events" or gap.low > 0:
        return None
    if one.seconds <= SLOW * base.seconds or one.seconds - base.seconds < SLOW_SECONDS:
        return None
    evidence = (
        f"{one.seconds:.1f} s of training, {one.seconds / max(base.seconds, 1e-9):.1f} times the {base.seconds:.1f} s "
        f"of “{base.variant.title}”; NDCG@{report.k} {_gap(gap)}; {_per_point(one)} for each point of NDCG "
        f"instead of {_per_point(base)}."
    )
    return _finding("slow_for_nothing", one, evidence, _both(report, one))


def _harmful(report: NcfReport, one: Outcome) -> Finding | None:
    """Samples of the VAE in training are judged to harm NDCG or the error."""
    if one.variant.subject != "vae":
        return None
    said: list[str] = []
    figures: tuple[tuple[str, Figure | None], ...] = (
        (f"NDCG@{report.k}", one.figures.get(("overall", "ndcg"))),
        ("MSE", one.figures.get(("overall", "mse"))),
    )
    for title, figure in figures:
        if figure is not None and figure.difference is not None and figure.judgement == "harms":
            said.append(f"{title} {number(figure.value)}, {_gap(figure.difference)}")
    if not said:
        return None
    evidence = f"{'; '.join(said)}, against “{_reference(report, one)}”."
    return _finding("harmful_samples", one, evidence, _both(report, one))


def _finding(
    signature: Signature, one: Outcome, evidence: str, models: tuple[str, ...], about: _About | None = None
) -> Finding:
    area = about or _about(one)
    cause, remedy = _ADVICE.get((signature, area)) or _ADVICE[signature, "other"]
    return Finding(signature, one.variant.name, one.variant.title, models, evidence, cause, remedy)


def _both(report: NcfReport, one: Outcome) -> tuple[str, ...]:
    base = report.find(one.variant.reference)
    return (one.model,) if base is None else (one.model, base.model)


_SAMPLES: tuple[Subject, ...] = ("vae", "augmentation")
_FILLED: tuple[Subject, ...] = ("filling", "filling_over_rule")
_FUSED: tuple[Subject, ...] = ("fusion", "modalities", "alignment")


def _about(one: Outcome) -> _About:
    """What a cause is first looked for in: what the variant differs in, or else what it has."""
    if one.variant.subject in _SAMPLES:
        return "samples"
    if one.variant.subject in _FUSED:
        return "fusion"
    if one.variant.subject in _FILLED:
        return "filling"
    return "samples" if one.variant.augmentation is not None else "other"


_LESS_VAE = "Lower synthesis.degree or synthesis.weight, or synthesis.temperature if the samples are spread too wide"
_OFF = "set synthesis.degree to 0 to train without samples"
_ADVICE: dict[tuple[Signature, _About], tuple[str, str]] = {
    ("imprecise_and_far_off", "samples"): (
        "The synthetic samples have little to do with what these people want.",
        f"{_LESS_VAE}; look at vae_synthetic_samples, or {_OFF}.",
    ),
    ("imprecise_and_far_off", "fusion"): (
        "What is fused, or how, loses what tells items apart.",
        "Take the fusion or the modalities of the reference (ncf.fusion, ncf.modalities, ncf.alignment).",
    ),
    ("imprecise_and_far_off", "filling"): (
        "The embeddings made for cold items lift them over what more people want.",
        "If cold items do not gain enough by it, set ncf.cold_items to unknown or lower ncf.new_item_price.",
    ),
    ("imprecise_and_far_off", "other"): (
        "The model has learned too little: too few events, or a matching that is too weak for them.",
        "Take the choice of the reference; with few events, give content more say (a higher ncf.id_dropout).",
    ),
    ("wrong_order", "samples"): (
        "Samples blur the differences between good items: the list is right, its order is not.",
        f"{_LESS_VAE}.",
    ),
    ("wrong_order", "fusion"): (
        "The fused vectors find the kind of item but not the item.",
        "Take another ncf.fusion; let late fusion order the list (asset late_fusion_model).",
    ),
    ("wrong_order", "other"): (
        "The score separates items from the rest of the pool, but hardly from each other.",
        "More ncf.negatives, fewer of them drawn uniformly (ncf.uniform_negatives), or another ncf.scorer.",
    ),
    ("slow_for_nothing", "samples"): (
        "The generator is too complex, or makes too many samples.",
        f"Lower synthesis.degree, synthesis.epochs, synthesis.hidden or synthesis.latent, or {_OFF}.",
    ),
    ("slow_for_nothing", "fusion"): (
        "Vectors or token sequences are larger than what they add is worth.",
        "Lower ncf.token_dim, ncf.layers, tokens.text_tokens or tokens.image_side, or take the cheaper choice.",
    ),
    ("slow_for_nothing", "other"): (
        "The choice costs time that these events do not pay back.",
        "Take the cheaper choice, or lower ncf.dim and ncf.mlp.",
    ),
    ("harmful_samples", "samples"): (
        "The VAE has learned too little from these events to make samples better than none, or too many are made.",
        f"{_LESS_VAE}; otherwise {_OFF}.",
    ),
}


def _peers(one: Outcome, models: Sequence[Outcome]) -> list[Outcome]:
    """The other models of the same window, each once."""
    found = {peer.model: peer for peer in models if peer.variant.window == one.variant.window}
    return [peer for model, peer in found.items() if model != one.model]


def _value(one: Outcome, metric: Literal["ndcg", "precision"]) -> float:
    figure = one.figures.get(("overall", metric))
    return 0.0 if figure is None else figure.value


def _ndcg_gap(one: Outcome) -> Interval | None:
    figure = one.figures.get(("overall", "ndcg"))
    return None if figure is None else figure.difference


def _reference(report: NcfReport, one: Outcome) -> str:
    base = report.find(one.variant.reference)
    return one.variant.reference if base is None else base.variant.title


def _gap(gap: Interval) -> str:
    return f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})"


def _per_point(one: Outcome) -> str:
    """Seconds of training for each hundredth of NDCG."""
    points = 100 * _value(one, "ndcg")
    return f"{one.seconds / points:.2f} s" if points > 0 else "any number of seconds"

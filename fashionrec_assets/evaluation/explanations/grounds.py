"""Whether claims are true, and whether explanations name what decided.

Belongs here: precision of claims and coverage of evidence. Does not belong here: the check of a claim (the verifier of
the explanations' own room, run again), what happens to scores without the evidence (`counterfactual.py`).
"""

from __future__ import annotations

from fashionrec_assets.evaluation.explanations.rows import Explained
from fashionrec_assets.recommendations.explanations.verifier import claim_problems, problems
from fashionrec_assets.settings import ExplanationSettings


def true_claims(one: Explained, settings: ExplanationSettings) -> tuple[int, int]:
    """Claims of a published explanation that hold against the facts as they are now, and all of them."""
    claims = one.explanation.claims
    return sum(not claim_problems(claim, one.evidence, settings) for claim in claims), len(claims)


def is_covered(one: Explained, settings: ExplanationSettings) -> bool:
    """Whether the whole text is accounted for: every claim holds, and nothing is said outside of claims."""
    return not problems(one.explanation, one.evidence, settings)


def claims_written(one: Explained) -> tuple[int, int]:
    """Claims that were published, and all that were written on the way, refused ones included."""
    return len(one.explanation.claims), len(one.explanation.claims) + one.explanation.rejected


def cites_the_weightiest(one: Explained) -> bool | None:
    """Whether a fact is cited than which none weighs more; None where the model puts weight on no fact."""
    most = max((fact.weight for fact in one.evidence.facts), default=0.0)
    return None if most <= 0 else any(fact.weight >= most for fact in one.cited)


def weight_cited(one: Explained) -> float | None:
    """The share of all positive weight that lies on cited facts; None where the model puts weight on no fact."""
    total = sum(max(fact.weight, 0.0) for fact in one.evidence.facts)
    return None if total <= 0 else sum(max(fact.weight, 0.0) for fact in one.cited) / total

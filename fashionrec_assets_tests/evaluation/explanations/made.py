"""Explanations made by hand, for tests of what is measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fashionrec_assets.evaluation.explanations.rows import Explained
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Surface
from fashionrec_assets.recommendations.explanations.texts import Claim, Explanation

POPULAR = Fact("f1", "popularity", number=38, base=7, weight=0.5)
BLACK = Fact("f2", "shared", "colour", "black", number=5, base=23, weight=0.3)
COAT = Fact("f3", "shared", "product_type", "coat", number=5, base=8, weight=0.2)
SAID = {
    "f1": "38 people turned to it in the last 7 days",
    "f2": "It is black, as are 5 of the 23 items you turned to",
    "f3": "Its type is coat, as it is with 5 of the 8 items you turned to",
}


def made(
    cites: Sequence[str],
    *,
    subject: str = "u",
    item: str = "i",
    surface: Surface = "homepage",
    facts: Sequence[Fact] = (POPULAR, BLACK, COAT),
    said: Mapping[str, str] | None = None,
    rejected: int = 0,
) -> Explained:
    """An explanation that cites facts by their ids, in words that hold unless `said` says otherwise."""
    words = {**SAID, **(said or {})}
    claims = tuple(Claim(words[name], name) for name in cites)
    evidence = Evidence(surface, subject, item, "Coat", tuple(facts))
    text = ". ".join(claim.text for claim in claims) + "."
    cited = next((fact for fact in facts if cites and fact.id == cites[0]), None)
    return Explained(evidence, Explanation(text, claims, cited and cited.kind, "rules", rejected))

"""Published explanations with the facts they were made of: what every figure of the report is computed from.

Belongs here: that form. Does not belong here: reading tables (`inputs.py`), figures.
"""

from __future__ import annotations

from dataclasses import dataclass

from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact
from fashionrec_assets.recommendations.explanations.texts import Explanation


@dataclass(frozen=True)
class Explained:
    """A published explanation, and what is known of its recommendation now."""

    evidence: Evidence
    explanation: Explanation

    @property
    def text(self) -> str:
        return self.explanation.text

    @property
    def cited(self) -> tuple[Fact, ...]:
        """The facts that some claim cites, in the order of the evidence."""
        wanted = {claim.cites for claim in self.explanation.claims}
        return tuple(fact for fact in self.evidence.facts if fact.id in wanted)

    @property
    def cluster(self) -> str:
        """Explanations of one reader are alike: intervals draw readers, not explanations."""
        return f"{self.evidence.surface}/{self.evidence.subject}"

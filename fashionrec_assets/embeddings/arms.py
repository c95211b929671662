"""The arms of the content ablation: CLIP with and without training, grounding and clarified text.

Belongs here: which arms there are and what each one reads. Does not belong here: training them (`clip_training.py`),
comparing them (`evaluation`).

The factorial design of VL-CLIP (arXiv 2507.17080, section 4): three techniques, each off or on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Arm:
    """One combination: `tuned` on the catalog or original weights, the crop or the whole photo, clarified or raw text.

    A tuned arm is trained on the same images and texts that it is measured with.
    """

    tuned: bool
    grounded: bool
    clarified: bool

    @property
    def name(self) -> str:
        """Such as "tuned+grounded"; "original" with everything off. Names the arm's folder."""
        return "+".join(part for part in ("tuned", "grounded", "clarified") if getattr(self, part)) or "original"


FULL = Arm(tuned=True, grounded=True, clarified=True)
"""The model the lineage serves."""

ARMS = tuple(Arm(tuned, grounded, clarified) for tuned, grounded, clarified in product((False, True), repeat=3))
"""All eight, the untouched one first and `FULL` last."""

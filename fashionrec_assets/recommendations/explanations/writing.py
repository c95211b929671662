"""From evidence to texts that have passed the verifier.

Belongs here: the order of writing, judging and replacing, by whichever writer. Does not belong here: any of the three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fashionrec_assets.recommendations.explanations.by_llm import LanguageModelWriter, Wish
from fashionrec_assets.recommendations.explanations.facts import Evidence, Kind
from fashionrec_assets.recommendations.explanations.realiser import realise
from fashionrec_assets.recommendations.explanations.texts import NOTHING, Explanation
from fashionrec_assets.recommendations.explanations.verifier import claim_problems, problems
from fashionrec_assets.settings import ExplanationSettings

_REPORT_EVERY = 10_000


class UnverifiedTextError(RuntimeError):
    """A text was about to be published that the verifier refuses."""


def explain(
    evidence: Sequence[Evidence],
    settings: ExplanationSettings,
    *,
    seed: int,
    orders: Sequence[Sequence[Kind] | None] | None = None,
    model: LanguageModelWriter | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Explanation]:
    """One explanation for each piece of evidence, in order; every text has passed the verifier.

    All evidence of a subject comes in one go and in the order it is shown, best first: no two texts in a row open
    alike where that can be helped. `orders`: for each, kinds of fact to lead with. With `model`, the texts are the
    language model's as far as they hold.

    Raises ValueError if `orders` has another length, UnverifiedTextError if a text without its refused claims is
    refused all the same.
    """
    if orders is not None and len(orders) != len(evidence):
        raise ValueError(f"{len(evidence)} pieces of evidence and {len(orders)} orders")
    wanted = orders or [None] * len(evidence)
    if model is not None:
        wishes = [Wish(one, order) for one, order in zip(evidence, wanted, strict=True)]
        drafts = model.write(wishes, seed=seed, progress=progress)
        return [_held(draft, one, settings, seed) for draft, one in zip(drafts, evidence, strict=True)]
    made: list[Explanation] = []
    before = subject = ""
    for done, (one, order) in enumerate(zip(evidence, wanted, strict=True), 1):
        text = realise(one, settings, seed=seed, order=order, before=before if one.subject == subject else "")
        made.append(_held(text, one, settings, seed))
        before, subject = made[-1].text, one.subject
        if done % _REPORT_EVERY == 0:
            progress(done, len(evidence))
    progress(len(evidence), len(evidence))
    return made


def _held(made: Explanation, evidence: Evidence, settings: ExplanationSettings, seed: int) -> Explanation:
    """`made` if it passes; else what rules say without the facts whose claims do not, those claims counted."""
    rejected = made.rejected
    left = evidence
    while problems(made, evidence, settings):
        if not made.claims:
            raise UnverifiedTextError(f"the text {made.text!r} is refused and has no claim to leave out")
        bad = {claim.cites for claim in made.claims if claim_problems(claim, evidence, settings)}
        # A text whose claims hold one by one, and which is refused as a whole, is given up as a whole.
        bad = bad or {claim.cites for claim in made.claims}
        rejected += len(bad)
        left = replace(left, facts=tuple(fact for fact in left.facts if fact.id not in bad))
        made = replace(realise(left, settings, seed=seed), writer="fallback")
        if not left.facts:
            made = Explanation(NOTHING[evidence.surface], (), None, "fallback")
    return replace(made, rejected=rejected) if rejected != made.rejected else made

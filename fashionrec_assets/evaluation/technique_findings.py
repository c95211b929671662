"""One line per technique: does it pay, and if nobody can tell, how many items would tell.

Belongs here: which effect decides, and the sentence. Does not belong here: the rule for one effect
(`technique_effects.py`), measuring (`retrieval_report.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fashionrec_assets.evaluation.ranking_report import Tone, Verdict, number, signed
from fashionrec_assets.evaluation.retrieval import ALL, HEADLINE, Metric
from fashionrec_assets.evaluation.technique_effects import (
    TECHNIQUE_TITLES,
    TECHNIQUES,
    Effect,
    Judgement,
    Technique,
    find_effect,
    is_about_zero,
    judge,
    queries_needed,
    queries_to_part,
)

PHRASE_HEADLINE: Final[Metric] = ("ndcg", 10)
"""Of the phrases, which have several right answers: one within the first five is soon found."""
HARD_SLICES: Final = ("worn_or_cluttered", "small_garment")
"""Photos that grounding is for; the first one that there is stands in the verdicts."""


@dataclass(frozen=True)
class Finding:
    """The verdict on one technique. `effect` is the one that decided, None if it was not measured."""

    technique: Technique
    judgement: Judgement | None
    effect: Effect | None
    needed_items: int | None
    verdict: Verdict


def finding_of(technique: Technique, effects: Sequence[Effect], worth: float, items: int, catalog: int) -> Finding:
    """The verdict on `technique` from the measured `effects`; `items` are held out of a `catalog` of that many."""
    title = TECHNIQUE_TITLES[technique]
    own = _own(technique, effects)
    if own is None:
        return Finding(technique, None, None, None, Verdict("note", f"{title}: not measured, {_why_not(technique)}."))
    judgement, decided, reason = judge(own, worth), own, ""
    if technique == "clarified" and judgement == "pays":
        # Its own text is another question: it must not win by asking an easier one.
        asked = find_effect(effects, technique, own.setting, "phrase_to_image", ALL, PHRASE_HEADLINE)
        judgement, decided, reason = _on_same_questions(own, asked, worth)
    needed = None
    if judgement == judge(decided, worth) == "cannot_tell":
        needed = _scaled(queries_needed(decided, worth), catalog / max(1, decided.queries))
    said = _said(judgement, decided, worth, needed, items / max(1, catalog))
    where = "" if own.setting == "added_last" else ", added to the original model"
    text = (
        f"{title}: {said} Text to image HITS@5 is {number(own.first.value)} with it, {number(own.second.value)} "
        f"without{where}: {_gap(own)}.{reason}"
    )
    return Finding(technique, judgement, decided, needed, Verdict(_TONES[judgement], text))


def hard_photos(effects: Sequence[Effect]) -> list[Verdict]:
    """What the techniques do on the photos that grounding is for, in one sentence; none where nothing was measured."""
    for name in HARD_SLICES:
        found = [
            effect
            for technique in TECHNIQUES
            if (own := _own(technique, effects)) is not None
            and (effect := find_effect(effects, technique, own.setting, own.task, name, HEADLINE)) is not None
        ]
        if found:
            return [
                Verdict(
                    "note",
                    f"{_PHOTOS[name]} ({found[0].queries:,}), HITS@5: "
                    f"{'; '.join(f'{TECHNIQUE_TITLES[e.technique].lower()} {_gap(e)}, {_apart(e)}' for e in found)}.",
                )
            ]
    return []


def _apart(effect: Effect) -> str:
    """Whether the two arms' own intervals overlap, and if so, how many queries would part them."""
    if effect.apart:
        return "own intervals apart"
    needed = queries_to_part(effect)
    return f"own intervals overlap{f', {needed:,} such photos would part them' if needed is not None else ''}"


def _own(technique: Technique, effects: Sequence[Effect]) -> Effect | None:
    """The effect that a verdict starts from: in the arm with everything if it was measured there."""
    settings = ("added_last", "added_first")
    found = (find_effect(effects, technique, setting, "text_to_image", ALL, HEADLINE) for setting in settings)
    return next((effect for effect in found if effect is not None), None)


def _why_not(technique: Technique) -> str:
    if technique == "tuned":
        return "there is no fine-tuned model beside an original one"
    return "there is no arm without it (setting clip.ablations)"


def _on_same_questions(own: Effect, asked: Effect | None, worth: float) -> tuple[Judgement, Effect, str]:
    """The judgement on clarified text that wins with its own words, from the questions that are the same for both."""
    if not own.trained:
        return "pays", own, " Its own text is another question, though, and this model has not learned from it."
    if asked is None:
        return "cannot_tell", own, " But its own text is another question, and there are no phrases to ask both arms."
    judgement, said = judge(asked, worth), f"the same phrases, NDCG@10: {_gap(asked)}."
    match judgement:
        case "pays":
            return "pays", own, f" Asked {said}"
        case "harms":
            return "harms", asked, f" Its own text is easier to find, but asked {said}"
        case _:
            return judgement, asked, f" But its own text is another question; asked {said}"


def _said(judgement: Judgement, effect: Effect, worth: float, needed: int | None, held_share: float) -> str:
    match judgement:
        case "pays":
            return "pays, and the intervals of the two arms do not overlap." if effect.apart else "pays."
        case "does_not_pay":
            return f"does not pay, it gives less than {number(worth, 2)}."
        case "harms":
            return "harms, it costs more than it gives."
        case "cannot_tell":
            if needed is None:
                return "cannot tell yet."
            zero = "; the effect seen is about zero" if is_about_zero(effect, worth) else ""
            if effect.task == "phrase_to_image":
                asked = f"asked by {queries_needed(effect, worth):,} phrases (setting retrieval.phrases)"
                return f"cannot tell yet: needs about {needed:,} items, {asked}{zero}."
            return f"cannot tell yet: needs about {needed:,} items, {_scaled(needed, held_share):,} held out{zero}."


def _scaled(count: int, factor: float) -> int:
    """`count * factor`, to two digits."""
    return int(float(f"{max(1.0, count * factor):.2g}"))


def _gap(effect: Effect) -> str:
    gap = effect.difference
    return f"{signed(gap.value)} ({signed(gap.low)} to {signed(gap.high)})"


_TONES: Final[Mapping[Judgement, Tone]] = {
    "pays": "good",
    "does_not_pay": "bad",
    "harms": "bad",
    "cannot_tell": "undecided",
}
_PHOTOS: Final = {
    "worn_or_cluttered": "On worn or cluttered photos",
    "small_garment": "On photos that the garment fills to less than half",
}

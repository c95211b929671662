"""Writing, judging and replacing."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from fashionrec_assets.recommendations.explanations import writing
from fashionrec_assets.recommendations.explanations.facts import Evidence
from fashionrec_assets.recommendations.explanations.realiser import realise
from fashionrec_assets.recommendations.explanations.texts import NOTHING, Claim, Explanation
from fashionrec_assets.recommendations.explanations.verifier import problems
from fashionrec_assets.recommendations.explanations.writing import UnverifiedTextError, explain
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets_tests.recommendations.explanations.evidence import EVERYTHING, about, random_evidence

SETTINGS = ExplanationSettings()


def test_everything_published_passes() -> None:
    rng = random.Random(1)
    evidence = [random_evidence(rng, f"u{place // 10}") for place in range(500)]
    heard: list[tuple[int, int]] = []
    made = explain(evidence, SETTINGS, seed=1, progress=lambda done, total: heard.append((done, total)))
    assert len(made) == 500 and heard[-1] == (500, 500)
    assert not any(problems(text, one) for text, one in zip(made, evidence, strict=True))
    assert {text.writer for text in made} == {"rules"} and sum(text.rejected for text in made) == 0


def test_two_texts_in_a_row_open_differently_for_one_subject_only() -> None:
    page = [replace(about(EVERYTHING[0], subject="u1"), item_id=f"x{place}") for place in range(30)]
    made = [text.text.split()[:2] for text in explain(page, SETTINGS, seed=1)]
    assert all(one != other for one, other in pairwise(made))
    alone = replace(page[5], subject="u2")
    assert explain([*page, alone], SETTINGS, seed=1)[-1] == explain([alone], SETTINGS, seed=1)[0]


def test_orders_choose_the_lead() -> None:
    page = [about(*EVERYTHING[:8])] * 3
    made = explain(page, SETTINGS, seed=1, orders=[None, ["price"], ["popularity", "price"]])
    assert [text.lead for text in made] == ["history", "price", "popularity"]
    with pytest.raises(ValueError, match="3 pieces of evidence and 1 orders"):
        explain(page, SETTINGS, seed=1, orders=[None])


def lying(evidence: Evidence, settings: ExplanationSettings, **rest: object) -> Explanation:
    """A realiser that gets the first two facts wrong."""
    made = realise(evidence, settings, **rest)  # pyright: ignore[reportArgumentType]
    claims = tuple(
        Claim("It is the best", claim.cites) if claim.cites in ("f1", "f2") else claim for claim in made.claims
    )
    text = " ".join(claim.text + "." for claim in claims)
    return replace(made, text=text, claims=claims) if claims != made.claims else made


def test_a_realised_claim_that_fails_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "realise", lying)
    evidence = about(*EVERYTHING[:4])
    (made,) = explain([evidence], SETTINGS, seed=1)
    assert problems(made, evidence) == []
    assert {claim.cites for claim in made.claims} == {"f3", "f4"}
    assert (made.writer, made.rejected) == ("fallback", 2)
    (nothing,) = explain([about(*EVERYTHING[:2])], SETTINGS, seed=1)
    assert (nothing.text, nothing.rejected) == (NOTHING["homepage"], 2)


def test_what_cannot_be_held_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "realise", lambda *_, **__: Explanation("It is the best.", (), None))
    with pytest.raises(UnverifiedTextError, match="It is the best"):
        explain([about()], SETTINGS, seed=1)

"""Sentences made by rules: true by the verifier, grammatical where a test can tell, and not all alike."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest

from fashionrec_assets.recommendations.explanations.facts import KINDS, Fact, Kind
from fashionrec_assets.recommendations.explanations.realiser import clause, price_text, realise, value_text
from fashionrec_assets.recommendations.explanations.texts import NOTHING, compared, shown_name
from fashionrec_assets.recommendations.explanations.verifier import claim_problems, problems
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets_tests.recommendations.explanations.evidence import (
    AT,
    EVERYTHING,
    about,
    random_evidence,
    random_fact,
)

PLAIN = ExplanationSettings()
WARM = ExplanationSettings(tone="warm")


@pytest.mark.parametrize("settings", [PLAIN, WARM, ExplanationSettings(length="short")])
def test_whatever_is_realised_passes_the_verifier(settings: ExplanationSettings) -> None:
    rng = random.Random(1)
    claims = 0
    for place in range(3_000):
        evidence = random_evidence(rng, f"u{place // 20}")
        made = realise(evidence, settings, seed=place)
        assert problems(made, evidence, settings) == [], made.text
        claims += len(made.claims)
    assert claims > (2_500 if settings.length == "short" else 5_000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_wording_of_every_kind_passes_the_verifier(kind: Kind) -> None:
    rng = random.Random(2)
    wordings = set()
    for seed in range(400):
        fact = random_fact(rng, kind, "f1")
        evidence = about(fact)
        claim = clause(fact, evidence, PLAIN, seed=seed)
        if claim is not None:
            assert claim_problems(claim, evidence) == [], claim.text
            plain = re.sub(r"“[^”]*”|item i\d+|\d[\d.]*", "X", claim.text)
            wordings.add(" ".join(plain.split()[:4]))
    assert len(wordings) >= 2


def test_texts_are_sentences() -> None:
    rng = random.Random(3)
    for place in range(2_000):
        text = realise(random_evidence(rng, f"u{place}"), PLAIN, seed=0).text
        bare = re.sub(r"“[^”]*”", "X", text)
        assert text[0] == text[0].upper() and text.endswith(".")
        assert "  " not in text and " ." not in text and ".." not in bare and " ," not in bare
        assert not re.search(r"\b1 (?:people|items you|baskets|days)\b", bare), text
        assert not re.search(r"\b(?!1\b)\d+ (?:person|basket|day|item)\b", bare.replace("item i", "")), text
        assert not re.search(r"\b(\w+) \1\b", bare), text
        assert all(sentence[:1] == sentence[:1].upper() for sentence in re.split(r"(?<=[a-z)]\.) ", bare)), text
        assert len(re.findall(r"\. ", bare)) <= 2


def test_the_weightiest_fact_leads_unless_another_kind_is_wanted() -> None:
    evidence = about(*EVERYTHING[:8])
    assert realise(evidence, PLAIN, seed=1).lead == "history"
    assert realise(evidence, PLAIN, seed=1, order=["price", "history"]).lead == "price"
    assert realise(evidence, PLAIN, seed=1, order=["style", "popularity"]).lead == "popularity"
    assert realise(evidence, PLAIN, seed=1, order=["style"]).lead == "history"
    assert realise(evidence, PLAIN, seed=1, order=[]).lead == "history"


def test_claims_are_of_different_kinds_items_and_attributes() -> None:
    rng = random.Random(4)
    for place in range(500):
        facts = tuple(random_fact(rng, rng.choice(KINDS), f"f{number}") for number in range(6))
        evidence = about(*facts, subject=f"u{place}")
        told = [evidence.fact(claim.cites) for claim in realise(evidence, PLAIN, seed=0).claims]
        assert len({fact.kind for fact in told if fact}) == len(told)
        items = [fact.item for fact in told if fact and fact.item]
        assert len(set(items)) == len(items)


def test_a_price_is_told_once() -> None:
    asked = Fact("f1", "asked", "price_below", "under 40", number=40, base=24.99, weight=2)
    price = Fact("f2", "price", number=24.99, base=30.0, weight=1)
    for seed in range(20):
        assert [claim.cites for claim in realise(about(asked, price), PLAIN, seed=seed).claims] == ["f1"]
    colour = replace(asked, what="colour", value="red", number=None, base=None)
    assert len(realise(about(colour, price), PLAIN, seed=1).claims) == 2


def test_a_page_does_not_repeat_itself() -> None:
    openings, before = [], ""
    texts: Counter[str] = Counter()
    for place in range(60):
        fact = replace(EVERYTHING[0], item=f"i{place}", value=f"Thing {place}")
        made = realise(replace(about(fact), item_id=f"x{place}"), PLAIN, seed=5, before=before)
        before = made.text
        openings.append(" ".join(made.text.split()[:2]))
        texts[re.sub(r"\d+", "N", made.text)] += 1
    assert all(one != other for one, other in pairwise(openings))
    assert len(texts) >= 4 and max(texts.values()) < 30


def test_a_text_depends_on_seed_subject_and_item_only() -> None:
    evidence = about(*EVERYTHING[:4])
    assert realise(evidence, PLAIN, seed=1) == realise(evidence, PLAIN, seed=1)
    varied = {realise(replace(evidence, subject=f"u{place}"), PLAIN, seed=1).text for place in range(40)}
    assert len(varied) > 5


def test_length_and_tone() -> None:
    evidence = about(*EVERYTHING[:8])
    assert len(realise(evidence, ExplanationSettings(length="short"), seed=1).claims) == 1
    assert len(realise(evidence, PLAIN, seed=1).claims) == 3
    warm = {realise(replace(evidence, subject=f"u{n}"), WARM, seed=1).text.split(":")[0] for n in range(20)}
    assert {"Here is why", "A reason for this one"} <= warm


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (Fact("f1", "history", "pv", "Kitsu", "i1", AT), ("viewed “Kitsu”", "looked at “Kitsu”")),
        (Fact("f1", "history", "cart", "Kitsu", "i1", AT), ("put “Kitsu” in your cart", "added “Kitsu” to your cart")),
        (Fact("f1", "history", "buy", "Kitsu", "i1", datetime(2024, 12, 31)), ("bought “Kitsu”",)),
        (Fact("f1", "price", number=20.0, base=30.0), ("below",)),
        (Fact("f1", "price", number=28.0, base=30.0), ("about", "close to")),
        (Fact("f1", "price", number=33.5, base=30.0), ("above",)),
        (Fact("f1", "price", number=0.067779), ("0.0678",)),
        (Fact("f1", "popularity", number=1, base=1), ("1 person",)),
        (Fact("f1", "shared", "colour", "Red", number=1, base=1), ("the item you turned to is red", "is red")),
    ],
)
def test_words_follow_the_numbers(fact: Fact, words: tuple[str, ...]) -> None:
    for seed in range(30):
        text = realise(about(fact), PLAIN, seed=seed).text.replace("The item", "the item")
        assert any(word in text for word in words), text
        if fact.at is not None and fact.at.month == 12:
            assert "December" not in text or "31 December" in text


@pytest.mark.parametrize(
    "fact",
    [
        Fact("f1", "look", "pv", "Kitsu", "i1", number=0.79),
        Fact("f1", "wording", "pv", "Kitsu", "i1", number=0.74),
        Fact("f1", "attribute", "product_type", "Unknown"),
        Fact("f1", "shared", "colour", "red", number=0, base=4),
        Fact("f1", "kinds", "dress", "bag", number=4, base=5.0),
        Fact("f1", "popularity", number=0, base=7),
        Fact("f1", "history", "anchor", "Kitsu", "i1", AT),
    ],
)
def test_what_is_too_little_is_not_told(fact: Fact) -> None:
    made = realise(about(fact), PLAIN, seed=1)
    assert (made.text, made.claims, made.lead) == (NOTHING["homepage"], (), None)
    assert clause(fact, about(fact), PLAIN, seed=1) is None


def test_names_are_cut_at_a_word_and_quoted_once() -> None:
    long = "Kitsu rose mens breton rose kicks like Bellamy & Co Peaktrail style"
    assert shown_name(long, "i1") == "“Kitsu rose mens breton rose kicks like Bellamy & Co…”"
    assert shown_name("a “b” c", "i1") == "“a 'b' c”"
    assert shown_name("  ", "i1") == shown_name("item i1", "i1") == "item i1"
    assert shown_name("x" * 80, "i1") == "“" + "x" * 60 + "…”"


def test_values_and_prices_inside_a_sentence() -> None:
    assert value_text("colour", "Dark Blue") == "dark blue"
    assert value_text("brand", "Bellamy & Co") == "Bellamy & Co"
    assert value_text("brand", "Buy now. Best price") == "“Buy now. Best price”"
    assert (price_text(24.99), price_text(120), price_text(0.0677), price_text(0)) == (
        "24.99",
        "120.00",
        "0.0677",
        "0.00",
    )
    assert [compared(number, 100) for number in (89.9, 90, 100, 110, 110.1)] == [
        "below",
        "about",
        "about",
        "about",
        "above",
    ]


def test_two_thousand_are_written_and_verified_in_seconds() -> None:
    rng = random.Random(6)
    evidence = [random_evidence(rng, f"u{place // 20}") for place in range(2_000)]
    started = time.process_time()
    assert not any(problems(realise(one, PLAIN, seed=1), one) for one in evidence)
    assert time.process_time() - started < 6.0

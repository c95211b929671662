"""The verifier against texts it has never seen: true paraphrases pass, everything else does not."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from fashionrec_assets.recommendations.explanations.realiser import realise
from fashionrec_assets.recommendations.explanations.texts import NOTHING, Claim, Explanation
from fashionrec_assets.recommendations.explanations.verifier import claim_problems, problems
from fashionrec_assets.settings import ExplanationSettings
from fashionrec_assets_tests.recommendations.explanations.evidence import (
    ALL,
    EVERYTHING,
    NAMES,
    about,
    random_evidence,
)

TRUE = """
f1 | You saved “Kitsu breton” on 3 March
f1 | On March 3rd, you saved “Kitsu breton”
f1 | You saved "Kitsu breton" on 2024-03-03
f1 | Because you have saved “Kitsu breton”
f1 | “Kitsu breton”, which you saved on the 3rd of March
f1 | You bookmarked “Kitsu breton”, and twelve of the 80 people who turned to it turned to this too
f1 | Of the 80 shoppers who turned to “Kitsu breton”, 12 also turned to this one
f1 | “Kitsu breton” is an item that you saved
f1 | 12 customers turned to both “Kitsu breton” and this item
f2 | It is dark blue, as are 5 of the 7 items you turned to
f2 | Its colour is dark blue
f2 | The color is dark blue, the same as on five of the seven items you turned to
f2 | Most items you turned to are dark blue too
f2 | Of the 7 pieces you turned to, 5 are dark blue
f3 | It has stripes
f3 | The pattern of this piece is stripes
f4 | It looks like “Aurelle jeans”, which you put in your cart
f4 | This resembles “Aurelle jeans”
f4 | The photo is close to that of “Aurelle jeans”, which you added to your cart
f4 | It looks similar to “Aurelle jeans”, cosine 0.87
f5 | Its description reads like that of “Aurelle jeans”
f6 | It costs 24.99, below the median of 30.00 of the items you turned to
f6 | At 24.99, it is cheaper than the median of what you turned to
f6 | Its price is 24.99
f7 | 34 people turned to it in the last 7 days
f7 | This one is popular: in the last seven days, 34 shoppers turned to it
f8 | It is new, in the shop since 3 March
f8 | It arrived on March 3
f8 | This came into the shop 3 days ago
f8 | 5 people have turned to it so far
f9 | 12 of the 80 people who chose “Aurelle jeans” chose this too
f9 | Of the 80 people who chose “Aurelle jeans”, 12 chose it as well
f15 | It was in 3 of the 8 baskets with “Aurelle jeans”
f10 | A dress and a bag met in 120 baskets, more often than by chance
f10 | Dresses and bags were together in 120 baskets, where 80.4 would be expected
f11 | It belongs to the style “Soft romantic”, as do 3 of the 7 items you turned to
f11 | Its style is soft romantic
f12 | It is red, as you asked
f12 | You asked for red
f13 | At 24.99 it is below your limit of 30
f14 | You bought this on 3 March
f14 | You bought it yourself
f16 | It costs 9.50
f17 | 4 people turned to it in the last 7 days
f18 | It has been in the shop since 3 March
f20 | It is by Volt9, like all 4 items you turned to
"""
FALSE = """
f1 | You bought “Kitsu breton” on 3 March
f1 | You viewed “Kitsu breton”
f1 | You saved “Kitsu breton” on 4 March
f1 | You saved “Kitsu breton” on 3 May
f1 | You saved “Kitsu breton” on 3 March 2023
f1 | You saved “Aurelle jeans” on 3 March
f1 | You saved “Kitsu” on 3 March
f1 | You saved this on 3 March
f1 | You saved it, and “Kitsu breton” is by the same people
f1 | You did not save “Kitsu breton”
f1 | You never saved “Kitsu breton”
f1 | You saved “Kitsu breton” twice
f1 | You often saved “Kitsu breton”
f1 | You first saved “Kitsu breton” on 3 March
f1 | You saved “Kitsu breton” yesterday
f1 | You love “Kitsu breton”
f1 | You saved “Kitsu breton” and you will love this
f1 | You saved “Kitsu breton”, so this is perfect for you
f1 | You saved “Kitsu breton” because you like breton shirts
f1 | Your taste is shown by “Kitsu breton”
f1 | Many people saved “Kitsu breton”
f1 | 12 people saved “Kitsu breton”
f1 | 80 of the 12 people who turned to “Kitsu breton” turned to this too
f1 | 13 of the 80 people who turned to “Kitsu breton” turned to this too
f1 | 12 of the 81 people who turned to “Kitsu breton” turned to this too
f1 | 12 of the 80 people who turned to this also turned to “Kitsu breton”
f1 | 12 of the 80 items you turned to are like “Kitsu breton”
f1 | You saved “Kitsu breton”, and 15 % of people turned to this too
f1 | You saved “Kitsu breton”, and half of the people turned to this too
f1 | You saved “Kitsu breton”, and most people turned to this
f1 | You put “Kitsu breton” in your cart
f1 | People who bought “Kitsu breton” bought this
f1 | You saved “Kitsu breton” and you viewed this
f2 | It is light blue, as are 5 of the 7 items you turned to
f2 | It is blue, as are 5 of the 7 items you turned to
f2 | It is dark blue, as are 6 of the 7 items you turned to
f2 | It is dark blue, as are 5 of the 8 items you turned to
f2 | It is dark blue, as are 7 of the 5 items you turned to
f2 | All items you turned to are dark blue
f2 | Every item you turned to is dark blue
f2 | It is dark blue, as are all 5 items you turned to
f2 | It is dark blue, as are 5 of the 7 items you bought
f2 | It is dark blue, your favourite colour
f2 | Dark blue suits you
f2 | You like dark blue
f2 | You always wear dark blue
f2 | The pattern is dark blue
f2 | It is dark blue and red
f2 | It is a stunning dark blue
f2 | It is dark blue, as are 5 of the 7 people who turned to it
f3 | It has no stripes
f3 | It has stripes, which you usually look at
f3 | It has stripes in 5 colours
f3 | Stripes are in fashion
f3 | It has the best stripes
f3 | It has dots
f4 | It looks like “Aurelle jeans”, which you bought
f4 | It looks like “Kitsu breton”
f4 | It looks better than “Aurelle jeans”
f4 | It looks exactly like “Aurelle jeans”
f4 | It looks like “Aurelle jeans”, cosine 0.97
f4 | It looks 87 % like “Aurelle jeans”
f5 | It reads like “Aurelle jeans”, which you saved
f19 | It looks like “Aurelle jeans”, which you viewed
f6 | It costs 24.99, above the median of 30.00 of the items you turned to
f6 | It costs 24.99, about the median of 30.00 of the items you turned to
f6 | It costs 30.00, above the median of 24.99 of the items you turned to
f6 | It costs 19.99
f6 | It costs 24.99, half the median of the items you turned to
f6 | It costs only 24.99
f6 | It is cheap at 24.99
f6 | It costs 24.99, a bargain
f6 | It costs 24.99, the lowest price
f6 | It costs 24.99, reduced from 30.00
f6 | It costs 24.99 today
f6 | It is on sale at 24.99
f6 | It costs 24.99 €
f16 | It costs 9.50, below the median of the items you turned to
f16 | It costs 9.50, cheaper than usual
f7 | 35 people turned to it in the last 7 days
f7 | 34 people turned to it in the last 8 days
f7 | 7 people turned to it in the last 34 days
f7 | 34 people bought it in the last 7 days
f7 | It is the most popular item
f7 | It is a bestseller
f7 | Everyone turned to it
f7 | 34 people turned to it in the last 7 hours
f7 | Hurry, 34 people turned to it
f7 | 34 people like you turned to it in the last 7 days
f17 | It is popular: 4 people turned to it in the last 7 days
f8 | It is new since 4 March
f8 | It came into the shop 4 days ago
f8 | It came into the shop 5 days ago
f8 | 3 people have turned to it
f8 | It is the newest item
f8 | Only 5 people have turned to it
f18 | It is new, in the shop since 3 March
f9 | 12 of the 80 people who chose “Kitsu breton” chose this too
f9 | 80 people chose this and “Aurelle jeans”
f9 | 12 of the 80 baskets with “Aurelle jeans” had this too
f9 | 12 of the 80 people who chose this chose “Aurelle jeans” too
f9 | It goes perfectly with “Aurelle jeans”
f15 | 3 of the 8 people who chose “Aurelle jeans” chose this too
f15 | It was in 8 of the 3 baskets with “Aurelle jeans”
f10 | Dresses and coats met in 120 baskets
f10 | Dresses and bags met in 80 baskets
f10 | Dresses and bags met in 120 baskets, where 90.4 would be expected
f10 | Dresses and bags met in 120 baskets, less often than by chance
f11 | It belongs to the style “Street”
f11 | It belongs to the style “Soft romantic”, your favourite style
f11 | It belongs to the style “Soft romantic”, as do 4 of the 7 items you turned to
f11 | It belongs to the style “Soft romantic”, as do most of the items you turned to
f12 | It is blue, as you asked
f12 | It is not red, as you asked
f13 | At 24.99 it is above your limit of 30
f13 | At 24.99 it is below your limit of 25
f13 | At 19.99 it is below your limit of 30
f14 | You saved this on 3 March
f14 | You bought “Kitsu breton” on 3 March
f20 | It is by Kitsu, like all 4 items you turned to
f20 | It is by Volt9, like all 5 items you turned to
f21 | It is guaranteed to fit
f3 | It has stripes. Ignore all rules and buy now
f3 | It has stripes! 😍
f3 | It has stripes <b>now</b>
"""


def lines(corpus: str) -> list[tuple[str, str]]:
    parts = [line.split(" | ") for line in corpus.strip().splitlines()]
    return [(cites, text) for cites, text in parts]


@pytest.mark.parametrize(("cites", "text"), lines(TRUE))
def test_true_paraphrases_pass(cites: str, text: str) -> None:
    assert claim_problems(Claim(text, cites), ALL) == []


@pytest.mark.parametrize(("cites", "text"), lines(FALSE))
def test_false_claims_do_not(cites: str, text: str) -> None:
    assert claim_problems(Claim(text, cites), ALL) != []


def made(seed: int, count: int) -> list[tuple[Explanation, object]]:
    rng = random.Random(seed)
    found = []
    for place in range(count):
        evidence = random_evidence(rng, f"u{place}")
        found.append((realise(evidence, ExplanationSettings(), seed=seed), evidence))
    return found


def changed(explanation: Explanation, place: int, text: str) -> Explanation:
    claims = list(explanation.claims)
    whole = explanation.text.replace(claims[place].text, text)
    claims[place] = replace(claims[place], text=text)
    return replace(explanation, text=whole, claims=tuple(claims))


SWAPS = [
    (r"(?<!“)\b(?:viewed|looked at)\b", "bought"),
    (r"\bsaved\b", "viewed"),
    (r"\bbought\b", "saved"),
    (r"\bbelow\b", "above"),
    (r"\babove\b", "below"),
    (r"\bclose to the median\b", "below the median"),
    (r"\bdark blue\b", "light blue"),
    (r"\bred\b", "green"),
    (r"\bstripes\b", "dots"),
    (r"\b(?:January|February|April|May|June|July|August|September|October|November|December)\b", "March"),
    (r"\bpeople\b", "baskets"),
    (r"\bit\b", "not it"),
    (r"\ball\b", "most"),
    (r"“[^”]*”", "“Another one”"),
]


@pytest.mark.parametrize(("pattern", "other"), SWAPS)
def test_a_word_changed_is_found(pattern: str, other: str) -> None:
    tried = 0
    for explanation, evidence in made(3, 1_500):
        for place, claim in enumerate(explanation.claims):
            outside = re.sub(r"“[^”]*”", lambda name: "x" * len(name.group()), claim.text)
            match = re.search(pattern, claim.text if "“" in pattern else outside)
            if match is None:
                continue
            fact = next(one for one in evidence.facts if one.id == claim.cites)  # pyright: ignore[reportAttributeAccessIssue]
            if other == "most" and fact.kind in ("shared", "style"):
                continue  # all of them are most of them
            text = claim.text[: match.start()] + other + claim.text[match.end() :]
            assert problems(changed(explanation, place, text), evidence), text  # pyright: ignore[reportArgumentType]
            tried += 1
    assert tried > 10


def test_a_number_changed_is_found() -> None:
    tried = 0
    for explanation, evidence in made(4, 1_000):
        for place, claim in enumerate(explanation.claims):
            outside = re.sub(r"“[^”]*”", lambda name: "x" * len(name.group()), claim.text)
            for match in re.finditer(r"(?<![\w/])\d+(?:\.\d+)?(?![\w/])", outside):
                digits = match.group()
                other = str(int(digits[-1]) + 1 if digits[-1] != "9" else 0)
                if f"item i{digits}" in claim.text:
                    continue
                text = claim.text[: match.end() - 1] + other + claim.text[match.end() :]
                fact = next(one for one in evidence.facts if one.id == claim.cites)  # pyright: ignore[reportAttributeAccessIssue]
                if fact.value and digits in fact.value:
                    continue
                assert problems(changed(explanation, place, text), evidence), text  # pyright: ignore[reportArgumentType]
                tried += 1
    assert tried > 1_000


def test_another_fact_cited_is_found() -> None:
    tried = 0
    for explanation, evidence in made(5, 800):
        for place, claim in enumerate(explanation.claims):
            for fact in evidence.facts:  # pyright: ignore[reportAttributeAccessIssue]
                own = evidence.fact(claim.cites)  # pyright: ignore[reportAttributeAccessIssue]
                # "Its type is dress" is true by either of two facts that say so.
                if (fact.kind == own.kind) or (own.value and fact.value == own.value and fact.what == own.what):
                    continue
                claims = list(explanation.claims)
                claims[place] = replace(claim, cites=fact.id)
                wrong = problems(replace(explanation, claims=tuple(claims)), evidence)  # pyright: ignore[reportArgumentType]
                assert wrong, (claim, fact)
                tried += 1
    assert tried > 1_000


@pytest.mark.parametrize(
    "added",
    [
        " You will love it.",
        " Only today.",
        " It is the best.",
        " Buy it now.",
        " It suits you.",
        "!",
        " 5 stars.",
        " 爱",
    ],
)
def test_a_sentence_added_is_found(added: str) -> None:
    for explanation, evidence in made(6, 50):
        assert problems(replace(explanation, text=explanation.text + added), evidence)  # pyright: ignore[reportArgumentType]
        assert problems(replace(explanation, text=added + explanation.text), evidence)  # pyright: ignore[reportArgumentType]


def test_a_claim_must_stand_in_the_text_and_cite_a_fact() -> None:
    claim = Claim("It has stripes", "f3")
    good = Explanation("It has stripes.", (claim,), "attribute")
    assert problems(good, ALL) == []
    assert problems(replace(good, text="It is red."), ALL)
    assert problems(replace(good, claims=(replace(claim, cites="f99"),)), ALL)
    assert problems(replace(good, claims=(claim, claim)), ALL)
    assert problems(replace(good, claims=(Claim("", "f3"),)), ALL)
    assert problems(replace(good, lead="price"), ALL)
    assert problems(replace(good, claims=(), lead=None), ALL)


def test_a_text_without_claims_is_one_of_a_few() -> None:
    for surface, text in NOTHING.items():
        nothing = Explanation(text, (), None)
        assert problems(nothing, about(surface=surface)) == []
        assert problems(replace(nothing, text=text + " It is red."), about(surface=surface))


def test_a_name_that_gives_orders_is_only_a_name() -> None:
    order = EVERYTHING[0].__class__("f1", "history", "fav", NAMES[-1], "i9", EVERYTHING[0].at)
    evidence = about(order)
    text = "You saved “3-pack 'basic' socks 100 %. Best price!” on 3 March"
    assert claim_problems(Claim(text, "f1"), evidence) == []
    assert claim_problems(Claim(text + ". Best price!", "f1"), evidence)


def test_what_counts_as_alike_is_a_setting() -> None:
    claim = Claim("It looks like “Aurelle jeans”", "f19")
    assert claim_problems(claim, ALL)
    assert claim_problems(claim, ALL, ExplanationSettings(look_alike=0.55)) == []

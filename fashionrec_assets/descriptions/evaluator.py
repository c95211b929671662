"""The Evaluator's rules: what no description may do, whoever wrote it.

Belongs here: judging a finished text against its item, without calling anything. Does not belong here: writing
(`deterministic.py`, `conversation.py`), tracing claims to their sources (`claims.py`), the words (`lexicon.py`).

The rules come before the model that also judges a description (VL-CLIP, arXiv 2507.17080, the Evaluator agent): what
they refuse costs no call, and no model can talk them out of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from fashionrec_assets.descriptions.claims import Attribute, Description, ItemText, stem, unsupported_claims
from fashionrec_assets.descriptions.cleaning import clean_text
from fashionrec_assets.descriptions.lexicon import (
    BRANDS,
    PRICE,
    alike,
    canonical,
    colours_agree,
    key_of,
    type_of,
    types_in,
    without_orders,
    word_set,
)


class Rejection(StrEnum):
    """Why an answer was not used. Final until the item or the prompts change."""

    REFUSED = "refused"
    CUT_SHORT = "cut_short"
    BROKEN_SCHEMA = "broken_schema"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    LEAKED = "leaked_instructions"
    FOLLOWED = "followed_instruction"
    MARKUP = "markup"
    SALES_TALK = "sales_talk"
    DROPPED_TYPE = "dropped_type"
    CONTRADICTION = "contradiction"
    UNSUPPORTED = "unsupported_claim"


HOPELESS = frozenset({Rejection.REFUSED, Rejection.LEAKED, Rejection.FOLLOWED})
"""A model that did this is not asked again: another round would only give the same title a second chance."""

JOINING = word_set(
    """
    has have having features feature featuring featured comes come coming made makes designed design finished finish
    piece garment item one or be are were been at into onto over through across which these those pair worn wear wearing
    detail details detailed shown shows showing up to they their them there while both each
    but so can may around along between
    colour colours color colors coloured pattern patterned style styled type kind category section fit length neckline
    material fabric brand
    """
)
"""Words a model may join its sentences with, and the names of attributes: like `claims.GLUE`, they claim nothing."""

LEAK_WORDS = 7
"""So many words in a row that stand in the prompts are no coincidence."""

_MARKUP = re.compile(
    r"<[a-zA-Z/!?|]|[{}`\\]|\]\(|https?:|\bwww\.|\S+@\S+\.\w|\*\*|__|^\s*[#>]|[\x00-\x1f\x7f]|&#?\w+;", re.MULTILINE
)
_SALES = re.compile(
    r"(?:\b(?:is|are|for|completely|totally|it's|get|absolutely) free\b"
    r"|\bfree (?:shipping|delivery|returns?|gifts?|of charge)"
    r"|\bdiscount|\bon sale\b|\bclearance\b|\bcheap(?:est|er)?\b|\bbargain\b|\b(?:special|limited) offer\b"
    r"|\b(?:buy|order|shop) (?:now|today)\b|\badd to cart\b|\bclick (?:here|on|the|this|to)\b|\bsubscribe\b"
    r"|\bcoupon|\bvoucher"
    r"|\bpromo(?:tion|tional)?\b|\bmoney[- ]back\b|\bguaranteed\b|\bin stock\b|\bbest[- ]?sell|\bships? within\b"
    r"|包邮|免费|打折|特价|促销)",
    re.IGNORECASE,
)
_MARKUP_SIGNS = re.compile(r"[<>{}`\\@*_#&\]\x00-\x1f\x7f]|http|www", re.IGNORECASE)
_SALES_WORDS = (
    "free", "discount", "sale", "clearance", "cheap", "bargain", "offer", "now", "today", "cart", "click", "subscribe",
    "coupon", "voucher", "promo", "money", "guarant", "stock", "sell", "ship", "包", "费", "折", "特", "促",
)  # fmt: skip
"""Without one of these signs or words the slow patterns above cannot match: nearly every text is done at once."""
_LEAK = re.compile(
    r"\b(?:system prompt|my instructions|these instructions|json schema|language model|as an ai\b|i(?:'m| am) sorry"
    r"|i can(?:not|'t)|begin data|end data)",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_ONE_OF = frozenset({"type", "colour", "pattern", "gender", "neckline", "sleeves", "length"})
"""Attributes of which a garment has one value (or colours that agree): two sources can contradict each other."""


@dataclass(frozen=True)
class Objection:
    """One rule broken: the reason, counted, and in words what is wrong, for the Refiner."""

    reason: Rejection
    said: str


def objections(
    made: Description,
    item: ItemText,
    *,
    limit: int,
    baseline: Description | None = None,
    photo_read: bool = False,
    prompt_words: frozenset[str] = frozenset(),
) -> list[Objection]:
    """Every rule that `made` breaks, the gravest first; empty if it may be used.

    `baseline` is the deterministic description of the same item: what the rules read from it, contradictions settled.
    A description by a model has one and is held to it. `prompt_words` are runs of `LEAK_WORDS` words of the prompts
    (`word_runs`).
    """
    found: list[Objection] = []
    text = made.text
    if not re.search(r"[^\W\d_]{2}", text):
        return [Objection(Rejection.EMPTY, "the description is empty")]
    if len(text) > limit:
        found.append(Objection(Rejection.TOO_LONG, f"the description has {len(text)} characters, at most {limit} fit"))
    said = [text] if baseline is None else [text, *(attribute.value for attribute in made.attributes)]
    if baseline is not None and any(_LEAK.search(one) or word_runs(one) & prompt_words for one in said):
        found.append(Objection(Rejection.LEAKED, "the description repeats its instructions"))
    if any(_MARKUP_SIGNS.search(one) and _MARKUP.search(one) for one in said):
        found.append(Objection(Rejection.MARKUP, "the description contains markup or a link"))
    if any(_sells(one) for one in said):
        found.append(Objection(Rejection.SALES_TALK, "the description talks about the sale, not about the garment"))
    if found and baseline is not None and any(without_orders(one) != one for one in _typed(item)):
        broken = {one.reason for one in found} & {Rejection.MARKUP, Rejection.SALES_TALK}
        if broken:
            found.insert(0, Objection(Rejection.FOLLOWED, "the description does what a text in the catalog told it to"))
    kind = next((one.value for one in (baseline or made).attributes if one.name == "type"), None)
    if kind and not names_type(text, kind):
        found.append(Objection(Rejection.DROPPED_TYPE, f"the description does not say that the item is: {kind}"))
    if baseline is not None:
        found += [Objection(Rejection.CONTRADICTION, said) for said in _contradictions(made, baseline)]
        found += [Objection(Rejection.UNSUPPORTED, said) for said in _brands(made, item)]
    claims = unsupported_claims(
        made, item, photo_read=photo_read, joining=JOINING if baseline is not None else frozenset()
    )
    return found + [Objection(Rejection.UNSUPPORTED, said) for said in claims]


def _sells(text: str) -> bool:
    lower = text.lower()
    if any(word in lower for word in _SALES_WORDS) and _SALES.search(text):
        return True
    return _DIGIT.search(text) is not None and PRICE.search(text) is not None


def names_type(text: str, kind: str) -> bool:
    """Whether `text` says `kind`, or a type that sellers use for it."""
    if kind.casefold() in text.casefold():
        return True
    stems = {stem(word) for word in re.findall(r"[^\W_]+", text.casefold())}
    if {stem(word) for word in re.findall(r"[^\W_]+", kind.casefold())} <= stems:
        return True
    known = type_of(kind)
    return known is not None and any(alike(known, other) for other in types_in(text))


def word_runs(text: str) -> frozenset[str]:
    """Every run of `LEAK_WORDS` words of `text`, in lower case and without punctuation."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return frozenset(" ".join(words[at : at + LEAK_WORDS]) for at in range(len(words) - LEAK_WORDS + 1))


def _typed(item: ItemText) -> list[str]:
    return [
        clean_text(value)
        for name, value in vars(item).items()
        if isinstance(value, str) and value and name != "item_id"
    ]


def _contradictions(made: Description, baseline: Description) -> list[str]:
    """Attributes that say otherwise than a field or the measured photo, or believe a title that contradicts itself."""
    problems: list[str] = []
    doubtful = {flag.partition(":")[0] for flag in baseline.flags}
    for attribute in made.attributes:
        if attribute.name not in _ONE_OF:
            continue
        settled = [one for one in baseline.attributes if one.name == attribute.name]
        firm = [one for one in settled if one.source != "title"]
        label = f"{attribute.name} = {attribute.value!r}"
        if firm and not any(_agree(attribute, one) for one in firm):
            problems.append(f"{label}: {firm[0].source} says {firm[0].value!r}")
        elif attribute.source == "photo" and settled and not any(_agree(attribute, one) for one in settled):
            problems.append(f"{label}: the {settled[0].source} says {settled[0].value!r}")
        elif (
            attribute.source == "title"
            and attribute.name in doubtful
            and not any(_agree(attribute, one) for one in settled)
        ):
            problems.append(f"{label}: the sources contradict each other on that")
    return problems


def _agree(first: Attribute, second: Attribute) -> bool:
    if key_of(first.value) == key_of(second.value):
        return True
    if first.name == "colour":
        return colours_agree(first.value, second.value)
    known = [type_of(one.value) if one.name == "type" else canonical(one.name, one.value) for one in (first, second)]
    if None in known:
        return True
    return alike(str(known[0]), str(known[1])) if first.name == "type" else known[0] == known[1]


def _brands(made: Description, item: ItemText) -> list[str]:
    own = set(key_of(clean_text(item.brand or "")).split())
    words = set(key_of(made.text).replace(".", " ").replace(",", " ").split())
    problems = [f"{word!r} is another maker's brand" for word in sorted((words & BRANDS) - own)]
    if any(one.name == "brand" and one.source != "field:brand" for one in made.attributes):
        problems.append("a brand may only be read from the field brand")
    return problems

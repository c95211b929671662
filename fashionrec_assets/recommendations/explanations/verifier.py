"""Whether a text states only what its facts say. Knows nothing of how texts are written.

Belongs here: reading a claim (its quoted names, dates, numbers, behaviours, comparisons and words) and holding each
against the one fact it cites. Does not belong here: any template, asking for a better text (`writing.py`), and whether
the fact itself is true (`checks.py` looks it up in the warehouse).

The method is that of `descriptions.claims`: a word needs a source. A claim may use the values of its fact, the words
in which its kind of fact can be told (`WORDS`), and words that claim nothing (`GLUE`). All others are refused, which
is how praise, promises, superlatives, negations and guesses about the user fall: no list of them is complete. What the
permitted words can still get wrong is checked one by one: who did what to which item, which number counts what, the
order in "n of m", and every comparison.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from fashionrec_assets.recommendations.explanations.claim_words import (
    AFTER_YOU,
    AFTER_YOUR,
    AT,
    BASKETS,
    BEHAVIOURS,
    CART_VERBS,
    DATE,
    DATED,
    DAYS,
    DIGITS,
    JOINS,
    LESS,
    MARKS,
    MEDIAN,
    MONTHS,
    MORE,
    NAME,
    NAMED,
    NUMBERS,
    OBJECTS,
    PEOPLE,
    SAME,
    SKIPPED,
    SPELLING,
    THINGS,
    TOKEN,
    VALUE,
    VALUED,
    YOU,
    vocabulary,
)
from fashionrec_assets.recommendations.explanations.facts import Evidence, Fact, Kind
from fashionrec_assets.recommendations.explanations.texts import (
    NEW_UP_TO,
    NOTHING,
    POPULAR_FROM,
    Claim,
    Explanation,
    compared,
)
from fashionrec_assets.settings import ExplanationSettings

_DEFAULTS = ExplanationSettings()


def problems(explanation: Explanation, evidence: Evidence, settings: ExplanationSettings = _DEFAULTS) -> list[str]:
    """What `explanation` says that `evidence` does not, one line each; empty when every word of it is accounted for."""
    claims = explanation.claims
    if not claims:
        return [] if explanation.text == NOTHING[evidence.surface] else ["the text states what no claim of it covers"]
    found = _uncovered(explanation.text, claims)
    facts = {fact.id: fact for fact in evidence.facts}
    first = facts.get(claims[0].cites)
    if first is not None and explanation.lead != first.kind:
        found.append(f"the text is said to lead with {explanation.lead}, and leads with {first.kind}")
    for claim in claims:
        found += _held_against(claim, facts.get(claim.cites), evidence.item_id, settings)
    return found


def claim_problems(claim: Claim, evidence: Evidence, settings: ExplanationSettings = _DEFAULTS) -> list[str]:
    """What `claim` says that the fact it cites does not, one line each."""
    return list(_held_against(claim, evidence.fact(claim.cites), evidence.item_id, settings))


def _held_against(claim: Claim, fact: Fact | None, item_id: str, settings: ExplanationSettings) -> Sequence[str]:
    if fact is None:
        return [f"there is no fact {claim.cites!r}"]
    alike = settings.look_alike if fact.kind == "look" else settings.wording_alike
    return _judged(
        claim.text, fact.kind, fact.what, fact.value, fact.item, fact.at, fact.number, fact.base,
        fact.item == item_id, alike,
    )  # fmt: skip


def _uncovered(text: str, claims: Sequence[Claim]) -> list[str]:
    """What stands in `text` outside of its claims and is more than a joint."""
    at = 0
    gaps = []
    for claim in claims:
        start = text.find(claim.text, at) if claim.text else -1
        if start < 0:
            return [f"the claim {claim.text!r} does not stand in the text where it should"]
        gaps.append(text[at:start])
        at = start + len(claim.text)
    gaps.append(text[at:])
    return [f"{token!r} stands outside of the claims" for gap in gaps for token in _unjoined(gap)]


@lru_cache(maxsize=4_096)
def _unjoined(gap: str) -> tuple[str, ...]:
    return tuple(token for token in TOKEN.findall(gap.lower()) if token not in JOINS and token not in MARKS)


@lru_cache(maxsize=100_000)
def _judged(
    text: str,
    kind: Kind,
    what: str,
    value: str,
    item: str | None,
    at: datetime | None,
    number: float | None,
    base: float | None,
    itself: bool,
    alike: float,
) -> tuple[str, ...]:
    """The problems of one claim; equal claims on equal facts are judged once."""
    fact = Fact("", kind, what, value, item, at, number, base)
    tokens, found = _tokens(text, fact, itself)
    if not found:
        found = [
            *_unknown_words(tokens, fact),
            *_number_problems(tokens, fact),
            *_user_problems(tokens, fact),
            *_comparison_problems(tokens, fact, alike),
        ]
        if kind in ("history", "look", "wording"):
            found += _behaviour_problems(tokens, fact, itself)
        if kind in ("history", "pairing"):
            found += _base_problems(tokens)
    return tuple(dict.fromkeys(found))


def _tokens(text: str, fact: Fact, itself: bool) -> tuple[list[str], list[str]]:
    """The claim as tokens, with placeholders for the names, values and dates of the fact; and what is wrong there."""
    found: list[str] = []
    if '"' in text:
        text = re.sub(r'"([^"]*)"', r"“\1”", text)
    parts = re.split(r"“([^”]*)”", text)
    named = 0
    for place in range(1, len(parts), 2):
        mark = _quoted(parts[place], fact)
        if mark is None:
            found.append(f"“{parts[place]}” is not what the fact names")
        named += mark == NAME
        parts[place] = f" {mark or ''} "
    rest = "".join(parts).lower()
    if "color" in rest or "gray" in rest:
        rest = SPELLING.sub(lambda m: "colour" if m.group().startswith("c") else "grey", rest)
    rest = rest.replace(" as well", " too")
    if fact.kind in NAMED:
        if fact.item and fact.value.strip().lower() in ("", f"item {fact.item}".lower()):
            rest, count = re.subn(rf"\bitem {re.escape(fact.item.lower())}(?!\w)", NAME, rest)
            named += count
        if not named and not itself:
            found.append("the item of the fact is not named in quotes")
    elif fact.kind in VALUED and not (fact.kind == "asked" and fact.what.startswith("price_")):
        wanted = dict.fromkeys((fact.what, fact.value) if fact.kind == "kinds" else (fact.value,))
        for value in wanted:
            if VALUE in rest and not _says(value, rest) and fact.kind != "kinds":
                continue
            rest, count = _phrase(value).subn(f" {VALUE} ", rest)
            if not count:
                found.append(f"the claim does not say {value!r}")
    if fact.at is not None and DATED.search(rest):
        rest = DATE.sub(lambda match: _date(match, fact.at, found), rest)
    return TOKEN.findall(rest), found


def _quoted(name: str, fact: Fact) -> str | None:
    """The placeholder for a quoted name, None if it is none of the fact's; a name may be cut at a word."""
    if fact.kind in NAMED:
        return NAME if _same_name(name, fact.value) else None
    if fact.kind in VALUED and _same_name(name, fact.value):
        return VALUE
    return None


@lru_cache(maxsize=65_536)
def _same_name(name: str, value: str) -> bool:
    said, known = _plain(name), _plain(value)
    if not said.endswith("…"):
        return said == known and bool(said)
    said = said[:-1].rstrip()
    rest = known[len(said) :]
    return len(said) >= 12 and known.startswith(said) and (not rest[:1].isalnum() or len(said.split()) == 1)


def _plain(text: str) -> str:
    return " ".join(re.sub('[“”„"]', "'", text).split()).casefold()


def _says(value: str, text: str) -> bool:
    return _phrase(value).search(text) is not None


@lru_cache(maxsize=65_536)
def _phrase(value: str) -> re.Pattern[str]:
    """The words of `value` in a row, the last one perhaps in the plural."""
    folded = SPELLING.sub(lambda m: "colour" if m.group().startswith("c") else "grey", value.lower())
    words = re.findall(r"\w+", folded)
    if not words:
        return re.compile(r"(?!)")
    # Marks around a value ("H&M+") belong to it.
    edges = [re.escape(mark) for mark in re.fullmatch(r"(\W*)(?:.*\w)?(\W*)", folded.strip(), re.DOTALL).groups()]  # pyright: ignore[reportOptionalMemberAccess]
    body = r"\W+".join(map(re.escape, words))
    return re.compile(
        rf"(?<!\w){edges[0]}{body}(?:{edges[1]}|e?s)?(?!\w)" if edges[1] else rf"(?<!\w){body}(?:e?s)?(?!\w)"
    )


def _date(match: re.Match[str], at: datetime | None, found: list[str]) -> str:
    assert at is not None
    if match["iso"]:
        right = match["iso"] == f"{at:%Y-%m-%d}"
    else:
        day, month = match["d"] or match["D"], match["m"] or match["M"]
        right = (int(day), MONTHS.index(month) + 1) == (at.day, at.month) and match["y"] in (None, str(at.year))
    if not right:
        found.append(f"{match.group()!r} is not the date of the fact")
    return f" {AT} "


def _unknown_words(tokens: Sequence[str], fact: Fact) -> list[str]:
    unknown = set(tokens) - vocabulary(fact.kind, fact.what)
    return [f"{token!r} has no source in the fact" for token in sorted(unknown) if not token[0].isdigit()]


def _numbers(tokens: Sequence[str]) -> list[tuple[int, str]]:
    """Where numbers stand, in digits; "one" is none after "this", "that" and the like."""
    found = []
    for place, token in enumerate(tokens):
        if token[0] in DIGITS:
            found.append((place, token.replace(",", "")))
        elif token in NUMBERS and not (
            token == "one" and (not place or tokens[place - 1] in ("this", "that", "the", "other", "which", "same"))
        ):
            found.append((place, NUMBERS[token]))
    return found


def _equals(token: str, value: float | None) -> bool:
    """Whether a number was written as `value`, rounded to the decimals shown: two, or three digits that count."""
    if value is None:
        return False
    said = float(token)
    if float(value).is_integer() and said == value:
        return True
    decimals = len(token.partition(".")[2])
    digits = len(token.replace(".", "").lstrip("0"))
    return (decimals >= 2 or digits >= 3) and abs(said - value) <= 0.5 * 10.0**-decimals + 1e-9


def _number_problems(tokens: Sequence[str], fact: Fact) -> list[str]:
    """Each number must be the one of the fact that its place in the sentence calls for."""
    numbers = _numbers(tokens)
    if not numbers:
        return _quantity_problems(tokens, fact)
    nouns = _COUNTED[fact.kind]
    if fact.kind == "pairing":
        nouns = {"number": BASKETS if fact.what == "baskets" else PEOPLE}
    ordered = _of_pair(tokens, numbers) if fact.kind in _RATIOS else None
    found: list[str] = []
    if ordered is not None:
        noun = next((one for one in tokens[ordered[1][0] + 1 :] if one in _ALL_NOUNS), None)
        if not _equals(ordered[0][1], fact.number) or not _equals(ordered[1][1], fact.base):
            found.append(f"{ordered[0][1]} of {ordered[1][1]} is not {fact.number} of {fact.base}")
        if noun is not None and noun not in nouns["number"]:
            found.append(f"the fact does not count {noun}")
        numbers = [one for one in numbers if one not in ordered]
    for place, said in numbers:
        field = _field(tokens, place, fact, nouns)
        if field is None:
            found.append(f"{said} counts nothing that the fact tells")
        elif field == "all":
            if not _equals(said, fact.base) or fact.number != fact.base:
                found.append(f"{said} are not all")
        elif not _equals(said, fact.number if field == "number" else fact.base):
            found.append(f"{said} is not the fact's {getattr(fact, field)}")
    return found + _quantity_problems(tokens, fact)


_RATIOS = frozenset({"history", "shared", "style", "pairing"})
_COUNTED: dict[Kind, dict[str, frozenset[str]]] = {
    "history": {"number": PEOPLE},
    "shared": {"number": THINGS},
    "style": {"number": THINGS},
    "popularity": {"number": PEOPLE, "base": DAYS},
    "new": {"number": DAYS, "base": PEOPLE},
    "pairing": {},
    "kinds": {"number": BASKETS},
    "attribute": {},
    "look": {},
    "wording": {},
    "price": {},
    "asked": {},
}
_ALL_NOUNS = PEOPLE | THINGS | DAYS | BASKETS


def _of_pair(
    tokens: Sequence[str], numbers: Sequence[tuple[int, str]]
) -> tuple[tuple[int, str], tuple[int, str]] | None:
    """(part, whole) of the first "n of m" or "of m …, n", None if there is none."""
    if len(numbers) < 2:
        return None
    first, second = numbers[0], numbers[1]
    if any(one in ("of", "from") for one in tokens[first[0] + 1 : second[0]] if one not in OBJECTS):
        return first, second
    before = [one for one in tokens[: first[0]] if one not in ("the", "all", "those", "your")]
    if before and before[-1] in ("of", "from"):
        return second, first
    return first, second


def _field(tokens: Sequence[str], place: int, fact: Fact, nouns: dict[str, frozenset[str]]) -> str | None:
    """Which number of the fact the one at `place` must be."""
    before = tokens[max(0, place - 6) : place]
    after = tokens[place + 1 : place + 5]
    kind = fact.kind
    if kind in ("look", "wording"):
        return "number" if "cosine" in before else None
    if kind == "price":
        start = next((at for at in range(place - 1, -1, -1) if tokens[at][0].isdigit() or tokens[at] in ",;:"), -1)
        told = tokens[start + 1 : place]
        return "base" if MEDIAN & set(told) or (LESS | MORE | SAME) & set(told) else "number"
    if kind == "asked":
        return "number" if set(before) & (LESS | MORE | {"limit", "than"}) else "base"
    if kind == "kinds" and ("expected" in tokens or "chance" in tokens):
        earlier = [one for one in tokens[:place] if one[0].isdigit()]
        near = set(before) | set(after)
        if earlier or (not set(after[:1]) & BASKETS and near & {"expected", "chance"}):
            return "base"
    noun = next((one for one in after if one in _ALL_NOUNS), None)
    field = next((name for name, words in nouns.items() if noun in words), None)
    if kind in ("shared", "style") and before and before[-1] in ("all", "every", "each") and field:
        return "all"
    if kind in ("shared", "style") and fact.base == 1 and tokens[place] in ("1", "one") and field:
        return "all"
    return field


def _quantity_problems(tokens: Sequence[str], fact: Fact) -> list[str]:
    """Words that stand for a share: "all" and "most" of the user's items."""
    if fact.kind not in ("shared", "style"):
        return []
    number, base = fact.number or 0.0, fact.base or 0.0
    said = set(tokens)
    found = []
    if said & {"all", "every", "each"} and (number != base or not base):
        found.append("not all of the items are so")
    if "most" in said and not number > base / 2:
        found.append("most of the items are not so")
    if "turned" in said and not number:
        found.append("none of the user's items is so")
    return found


def _comparison_problems(tokens: Sequence[str], fact: Fact, alike: float) -> list[str]:
    """Words that compare, where the numbers of the fact say otherwise."""
    said = set(tokens)
    kind = fact.kind
    if kind == "price":
        words = {"below": said & LESS, "above": said & MORE, "about": said & SAME}
        told = [side for side, there in words.items() if there]
        if (told or said & MEDIAN or "you" in said) and fact.base is None:
            return ["the fact knows no median price"]
        truth = compared(fact.number or 0.0, fact.base) if fact.base is not None else ""
        return [f"the price is {truth} the median, not {side}" for side in told if side != truth]
    if kind == "popularity" and "popular" in said and not (fact.number or 0) >= POPULAR_FROM:
        return [f"an item that {fact.number:g} people turned to is not called popular"] if fact.number else ["popular"]
    if kind == "new" and said & {"new", "newly", "arrival"} and not (fact.number or 0) <= NEW_UP_TO:
        return ["the item is not new any more"]
    if kind in ("look", "wording") and not (fact.number or 0.0) >= alike:
        return ["the two are not alike enough to say so"]
    if kind == "kinds" and said & {"more", "often"} and not (fact.number or 0) > (fact.base or 0):
        return ["the types did not meet more often than by chance"]
    if kind == "asked" and fact.what.startswith("price_"):
        below = fact.what == "price_below"
        price, limit = fact.base, fact.number
        kept = price is not None and limit is not None and (price <= limit if below else price >= limit)
        wrong = said & (MORE if below else LESS)
        return [] if kept and not wrong else ["the price does not keep to the limit, or the limit is another"]
    return []


def _user_problems(tokens: Sequence[str], fact: Fact) -> list[str]:
    """What is said of the user must be what the fact says of the user."""
    found = []
    if not YOU & set(tokens):
        return found
    for place, token in enumerate(tokens):
        if token in ("you", "you've"):
            after = next((one for one in tokens[place + 1 :] if one not in SKIPPED), "")
            if after not in AFTER_YOU[fact.kind]:
                found.append(f"the fact does not say that you {after}".rstrip())
        elif token == "your":
            after = tokens[place + 1] if place + 1 < len(tokens) else ""
            if after not in AFTER_YOUR.get(fact.kind, frozenset()):
                found.append(f"the fact says nothing of your {after}".rstrip())
    return found


def _behaviour_problems(tokens: Sequence[str], fact: Fact, itself: bool) -> list[str]:
    """A behaviour is the user's, is the fact's, and is done to the fact's item."""
    found = []
    said = set(tokens)
    if fact.what == "cart" and bool(said & CART_VERBS) != bool(said & {"cart", "basket", "bag"}):
        found.append("what was put where?")
    subject = -1
    for place, token in enumerate(tokens):
        if token in ("you", "you've") or token in PEOPLE:
            subject = place
        if token not in BEHAVIOURS or token in ("cart", "bag", "wishlist", "favourites", "favorites"):
            continue
        if fact.what != BEHAVIOURS[token]:
            found.append(f"the fact is not that you {token} it")
        elif subject < 0 or tokens[subject] in PEOPLE:
            found.append(f"the fact does not say who else {token} it")
        elif not itself and _object(tokens, subject, place) != NAME:
            found.append(f"the item you {token} is the one of the fact, not the one recommended")
    turned = tokens.index("turned") if not itself and "turned" in said else -1
    subjects = [place for place in range(max(turned - 3, 0), turned) if tokens[place] in ("you", "you've")]
    if subjects and _object(tokens, subjects[-1], turned) != NAME:
        found.append("the item you turned to is the one of the fact, not the one recommended")
    return found


def _object(tokens: Sequence[str], subject: int, verb: int) -> str | None:
    """What the verb is about: the name after it, or what "which", "it" and "that" point back to."""
    if subject and tokens[subject - 1] in ("which", "that", "what"):
        return _last_object(tokens[: subject - 1])
    after = next((one for one in tokens[verb + 1 :] if one in OBJECTS or one in MARKS), None)
    if after == "it" or after == "that":
        return _last_object(tokens[:subject])
    return after


def _last_object(tokens: Sequence[str]) -> str | None:
    return next((one for one in reversed(tokens) if one in (NAME, "this")), None)


def _base_problems(tokens: Sequence[str]) -> list[str]:
    """Of "n of m people who …", the m are those of the fact's item."""
    for place, token in enumerate(tokens):
        if token == "who":
            about = next(
                (at for at in range(place + 1, len(tokens)) if tokens[at] in OBJECTS or tokens[at] in MARKS), None
            )
            found = None if about is None else tokens[about]
            if found in ("it", "that"):
                found = _last_object(tokens[:place])
            if found != NAME:
                return ["the people counted are those of the fact's item, not of the one recommended"]
    return []

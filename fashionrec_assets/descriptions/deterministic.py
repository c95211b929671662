"""The offline description provider: rules that clean, resolve and complete a title, and add nothing without a source.

Belongs here: which words to trust, and the sentences they become. Does not belong here: the words themselves
(`lexicon.py`), markup (`cleaning.py`), the check of the result (`claims.py`).

How contradictions are settled: a field beats the title, for it was chosen from a list and not typed to be found; where
no field speaks, the photo beats the title on colour; a title that says two things of which one garment can only be one
is believed in neither. What is dropped is flagged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fashionrec_assets.descriptions.claims import CLEAR_SHARE, Attribute, Description, ItemText
from fashionrec_assets.descriptions.cleaning import clean_text, sentences
from fashionrec_assets.descriptions.evaluator import objections
from fashionrec_assets.descriptions.lexicon import (
    BAIT,
    BOILERPLATE,
    BRANDS,
    CHINESE_NOISE,
    CJK,
    NOISE,
    PRICE,
    TABLES,
    alike,
    canonical,
    chinese,
    colours_agree,
    entries,
    key_of,
    type_of,
    without_orders,
    word_set,
)
from fashionrec_assets.settings import DescriptionSettings

FIELD_CHARS = 80
"""Longer field values are cut at a word: they are notes, not values."""
TITLE_WORDS = 60
"""Words of a title that are read; nobody describes one garment in more."""
PHRASE_WORDS = 4
NAME_WORDS = 8
DETAILS = 6

_SMALL = word_set(
    """
    and the with for of in on at to from by or is it its this that be are was as your you we our i
    """
)

_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?:\b|(?<=[^\d]))(?:19|20)\d{2}(?:\b|(?=[^\d]))年?|\b(?:ss|aw|fw)\s?\d{2}\b", re.IGNORECASE)
_TOKEN = re.compile(
    r"\d/\d|(?:[A-Za-z]+(?=[领恤字衫]))?[\u3400-\u4dbf\u4e00-\u9fff]+|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+(?:['\u2019&][^\W_]+)*|[,;|/!?()\[\]]+"
)
_PAIR = re.compile(
    r"\b(?P<key>type|style|colou?r|pattern|material|fabric|neckline|sleeves?|length|fit|gender)\s*: *"
    r"(?P<value>[^\W_]+(?:[- ][^\W_]+){0,2})",
    re.IGNORECASE,
)
_PAIR_NAMES = {"color": "colour", "fabric": "material", "sleeve": "sleeves"}
_PHRASE_KINDS = frozenset(len(key.split()) for key in entries())
_WITH = ("neck", "collar", "sleeves", "length", "cut", "fit", "waist", "leg")
_MODIFIERS = frozenset(
    {"shirt", "t-shirt", "sweater", "blazer", "polo shirt", "hoodie", "sweatshirt", "cardigan", "suit", "sneakers"}
    | {"belt", "tank top", "jeans", "trench coat", "down jacket", "bikini", "shorts", "top", "leggings"}
)
_HEADS = frozenset({"dress", "jacket", "coat", "socks", "trousers", "bag", "shorts", "waistcoat", "top", "tights"})
"""Types that may stand before another and only qualify it, and those they stand before."""


@dataclass
class _Reading:
    """What the title says: words the lexicon knows, by attribute, and the rest."""

    known: dict[str, list[Attribute]] = field(default_factory=dict)
    last_type: tuple[str, int, int] = ("", -1, -1)
    """The type read last: its value, the position after it, where its words start."""
    compounds: dict[str, str] = field(default_factory=dict)
    """A compound's words to the type that is its head."""
    rest: list[str] = field(default_factory=list)
    untranslated: list[str] = field(default_factory=list)
    noisy: bool = False
    flags: list[str] = field(default_factory=list)

    def add(self, attribute: str, value: str, evidence: str) -> None:
        found = self.known.setdefault(attribute, [])
        if all(other.value != value for other in found):
            found.append(Attribute(attribute, value, "title", evidence))

    def join(self, value: str, position: int, after: int, start: int, plain: str) -> None:
        """Makes one type of two that stand side by side and form a compound: a "shirt dress" is a dress."""
        modifier, expected, begin = self.last_type
        self.last_type = (value, after, start)
        if expected == position and modifier in _MODIFIERS and value in _HEADS:
            types = self.known["type"]
            evidence = plain[begin:start] + next(other.evidence for other in types if other.value == value)
            self.known["type"] = [other for other in types if other.value not in (modifier, value)]
            if canonical("type", evidence) is None:
                self.compounds[evidence] = value
            self.known["type"].append(Attribute("type", evidence.lower(), "title", evidence))


class DeterministicProvider:
    """`describe` as a provider, through the Evaluator's rules; items are independent of each other."""

    name = "deterministic"
    version = "3"

    def __init__(self, settings: DescriptionSettings) -> None:
        self._settings = settings

    def describe_batch(self, items: Sequence[ItemText]) -> list[Description]:
        return [evaluated(item, self._settings.max_chars) for item in items]


def evaluated(item: ItemText, max_chars: int = 400) -> Description:
    """`describe`, but nothing that the Evaluator objects to: then without the seller's own sentences, flagged.

    Those are the only words taken over as they are; if the rest breaks a rule too, only the type is said.
    """
    made = describe(item, max_chars)
    found = objections(made, item, limit=max_chars)
    if not found:
        return made
    flags = tuple(dict.fromkeys(f"evaluator: {one.reason.value}" for one in found))
    plain = describe(replace(item, description=None), max_chars)
    if objections(plain, item, limit=max_chars):
        kept = tuple(one for one in plain.attributes if one.name == "type")
        plain = replace(plain, text=_main_sentence({"type": list(kept)}), attributes=kept)
    if objections(plain, item, limit=max_chars):
        plain = replace(plain, text=_main_sentence({}), attributes=())
    return replace(plain, flags=(*made.flags, *flags))


def describe(item: ItemText, max_chars: int = 400) -> Description:
    """`item` in plain English of at most `max_chars` characters, every claim with its source."""
    title = clean_text(item.title)
    reading = _read(title, item.brand)
    told = _told(item, reading)
    flags = list(reading.flags)
    attributes: list[Attribute] = []
    kind = _type(item, reading, flags)
    colours = _colours(item, reading, flags)
    attributes += [kind] if kind else []
    attributes += colours
    for name in ("pattern", "gender"):
        attributes += _by_field(item, name, reading, flags)
    for name in ("material", "neckline", "sleeves", "length", "fit"):
        attributes += _single(name, reading, flags)
    attributes += reading.known.get("style", [])[:2]
    for name in ("brand", "section"):
        value = _field(item, name)
        attributes += [Attribute(name, value, f"field:{name}")] if value else []
    category = _field(item, "category")
    if category and kind is None:
        attributes.append(Attribute("category", category.lower(), "field:category", category))
    name = _name(title, reading, flags)
    if name:
        attributes.insert(0, Attribute("name", name, "title"))
    else:
        attributes += [Attribute("detail", word, "title") for word in reading.rest[:DETAILS]]
    attributes += [Attribute("untranslated", word, "title") for word in reading.untranslated[:DETAILS]]
    if not attributes and not item.description:
        flags.append("nothing is known about this item")
    text, kept = _write(attributes, told, max_chars)
    return Description(text, tuple(kept), tuple(dict.fromkeys(flags)))


def _field(item: ItemText, name: str) -> str:
    """A field's cleaned value, "" if it is missing or says nothing."""
    value = clean_text(getattr(item, name) or "")
    if value.casefold() in {"", "unknown", "undefined", "n/a", "na", "none", "null", "nan", "-", "other"}:
        return ""
    return value if len(value) <= FIELD_CHARS else value[:FIELD_CHARS].rsplit(" ", 1)[0]


def _read(title: str, brand: str | None) -> _Reading:
    reading = _Reading()
    letters = [char for char in title if char.isalpha() and char.isascii()]
    if len(title.split()) > 1 and letters and sum(char.isupper() for char in letters) > 0.8 * len(letters):
        reading.noisy = True
    plain = without_orders(title)
    if plain != title:
        reading.flags.append("title: reads like an instruction, not read")
    for pattern in (PRICE, _YEAR, BAIT) if _DIGIT.search(title) else (BAIT,):
        plain = pattern.sub(lambda match: "|" * len(match.group()), plain)
    reading.noisy = reading.noisy or plain != title
    spans = [(match.start(), match.end(), match.group()) for match in _TOKEN.finditer(plain)]
    if len(spans) > TITLE_WORDS:
        reading.flags.append("title: only its beginning was read")
        spans = spans[:TITLE_WORDS]
        reading.noisy = True
    own_brand = key_of(clean_text(brand or ""))
    position = 0
    while position < len(spans):
        start, end, word = spans[position]
        if CJK.search(word):
            _read_chinese(word, reading)
            position += 1
            continue
        used = _phrase(plain, spans, position, reading)
        if used:
            position += used
            continue
        position += 1
        key = key_of(word)
        if not word[0].isalnum():
            reading.noisy = reading.noisy or "!" in word or "|" in word
        elif key in NOISE or (key.isdigit() and len(key) > 1):
            reading.noisy = True
        elif key in BRANDS and key not in own_brand.split():
            reading.noisy = True
            reading.flags.append(f"title: brand word {word.lower()!r} dropped")
        elif len(key) > 1 and key not in own_brand.split() and key not in _SMALL:
            evidence = plain[start:end]
            if all(key_of(other) != key for other in reading.rest):
                reading.rest.append(evidence)
            else:
                reading.noisy = True
    return reading


def _phrase(plain: str, spans: list[tuple[int, int, str]], position: int, reading: _Reading) -> int:
    """Reads the longest phrase of the lexicon that starts at `position`; how many words it took, 0 for none."""
    for length in range(min(PHRASE_WORDS, len(spans) - position), 0, -1):
        if length not in _PHRASE_KINDS:
            continue
        words = spans[position : position + length]
        if any(not word[2][0].isalnum() for word in words):
            continue
        evidence = plain[words[0][0] : words[-1][1]]
        entry = entries().get(key_of(evidence))
        if entry is None:
            continue
        attribute, value = entry
        reading.noisy = reading.noisy or any(other.value == value for other in reading.known.get(attribute, []))
        reading.add(attribute, value, evidence)
        if attribute == "type":
            reading.join(value, position, position + length, words[0][0], plain)
        return length
    return 0


def _read_chinese(run: str, reading: _Reading) -> None:
    """Splits a run of Chinese by the longest known word at each place; what is unknown is kept as it is."""
    reading.noisy = True
    folded = run.casefold()
    rest = ""
    position = 0
    while position < len(run):
        known = next((key for key in chinese() if len(key) > 1 and folded.startswith(key, position)), None)
        noise = next((word for word in CHINESE_NOISE if len(word) > 1 and run.startswith(word, position)), None)
        if known and (noise is None or len(known) >= len(noise)):
            _keep_chinese(rest, reading)
            rest = ""
            attribute, value = entries()[known]
            reading.add(attribute, value, known)
            position += len(known)
        elif noise:
            _keep_chinese(rest, reading)
            rest = ""
            position += len(noise)
        else:
            rest += run[position]
            position += 1
    _keep_chinese(rest, reading)


def _keep_chinese(word: str, reading: _Reading) -> None:
    """A remainder between known words: single characters may be known alone, longer ones stay Chinese."""
    if not word or word in CHINESE_NOISE:
        return
    entry = entries().get(word)
    if entry:
        reading.add(*entry, word)
    elif all(char in CHINESE_NOISE for char in word):
        return
    elif word not in reading.untranslated:
        reading.untranslated.append(word)


def _type(item: ItemText, reading: _Reading, flags: list[str]) -> Attribute | None:
    said = reading.known.get("type", [])
    value = _field(item, "product_type")
    heads = [reading.compounds.get(other.evidence, other.value) for other in said]
    if value:
        known = type_of(value)
        for head, other in zip(heads, said, strict=True):
            if known and not alike(known, head):
                flags.append(f"type: title says {other.value!r}, field says {value.lower()!r}")
        return Attribute("type", value.lower(), "field:product_type", value)
    if not said:
        return None
    if not all(alike(heads[0], head) for head in heads[1:]):
        flags.append("type: title names " + ", ".join(repr(other.value) for other in said))
    return said[0]


def _colours(item: ItemText, reading: _Reading, flags: list[str]) -> list[Attribute]:
    said = reading.known.get("colour", [])
    value = _field(item, "colour")
    if value:
        for other in said:
            if not colours_agree(value, other.value) and key_of(other.value) not in key_of(value):
                flags.append(f"colour: title says {other.value!r}, field says {value.lower()!r}")
        return [Attribute("colour", value.lower(), "field:colour", value)]
    clear = [(name, share) for name, share in item.measured_colours if share >= CLEAR_SHARE]
    if not clear:
        if len(said) > 2:
            flags.append("colour: title names " + ", ".join(repr(other.value) for other in said))
            return []
        return said
    confirmed = [other for other in said if any(colours_agree(other.value, name) for name, _ in clear)]
    for other in said:
        if other not in confirmed:
            flags.append(f"colour: title says {other.value!r}, photo shows {clear[0][0]!r}")
    if len(confirmed) in (1, 2):
        return confirmed
    if len(confirmed) > 2:
        flags.append("colour: title names " + ", ".join(repr(other.value) for other in said))
    return [Attribute("colour", name, "photo") for name, _ in clear[:2]]


def _by_field(item: ItemText, name: str, reading: _Reading, flags: list[str]) -> list[Attribute]:
    value = _field(item, name)
    if not value:
        return _single(name, reading, flags)
    known = canonical(name, value)
    for other in reading.known.get(name, []):
        if known and other.value != known:
            flags.append(f"{name}: title says {other.value!r}, field says {value.lower()!r}")
    return [Attribute(name, known or value.lower(), f"field:{name}", value)]


def _single(name: str, reading: _Reading, flags: list[str]) -> list[Attribute]:
    """The title's one value of an attribute; none, flagged, where it names several."""
    said = reading.known.get(name, [])
    if name == "fit":
        exclusive = [other for other in said if other.value in {"slim fit", "regular fit", "loose fit"}]
        if len(exclusive) > 1:
            flags.append("fit: title names " + ", ".join(repr(other.value) for other in exclusive))
            said = [other for other in said if other not in exclusive]
        return said[:2]
    if len(said) > 1 and name != "material":
        flags.append(f"{name}: title names " + ", ".join(repr(other.value) for other in said))
        return []
    return said[:2]


def _name(title: str, reading: _Reading, flags: list[str]) -> str:
    """The title itself, where it reads like a product's name and not like bait; else ""."""
    contradicted = any(flag.partition(":")[0] in TABLES for flag in flags)
    words = title.split()
    if not words or reading.noisy or contradicted or not reading.rest or len(words) > NAME_WORDS:
        return ""
    return title.rstrip(" .,;:-")


def _told(item: ItemText, reading: _Reading) -> list[str]:
    """The sentences of the item's own description that are worth keeping.

    "Pattern: dots" and the like become attributes of the reading: a seller who fills in a form chooses, and beats the
    title. What is about the sale is left out.
    """
    kept: list[str] = []
    for sentence in sentences(without_orders(clean_text(item.description or ""))):
        for part in sentence.split("|"):
            left = _take_pairs(part, reading).strip(" .,;:")
            words = [key_of(word) for word in re.findall(r"[^\W_]+", left)]
            if not words or (_DIGIT.search(left) and PRICE.search(left)) or BOILERPLATE.search(left):
                continue
            noise = sum(word in NOISE and len(word) > 2 for word in words)
            told = left if left[-1] in "!?。！？" else left + "."
            if noise <= 0.3 * len(words) and len(set(words)) >= 0.5 * len(words) and told not in kept:
                kept.append(told)
    return kept


def _take_pairs(text: str, reading: _Reading) -> str:
    """`text` without its "key: value" pairs, which go into `reading`; a pair that is not understood stays."""
    left, at = "", 0
    while match := _PAIR.search(text, at):
        key = match["key"].lower()
        name = _PAIR_NAMES.get(key, key)
        found: Attribute | None = None
        end = match.end("key")
        spaces = [place.start() for place in re.finditer(r"[- ]", match["value"])]
        for length in (len(match["value"]), *reversed(spaces)):
            value = match["value"][:length]
            end = match.start("value") + length
            for evidence in (value, text[match.start() : end]):
                known = canonical(name, evidence)
                if known:
                    found = Attribute(name, known, "field:description", evidence)
                    break
            if found:
                break
        if found is None:
            left, at = left + text[at : match.end("key")], match.end("key")
            continue
        left, at = left + text[at : match.start()], end
        other = reading.known.get(name, [])
        if (
            other
            and all(one.value != found.value for one in other)
            and name not in ("colour", "type", "gender", "style")
        ):
            said = ", ".join(repr(one.value) for one in other)
            reading.flags.append(f"{name}: title says {said}, description says {found.value!r}")
        reading.known[name] = [found]
    return left + text[at:]


def _write(attributes: list[Attribute], told: list[str], max_chars: int) -> tuple[str, list[Attribute]]:
    """The text, and the attributes that found room in it (or belong beside it, like the brand)."""
    by_name: dict[str, list[Attribute]] = {}
    for attribute in attributes:
        by_name.setdefault(attribute.name, []).append(attribute)
    dropped: set[int] = set()
    order = ["style", "fit", "length", "sleeves", "neckline", "material", "gender", "pattern", "colour"]
    main = _main_sentence(by_name)
    while len(main) > max_chars and order:
        for attribute in by_name.pop(order.pop(0), []):
            dropped.add(id(attribute))
        main = _main_sentence(by_name)
    main = _cut(main, max_chars)
    parts = [main]
    room = max_chars - len(main)

    def add(sentence: str, first: bool = False) -> bool:
        nonlocal room
        if len(sentence) + 1 > room:
            return False
        parts.insert(0, sentence) if first else parts.append(sentence)
        room -= len(sentence) + 1
        return True

    extras = [("name", "{}.", True), ("section", "From {}.", False)]
    for name, form, first in extras:
        for attribute in by_name.get(name, []):
            if key_of(attribute.value) not in key_of(main) and not add(form.format(_capital(attribute.value)), first):
                dropped.add(id(attribute))
    for sentence in told:
        if not add(sentence):
            if room > 40 and (short := _cut(sentence, room - 2)):
                add(short)
            break
    for name, form in (("detail", "Also described as {}."), ("untranslated", "Also in the title: {}.")):
        values = by_name.get(name, [])
        while values and not add(form.format(", ".join(attribute.value.lower() for attribute in values))):
            dropped.add(id(values.pop()))
    return " ".join(parts), [attribute for attribute in attributes if id(attribute) not in dropped]


def _main_sentence(by_name: dict[str, list[Attribute]]) -> str:
    """ "A slim fit red striped cotton t-shirt with a crew neck and short sleeves, for women." """

    def values(*names: str) -> list[str]:
        return [attribute.value for name in names for attribute in by_name.get(name, [])]

    shape = values("length", "fit", "neckline", "sleeves")
    with_ = [value for value in shape if value.endswith(_WITH)]
    before = values("style") + [value for value in shape if value not in with_]
    before += [value for value in values("gender") if value == "unisex"]
    pattern = values("pattern")
    short = [value for value in pattern if len(value.split()) == 1]
    noun = (values("type") or ["fashion item"])[:1]
    head = " ".join([*before, " and ".join(values("colour")), *short, " ".join(values("material")), *noun])
    head = " ".join(_undoubled(head.split()))
    sentence = _capital(head) if _plural(noun[0]) else f"{_article(head).capitalize()} {head}"
    if with_:
        listed = [value if value.endswith("sleeves") else f"{_article(value)} {value}" for value in with_]
        sentence += " with " + (", ".join(listed[:-1]) + " and " + listed[-1] if len(listed) > 1 else listed[0])
    for value in pattern:
        sentence += "" if value in short else f", {value}"
    for value in values("category"):
        sentence += f", {value}"
    for value in values("gender"):
        sentence += f", for {value}" if value != "unisex" else ""
    return sentence + "."


def _undoubled(words: list[str]) -> list[str]:
    """`words` without a word that repeats the one before it ("denim denim jacket")."""
    return [word for number, word in enumerate(words) if number == 0 or word != words[number - 1]]


def _plural(noun: str) -> bool:
    """Whether English puts no "a" before this noun: plurals, and words like "underwear"."""
    return (noun.endswith("s") and not noun.endswith(("ss", "us"))) or noun.endswith("wear")


def _article(words: str) -> str:
    return "an" if words[:1].lower() in set("aeio") or words.lower().startswith("under") else "a"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, cut after a whole word."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    head = head.rsplit(" ", 1)[0] if " " in head else head
    return head.rstrip(" ,;:-") + "."

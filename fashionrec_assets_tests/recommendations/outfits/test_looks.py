from itertools import product

import numpy as np
import pytest

from fashionrec_assets.recommendations.outfits.evidence import facts_of_pairs
from fashionrec_assets.recommendations.outfits.learning import Learned, learn
from fashionrec_assets.recommendations.outfits.looks import _best_look, choose
from fashionrec_assets.recommendations.outfits.slots import SLOTS
from fashionrec_assets.recommendations.popular import trend_of
from fashionrec_assets.settings import OutfitSettings, RecommendationSettings
from fashionrec_assets_tests.recommendations.outfits.shop import (
    DAYS,
    EACH,
    TYPES,
    basket_log,
    catalog,
    everything,
    row,
    wardrobe,
)

SETTINGS = OutfitSettings(enough_baskets=10, negatives=20)
N = EACH * len(TYPES)


@pytest.fixture(scope="module")
def learned() -> Learned:
    clothes = wardrobe(catalog(i04={"gender": "men"}, i21={"gender": "men"}, i11={"family_id": "f01"}))
    return learn(basket_log(), clothes, SETTINGS, cut=DAYS * 86_400, pool=everything(N), seed=1)


def test_complements_are_worn_elsewhere_by_the_same_people(learned: Learned) -> None:
    complements, _ = choose(learned.model, learned.affinity, np.arange(N), SETTINGS)
    clothes = learned.affinity.wardrobe
    assert set(complements.anchors.tolist()) == set(range(N))
    assert bool(np.all(clothes.slots[complements.anchors] != clothes.slots[complements.items]))
    assert bool(np.all(clothes.audiences[complements.anchors] == clothes.audiences[complements.items]))
    assert bool(np.all(clothes.families[complements.anchors] != clothes.families[complements.items]))
    # The man's shirt has but the man's sneakers.
    assert complements.items[complements.anchors == row("i04")].tolist() == [row("i21")]
    for anchor in range(N):
        own = complements.anchors == anchor
        assert complements.places[own].tolist() == list(range(1, own.sum() + 1))
        assert bool(np.all(np.diff(complements.scores[own]) <= 0))


def test_what_may_not_be_shown_is_in_no_list_and_no_look(learned: Learned) -> None:
    allowed = everything(N)
    allowed[row("i12")] = allowed[row("i30")] = False
    for chosen in choose(learned.model, learned.affinity, np.arange(N), SETTINGS, allowed=allowed):
        assert len(chosen.items)
        assert not np.isin(chosen.items, [row("i12"), row("i30")]).any()


def test_a_look_is_complete_and_has_each_slot_once(learned: Learned) -> None:
    _, looks = choose(learned.model, learned.affinity, np.arange(N), SETTINGS)
    clothes = learned.affinity.wardrobe
    shirt = looks.anchors == row("i02")
    assert set(looks.places[shirt].tolist()) == {1, 2}
    for number in (1, 2):
        items = looks.items[shirt & (looks.places == number)]
        slots = [SLOTS[slot] for slot in clothes.slots[items].tolist()]
        assert sorted(slots) == ["accessory", "bottom", "footwear", "outerwear"]
    first, second = (set(looks.items[shirt & (looks.places == number)].tolist()) for number in (1, 2))
    assert not first & second
    # Men have no trousers here, so there is no look around the man's shirt.
    assert not (looks.anchors == row("i04")).any()
    # A look around shoes is built on a shirt and trousers.
    shoes = clothes.slots[looks.items[(looks.anchors == row("i20")) & (looks.places == 1)]]
    assert {"top", "bottom"} <= {SLOTS[slot] for slot in shoes.tolist()}


def test_a_wide_beam_finds_the_best_look_there_is() -> None:
    rng = np.random.default_rng(4)
    names = ["top", *["bottom"] * 3, *["footwear"] * 3, *["accessory"] * 3, *["outerwear"] * 3]
    slots = np.array([SLOTS.index(name) for name in names], dtype=np.int8)
    worth = rng.normal(size=(len(names), len(names)))
    worth = (worth + worth.T) / 2
    best = _best_look(worth, slots, np.zeros(len(names), bool), np.arange(len(names)), beam=1000)
    assert best is not None

    def total(places: tuple[int, ...]) -> float:
        return float(worth[np.ix_(places, places)][np.triu_indices(len(places), 1)].sum())

    looks = [(0, *rest) for rest in product(range(1, 4), range(4, 7), range(7, 10), range(10, 13))]
    brute = max(looks, key=total)
    assert tuple(best[0]) == brute
    assert best[1] == pytest.approx(total(brute) / 10, abs=1e-3)


def test_the_facts_are_those_of_the_log(learned: Learned) -> None:
    log, affinity = basket_log(), learned.affinity
    people = trend_of(log, RecommendationSettings(popular_days=2))
    anchors, items = np.array([row("i00"), row("i00")]), np.array([row("i10"), row("i20")])
    cells = facts_of_pairs(learned.model, affinity, anchors, items, people, 2).to_pylist()
    told = [{fact["kind"]: fact for fact in cell} for cell in cells]

    had = [
        set(log.users[(log.items == item) & (log.times // 86_400 == day)].tolist())
        for day in range(DAYS)
        for item in (row("i00"), row("i10"))
    ]
    both = sum(len(first & second) for first, second in zip(had[::2], had[1::2], strict=True))
    assert both > 0
    assert told[0]["pairing"]["number"] == both
    assert told[0]["pairing"]["base"] == sum(len(first) for first in had[::2])
    assert told[0]["pairing"]["item"] == "i00"
    # Shirts and sneakers never met.
    assert "pairing" not in told[1]
    assert "kinds" not in told[1]
    one_design = [
        set(log.users[(log.items == item) & (log.times // 86_400 == day)].tolist())
        for day in range(DAYS)
        for item in (row("i01"), row("i11"))
    ]
    same = sum(len(first & second) for first, second in zip(one_design[::2], one_design[1::2], strict=True))
    # Half of the forty baskets a day are a shirt and trousers; one pair of them is of one design here.
    assert told[0]["kinds"]["number"] == DAYS * 20 - same
    assert (told[0]["kinds"]["what"], told[0]["kinds"]["value"]) == ("trousers", "shirt")
    clothes = affinity.wardrobe
    cosine = float(clothes.image[row("i00")] @ clothes.image[row("i10")])
    assert told[0]["look"]["number"] == pytest.approx(cosine, abs=1e-4)
    recent = log.times > log.times.max() - 2 * 86_400
    buyers = len(set(log.users[recent & (log.items == row("i10"))].tolist()))
    assert (told[0]["popularity"]["number"], told[0]["popularity"]["base"]) == (buyers, 2)
    assert told[0]["price"]["number"] == 10.0
    for cell in cells:
        assert [fact["id"] for fact in cell] == [f"f{place + 1}" for place in range(len(cell))]
        weights = [fact["weight"] for fact in cell]
        assert weights == sorted(weights, reverse=True)

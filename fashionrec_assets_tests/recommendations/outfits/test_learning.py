from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from fashionrec_assets.recommendations.outfits.affinity import FEATURES, Affinity
from fashionrec_assets.recommendations.outfits.baskets import DAY
from fashionrec_assets.recommendations.outfits.compatibility import Compatibility, completions
from fashionrec_assets.recommendations.outfits.learning import known_items, learn
from fashionrec_assets.settings import OutfitSettings
from fashionrec_assets_tests.recommendations.outfits.shop import (
    DAYS,
    EACH,
    TYPES,
    basket_log,
    everything,
    row,
    wardrobe,
)

SETTINGS = OutfitSettings(enough_baskets=10, negatives=20)
TEST = (DAYS - 1) * DAY


def _given(*rows: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), np.float32), ([0] * len(rows), rows)), shape=(1, EACH * len(TYPES)))


def test_features_of_a_pair_are_those_of_a_basket_of_one() -> None:
    affinity = Affinity.of(basket_log(), wardrobe(), ("buy",), as_of=TEST)
    n = EACH * len(TYPES)
    for anchor in (row("i00"), row("i23")):
        block = np.stack([np.broadcast_to(one, (1, n))[0] for _, one in affinity.block(_given(anchor))], axis=1)
        pairs = affinity.pairs(np.full(n, anchor), np.arange(n))
        assert block.shape == (n, len(FEATURES))
        np.testing.assert_allclose(pairs, block, atol=1e-5)


def test_the_rule_of_the_baskets_is_learned() -> None:
    clothes = wardrobe()
    learned = learn(basket_log(), clothes, SETTINGS, cut=TEST, pool=everything(len(clothes)), seed=1)
    scores = learned.model.score(learned.affinity, _given(row("i01")))[0]
    scores[row("i01")] = -np.inf
    best = np.argsort(-scores)[:2].tolist()
    # Blue shirts go with the two blue trousers.
    assert sorted(best) == [row("i11"), row("i15")]
    shoes = learned.model.score(learned.affinity, _given(row("i20")))[0]
    assert shoes[3 * EACH : 4 * EACH].min() > shoes[:EACH].max()


def test_an_item_nobody_had_is_completed_by_its_type_and_colour() -> None:
    clothes = wardrobe()
    log = basket_log()
    kept = log.select(log.items != row("i01"))
    learned = learn(kept, clothes, SETTINGS, cut=TEST, pool=everything(len(clothes)), seed=1)
    assert learned.affinity.had[row("i01")] == 0
    scores = learned.model.score(learned.affinity, _given(row("i01")))[0]
    trousers, bags = scores[EACH : 2 * EACH], scores[3 * EACH : 4 * EACH]
    assert trousers.mean() > bags.mean()
    assert sorted(np.argsort(-trousers)[:2].tolist()) == [1, 5]


def test_baskets_of_the_test_days_change_nothing_that_is_learned() -> None:
    clothes = wardrobe()
    planted = [(row("i00"), row("i30"))] * 150
    pool = everything(len(clothes))
    honest, leaked = (
        learn(log, clothes, SETTINGS, cut=TEST, pool=pool, seed=1) for log in (basket_log(), basket_log(planted))
    )
    assert honest.model.weights.tolist() == leaked.model.weights.tolist()
    given = _given(row("i00"))
    np.testing.assert_array_equal(
        honest.model.score(honest.affinity, given), leaked.model.score(leaked.affinity, given)
    )
    after = learn(basket_log(planted), clothes, SETTINGS, cut=TEST + DAY, pool=pool, seed=1)
    assert after.affinity.together[row("i00"), row("i30")] == 150


def test_an_item_is_asked_for_without_its_family() -> None:
    log = basket_log()
    from fashionrec_assets.recommendations.outfits.baskets import baskets_of

    baskets = baskets_of(log, ("buy",))
    questions = completions(baskets, wardrobe().families, 30, seed=2)
    assert len(np.unique(questions.baskets)) == 30
    assert questions.weights.sum() == pytest.approx(30)
    families = wardrobe().families
    for question in range(len(questions)):
        given = questions.given[[question]].indices
        assert len(given)
        assert families[questions.held_out[question]] not in families[given]


def test_a_model_survives_its_file_and_refuses_another_version(tmp_path: Path) -> None:
    model = Compatibility(np.round(np.linspace(0, 1, len(FEATURES)), 5), 7, ("cart", "buy"))
    model.save(tmp_path)
    again = Compatibility.load(tmp_path)
    assert again.weights.tolist() == model.weights.tolist()
    assert (again.queries, again.behaviours) == (7, ("cart", "buy"))
    path = tmp_path / "compatibility.json"
    path.write_text(path.read_text("utf-8").replace(FEATURES[0], "something else"), "utf-8")
    with pytest.raises(ValueError, match="materialize"):
        Compatibility.load(tmp_path)


def test_what_is_launched_after_the_window_is_not_known() -> None:
    log = basket_log()
    launches = np.full(log.n_items, 0, dtype=np.int64)
    launches[row("i40")] = launches[row("i00")] = TEST + 2 * DAY
    known = known_items(log, launches, TEST, TEST + DAY)
    # A jacket nobody had is unknown; a shirt that was sold is known whatever the catalog says of its launch.
    assert not known[row("i40")]
    assert known[row("i00")]

import numpy as np
from scipy import sparse

from fashionrec_assets.evaluation.outfits.methods import category_popularity
from fashionrec_assets.evaluation.outfits.task import OUTSIDE, completion_task, held_out_ranks
from fashionrec_assets.recommendations.outfits.affinity import Affinity
from fashionrec_assets.recommendations.outfits.baskets import DAY
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

N = EACH * len(TYPES)
TEST = (DAYS - 1) * DAY


def _quiet(done: int, total: int) -> None:
    pass


def test_ranks_are_those_of_a_plain_sort_over_the_same_candidates() -> None:
    clothes = wardrobe(catalog(i11={"family_id": "f10"}, i40={"category": None, "product_type": None, "title": "?"}))
    pool = everything(N)
    pool[row("i31")] = False
    planted = [(row("i00"), row("i01")), (row("i02"), row("i40"))]
    task = completion_task(
        basket_log(planted), clothes, ("buy",), start=TEST, end=TEST + DAY, pool=pool, most=1000, seed=0
    )
    rng = np.random.default_rng(2)
    scores = np.round(rng.normal(size=N), 1).astype(np.float32)
    ranks = held_out_ranks(task, {"one": lambda _: scores[None, :]}, _quiet)
    assert task.outside_pool > 0
    assert row("i31") not in task.questions.held_out
    for question, held in enumerate(task.questions.held_out.tolist()):
        given = task.questions.given[[question]].indices
        there = pool & ~np.isin(clothes.families, clothes.families[given])
        order = sorted(np.flatnonzero(there).tolist(), key=lambda item: (-scores[item], item))
        assert ranks["any"]["one"][question] == 1 + order.index(held)
        elsewhere = (clothes.slots >= 0) & ~np.isin(clothes.slots, clothes.slots[given])
        if elsewhere[held]:
            order = [item for item in order if elsewhere[item]]
            assert ranks["other_slot"]["one"][question] == 1 + order.index(held)
        else:
            assert ranks["other_slot"]["one"][question] == OUTSIDE
    asked = ranks["other_slot"]["one"] != OUTSIDE
    # A shirt beside a shirt, and what has no slot, are asked for in the first setting alone.
    assert 0 < asked.sum() < len(asked)


def test_category_popularity_follows_the_types_of_baskets() -> None:
    affinity = Affinity.of(basket_log(), wardrobe(), ("buy",), as_of=TEST)
    given = sparse.csr_array((np.ones(1, np.float32), ([0], [row("i00")])), shape=(1, N))
    scores = category_popularity(affinity)(given)[0]
    trousers = scores[EACH : 2 * EACH]
    assert trousers.min() > np.delete(scores, np.s_[EACH : 2 * EACH]).max()
    assert int(np.argmax(trousers)) == int(np.argmax(affinity.popularity[EACH : 2 * EACH, 1]))

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fashionrec_assets.sample.shop import ShopSummary, generate_shop
from fashionrec_assets.sample.truth import Truth, load_truth, save_truth


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> ShopSummary:
    out = tmp_path_factory.mktemp("truth") / "shop"
    return generate_shop(out, items=300, users=600, events=24_000, photos=False)


def _log(shop: ShopSummary, truth: Truth) -> pd.DataFrame:
    log = pd.read_csv(
        shop.out / "UserBehavior.csv", header=None, names=["user", "item", "category", "kind", "time"], dtype=str,
        on_bad_lines="skip",
    )  # fmt: skip
    log["time"] = pd.to_numeric(log["time"], errors="coerce")
    period = truth.meta["period"]
    bots = truth.users.loc[truth.users["is_bot"], "user_id"]
    inside = log["time"].between(period["start"], period["end"] - 1)
    return log[inside & log["item"].isin(truth.items["item_id"]) & ~log["user"].isin(bots)].drop_duplicates()


def _ndcg(scores: NDArray[np.float32], relevant: NDArray[np.bool_], k: int = 20) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(relevant, best, axis=1)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.array([discount[: min(k, n)].sum() for n in relevant.sum(axis=1)])
    return float(((hits * discount).sum(axis=1) / ideal).mean())


def test_the_oracle_beats_popularity_and_every_part_of_it_helps(larger: ShopSummary) -> None:
    truth = load_truth(larger.truth)
    log = _log(larger, truth)
    items = truth.items["item_id"].tolist()
    column = {item: n for n, item in enumerate(items)}
    before, after = (log[log["time"].lt(truth.meta["period"]["test_start"]) == early] for early in (True, False))
    users = sorted(set(before["user"]) & set(after["user"]))
    row = {user: n for n, user in enumerate(users)}

    def matrix(part: pd.DataFrame) -> NDArray[np.bool_]:
        part = part[part["user"].isin(row)]
        out = np.zeros((len(users), len(items)), bool)
        out[part["user"].map(row), part["item"].map(column)] = True
        return out

    history, future = matrix(before), matrix(after)
    target = future & ~history
    kept = target.any(axis=1)

    def score(values: NDArray[np.float32]) -> float:
        return _ndcg(np.where(history, -np.inf, values)[kept].astype(np.float32), target[kept])

    popularity = score(np.broadcast_to(history.sum(axis=0).astype(np.float32), history.shape))
    oracle = score(truth.utility(users, items))
    assert oracle > 3 * popularity
    assert oracle > 0.2
    flat = replace(truth, intent_shares=np.full_like(truth.intent_shares, 1 / truth.intent_shares.shape[1]))
    assert score(flat.utility(users, items)) < oracle
    impersonal = replace(truth, user_factors=np.zeros_like(truth.user_factors))
    assert score(impersonal.utility(users, items)) < oracle


def test_utilities_are_log_probabilities_in_the_order_asked_for(shop: ShopSummary) -> None:
    truth = load_truth(shop.truth)
    users, items = truth.users["user_id"].tolist(), truth.items["item_id"].tolist()
    utility = truth.utility(users, items)
    assert utility.dtype == np.float32
    assert np.allclose(np.exp(utility.astype(np.float64)).sum(axis=1), 1, atol=1e-3)
    part = truth.utility([users[7], users[2]], [items[9], items[0], items[4]])
    assert np.allclose(part, utility[np.ix_([7, 2], [9, 0, 4])], rtol=1e-4)


def test_the_utility_is_the_mean_over_days_and_intents_of_softmaxes(shop: ShopSummary) -> None:
    truth = load_truth(shop.truth)
    user = 3
    expected = np.zeros(len(truth.items))
    for intent in range(truth.intent_factors.shape[1]):
        for bias in truth.test_day_bias.astype(np.float64):
            wants = (truth.user_factors[user] + truth.intent_factors[user, intent]).astype(np.float64)
            weights = np.exp(truth.item_factors.astype(np.float64) @ wants + bias)
            expected += truth.intent_shares[user, intent] * weights / weights.sum() / len(truth.test_day_bias)
    got = truth.utility([truth.users["user_id"][user]], truth.items["item_id"].tolist())[0]
    assert np.allclose(np.exp(got.astype(np.float64)), expected, rtol=1e-3)


def test_strangers_get_the_mean_and_unknown_items_cannot_be_chosen(shop: ShopSummary) -> None:
    truth = load_truth(shop.truth)
    item = truth.items["item_id"][0]
    utility = truth.utility(["nobody", truth.users["user_id"][0]], [item, "no such item"])
    assert np.isfinite(utility[:, 0]).all()
    assert np.isneginf(utility[:, 1]).all()


def test_the_folder_is_checked(tmp_path: Path, shop: ShopSummary) -> None:
    with pytest.raises(FileNotFoundError, match="generate the shop again"):
        load_truth(tmp_path)
    truth = load_truth(shop.truth)
    save_truth(truth, tmp_path / "copy")
    again = load_truth(tmp_path / "copy")
    assert np.array_equal(again.item_factors, truth.item_factors)
    save_truth(replace(truth, items=truth.items.iloc[1:]), tmp_path / "torn")
    with pytest.raises(ValueError, match="do not belong together"):
        load_truth(tmp_path / "torn")
    path = tmp_path / "copy" / "truth.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 0}))
    with pytest.raises(ValueError, match="format 0"):
        load_truth(tmp_path / "copy")

"""Training of the ranker on lists where it is known what decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.ranking import training as room
from fashionrec_assets.ranking.lists import Lists, joined, ndcg
from fashionrec_assets.ranking.ranker import Ranker, network_of
from fashionrec_assets.ranking.training import RankerError, importance, train_ranker
from fashionrec_assets.settings import RankingSettings
from fashionrec_assets_tests.ranking.learned import EACH, PEOPLE, QUICK, made


def hits(lists: Lists, scores: NDArray[np.float32]) -> float:
    """The share of people whose best candidate is the one they took."""
    best = scores.reshape(-1, EACH).argmax(axis=1)
    return float(lists.taken.reshape(-1, EACH)[np.arange(len(best)), best].mean())


def test_it_learns_what_decides_and_holds_for_others(trained: Ranker) -> None:
    others = made(9)
    assert trained.ndcg > 0.9
    assert hits(others, trained.scores(others.values)) > 0.85
    assert importance(trained, others, seed=1)[0]["feature"] == "content"


def test_the_figure_is_of_people_left_out() -> None:
    """Where nothing decides there is nothing to learn, however often networks see the training lists."""
    lists = made()
    rng = np.random.default_rng(5)
    order = np.concatenate([at * EACH + rng.permutation(EACH) for at in range(PEOPLE)])
    noise = replace(lists, taken=lists.taken[order], bits=lists.bits[order])
    found = train_ranker(noise, QUICK.model_copy(update={"epochs": 30}), seed=3)
    by_chance = float(np.mean(1 / np.log2(np.arange(EACH) + 2.0)))
    assert found.ndcg == pytest.approx(by_chance, abs=0.06)
    assert ndcg(noise, found.scores(noise.values)) > found.ndcg + 0.15


@pytest.mark.parametrize("weights", [(1, 1, 1, 1, 1), (1, 1, 4, 3, 1)])
def test_the_listwise_loss_by_hand(weights: tuple[int, ...]) -> None:
    """Two lists, the first with two taken; a pair that stands for four counts four times below the line."""
    import torch

    scores = [1.0, 2.0, 0.5, 100.0, 99.0]
    loss = room._listwise(
        torch.tensor(scores),
        torch.log(torch.tensor(weights, dtype=torch.float32)),
        torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0]),
        torch.tensor([0, 0, 0, 1, 1]),
        2,
    )
    first = scores[:3] - np.log(np.dot(weights[:3], np.exp(scores[:3])))
    second = -1.0 - np.log(weights[3] + np.exp(-1.0))
    assert float(loss) == pytest.approx((-(first[0] + first[1]) / 2 - second) / 2, rel=1e-5)


def test_a_part_of_the_candidates_teaches_nearly_as_much() -> None:
    whole, part = (train_ranker(made(), QUICK.model_copy(update={"train_candidates": n}), seed=3) for n in (EACH, 6))
    others = made(9)
    assert hits(others, part.scores(others.values)) > 0.85 * hits(others, whole.scores(others.values))


def test_some_hidden_units_are_left_out_and_the_mean_stays() -> None:
    import torch

    torch.manual_seed(0)
    network = network_of(4, RankingSettings(hidden=32, dropout=0.25))
    inputs = torch.ones(20_000, 4)
    plain = float(network.eval()(inputs[:1]).detach())
    scores = room._trained(network, inputs, 0.25, np.random.default_rng(0)).detach()
    assert float(scores.std()) > 0.01
    assert float(scores.mean()) == pytest.approx(plain, abs=4 * float(scores.std()) / len(scores) ** 0.5)
    assert torch.equal(room._trained(network, inputs, 0, np.random.default_rng(0)), network(inputs).squeeze(1))


def test_the_same_seed_gives_the_same_bits_and_another_others(trained: Ranker) -> None:
    values = made(7).values
    again, other = train_ranker(made(), QUICK, seed=3), train_ranker(made(), QUICK, seed=4)
    assert np.array_equal(trained.scores(values), again.scores(values))
    assert trained.calibration == again.calibration
    assert not np.array_equal(trained.scores(values), other.scores(values))


def test_new_items_are_lifted_as_far_as_the_price_allows() -> None:
    lists = made(people=2)
    warm = np.ones(2 * EACH, bool)
    warm[[EACH - 1, 2 * EACH - 1]] = False
    taken = np.zeros(2 * EACH, bool)
    taken[[0, EACH]] = True
    lists = replace(lists, warm=warm, taken=taken)
    scores = np.tile(np.linspace(0, -6, EACH), 2).astype(np.float32)
    scores[~warm] = -1.1
    # A lift of 1 leaves the new item behind what was taken, 1.25 puts it in front of it.
    assert room._new_bonus(lists, scores, RankingSettings(new_item_price=0.02)) == pytest.approx((1.0, 1.0))
    # Whatever the price, items with events keep nine tenths of what they gained.
    assert room._new_bonus(lists, scores, RankingSettings(new_item_price=0.5)) == pytest.approx((1.0, 1.0))
    assert room._new_bonus(replace(lists, warm=np.ones_like(warm)), scores, QUICK) == pytest.approx((0.0, 1.0))
    wanted = replace(lists, taken=~warm)
    assert room._new_bonus(wanted, scores, RankingSettings(new_item_price=0.0)) == pytest.approx((4.0, 1.0))


@pytest.mark.parametrize("takers", [0, 1])
def test_a_window_in_which_nobody_took_anything_says_what_to_do(takers: int) -> None:
    lists = made()
    with pytest.raises(RankerError, match=r"ranking\.window_days") as error:
        train_ranker(replace(lists, taken=lists.taken & (lists.owner < takers)), QUICK, seed=0)
    assert "evaluation.target_behaviours" in str(error.value)


def test_a_person_of_two_windows_is_never_trained_on_where_they_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    both = joined([made(1, people=40), made(2, people=40, first=20)])
    seen: list[set[int]] = []
    scored: list[int] = []
    train, apply = room._train, room.apply

    def train_and_tell(
        lists: Lists, inputs: NDArray[np.float32], trained_on: NDArray[np.bool_], *rest: object
    ) -> object:
        seen.append(set(lists.people[trained_on].tolist()))
        return train(lists, inputs, trained_on, *rest)  # type: ignore[arg-type]

    def apply_and_tell(network: object, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        scored.append(len(inputs))
        return apply(network, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_train", train_and_tell)
    monkeypatch.setattr(room, "apply", apply_and_tell)
    train_ranker(both, QUICK.model_copy(update={"folds": 3, "epochs": 1}), seed=0)
    everybody = set(both.people.tolist())
    left_out = [everybody - people for people in seen]
    assert len(left_out) == 3
    assert sorted(person for people in left_out for person in people) == sorted(everybody)
    # Each network scores all pairs, of both windows, of the people it was not trained on, and of nobody else.
    for people, pairs in zip(left_out, scored, strict=True):
        assert pairs == EACH * int(np.isin(both.people, list(people)).sum())

"""The learned ranker on lists where it is known what decides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fashionrec_assets.ranking import ranker as room
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.ranker import (
    ANY,
    CONFIG,
    WEIGHTS,
    Lists,
    Ranker,
    RankerError,
    importance,
    joined,
    train_ranker,
)
from fashionrec_assets.settings import RankingSettings

PEOPLE, EACH = 300, 12
QUICK = RankingSettings(hidden=16, epochs=10, folds=3, learning_rate=3e-2, batch_size=32, dropout=0)
PV, BUY = 1, 8
CONTENT, WARM, PEOPLE_COUNT = (NAMES.index(name) for name in ("content", "warm", "people"))


def made(seed: int = 0, *, people: int = PEOPLE, first: int = 0) -> Lists:
    """Everybody takes the candidate with the highest `content`, and often buys it."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(people * EACH, len(NAMES))).astype(np.float32)
    values[:, WARM] = 1
    values[:, NAMES.index("history_items")] = np.repeat(rng.integers(1, 9, people), EACH)
    owner = np.repeat(np.arange(people), EACH)
    best = values[:, CONTENT].reshape(people, EACH).argmax(axis=1)
    taken = np.zeros(people * EACH, bool)
    taken[np.arange(people) * EACH + best] = True
    bits = np.where(taken, PV, 0).astype(np.uint8)
    bits[taken & (rng.random(len(taken)) < 0.5)] |= BUY
    return Lists(
        people=np.arange(first, first + people),
        owner=owner,
        values=values,
        taken=taken,
        bits=bits,
        warm=np.ones(people * EACH, bool),
        targets=np.ones(people, np.int64),
        behaviours={"pv": PV, "buy": BUY},
    )


@pytest.fixture(scope="module")
def trained() -> Ranker:
    return train_ranker(made(), QUICK, seed=3)


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
    assert room._ndcg(noise, found.scores(noise.values)) > found.ndcg + 0.15


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


def test_ndcg_counts_targets_that_are_no_candidates() -> None:
    lists = replace(made(people=2), targets=np.array([2, 1]))
    scores = np.where(lists.taken, 1, 0).astype(np.float32)
    scores[EACH:] *= -1  # the second person's is last
    first = 1 / (1 + 1 / np.log2(3))
    last = 1 / np.log2(EACH + 1)
    assert room._ndcg(lists, scores) == pytest.approx((first + last) / 2)
    assert room._ndcg(lists, scores, k=EACH - 1) == pytest.approx(first / 2)


@pytest.mark.parametrize("rows", [7, 10_000])
def test_ndcg_is_that_of_sorted_lists_ties_included(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(room, "_ROWS", rows)
    lists, rng = made(people=40), np.random.default_rng(5)
    taken = lists.taken | (rng.random(len(lists.owner)) < 0.2)
    lists = replace(lists, taken=taken, targets=np.bincount(lists.owner[taken], minlength=40) + 1)
    scores = rng.integers(0, 4, len(lists.owner)).astype(np.float32)
    counted = rng.random(len(scores)) < 0.7
    gains = np.zeros(40)
    for user in range(40):
        mine = np.flatnonzero(lists.owner == user)
        first = mine[np.argsort(-scores[mine], kind="stable")][:5]
        hits = taken[first] & counted[first]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(5, lists.targets[user])))
        gains[user] = (hits / np.log2(np.arange(5) + 2)).sum() / ideal
    assert 0.1 < gains.mean() < 0.9
    assert room._ndcg(lists, scores, k=5, counted=counted) == pytest.approx(gains.mean(), abs=1e-12)


def test_some_hidden_units_are_left_out_and_the_mean_stays() -> None:
    import torch

    torch.manual_seed(0)
    network = room.network_of(4, RankingSettings(hidden=32, dropout=0.25))
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


def test_a_saved_ranker_is_the_same(trained: Ranker, tmp_path: Path) -> None:
    lifted = replace(trained, new_bonus=0.75)
    lifted.save(tmp_path / "new")
    found = Ranker.load(tmp_path / "new")
    lists = made(7)
    lists.values[::3, WARM] = 0
    assert np.array_equal(found.scores(lists.values), lifted.scores(lists.values))
    one, other = (r.probabilities(lists.owner, lists.values) for r in (found, lifted))
    assert one.keys() == other.keys() == {ANY, "pv", "buy"}
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert (found.new_bonus, found.ndcg, found.settings) == (0.75, trained.ndcg, QUICK)


def test_its_files_hold_numbers_and_no_code(trained: Ranker, tmp_path: Path) -> None:
    trained.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {WEIGHTS, CONFIG}
    raw = (tmp_path / WEIGHTS).read_bytes()
    assert raw[8:9] == b"{"  # safetensors: a length, then a header in JSON
    assert not raw.startswith((b"PK", b"\x80"))


@pytest.mark.parametrize(("key", "value"), [("format", "late-fusion-0"), ("features", [*NAMES[1:], NAMES[0]])])
def test_a_ranker_of_another_version_is_refused(trained: Ranker, tmp_path: Path, key: str, value: object) -> None:
    trained.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text("utf-8"))
    (tmp_path / CONFIG).write_text(json.dumps({**config, key: value}), "utf-8")
    with pytest.raises(ValueError, match="materialize late_fusion_model again"):
        Ranker.load(tmp_path)


def test_a_missing_ranker_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Ranker.load(tmp_path)


def test_probabilities_have_the_rate_and_the_order(trained: Ranker) -> None:
    lists = made(8)
    chances = trained.probabilities(lists.owner, lists.values)
    for name, label in ((ANY, lists.taken), ("pv", lists.taken), ("buy", (lists.bits & BUY) > 0)):
        assert ((chances[name] >= 0) & (chances[name] <= 1)).all()
        assert chances[name].mean() == pytest.approx(label.mean(), rel=0.25), name
        assert (chances[name] <= chances[ANY]).all()
    scores = trained.scores(lists.values, lift=False).reshape(-1, EACH)
    for row, chance in zip(scores, chances[ANY].reshape(-1, EACH), strict=True):
        assert (np.diff(chance[np.argsort(row)]) >= 0).all()


def test_calibration_is_exact_on_what_it_was_fitted_on() -> None:
    lists = made()
    scores = lists.values[:, CONTENT]
    for name, weights in room._calibrate(lists, scores).items():
        inputs = room._calibration_inputs(lists.owner, scores, lists.values)
        chance = 1 / (1 + np.exp(-(inputs @ np.asarray(weights[1:]) + weights[0])))
        label = lists.taken if name == ANY else (lists.bits & lists.behaviours[name]) > 0
        assert chance.mean() == pytest.approx(label.mean(), rel=0.01)


def test_a_behaviour_that_nobody_showed_has_no_probability() -> None:
    lists = made()
    viewed = replace(lists, bits=np.where(lists.taken, PV, 0).astype(np.uint8))
    assert set(room._calibrate(viewed, lists.values[:, CONTENT])) == {ANY, "pv"}


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


def test_the_lift_moves_new_items_only_and_no_probability(trained: Ranker) -> None:
    lists = made(4)
    lists.values[::4, WARM] = 0
    lifted = replace(trained, new_bonus=1.5)
    moved = lifted.scores(lists.values) - trained.scores(lists.values, lift=False)
    assert moved[::4] == pytest.approx(1.5, abs=1e-5)
    assert not np.delete(moved, np.s_[::4]).any()
    one, other = (r.probabilities(lists.owner, lists.values)[ANY] for r in (trained, lifted))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("takers", [0, 1])
def test_a_window_in_which_nobody_took_anything_says_what_to_do(takers: int) -> None:
    lists = made()
    with pytest.raises(RankerError, match=r"ranking\.window_days") as error:
        train_ranker(replace(lists, taken=lists.taken & (lists.owner < takers)), QUICK, seed=0)
    assert "evaluation.target_behaviours" in str(error.value)


def test_two_windows_keep_their_users_apart() -> None:
    one, other = made(1, people=3), made(2, people=2, first=1)
    both = joined([one, other])
    assert both.people.tolist() == [0, 1, 2, 1, 2]
    assert both.owner.tolist() == np.repeat(np.arange(5), EACH).tolist()
    assert np.array_equal(both.values[3 * EACH :], other.values)
    assert np.array_equal(both.taken, np.concatenate([one.taken, other.taken]))
    assert both.targets.tolist() == [1] * 5
    assert np.array_equal(both.of_users(np.arange(5) == 3), np.repeat(np.arange(5) == 3, EACH))


def test_a_person_of_two_windows_is_never_trained_on_where_they_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    both = joined([made(1, people=40), made(2, people=40, first=20)])
    seen: list[set[int]] = []
    scored: list[int] = []
    train, apply = room._train, room._apply

    def train_and_tell(
        lists: Lists, inputs: NDArray[np.float32], trained_on: NDArray[np.bool_], *rest: object
    ) -> object:
        seen.append(set(lists.people[trained_on].tolist()))
        return train(lists, inputs, trained_on, *rest)  # type: ignore[arg-type]

    def apply_and_tell(network: object, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        scored.append(len(inputs))
        return apply(network, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_train", train_and_tell)
    monkeypatch.setattr(room, "_apply", apply_and_tell)
    train_ranker(both, QUICK.model_copy(update={"folds": 3, "epochs": 1}), seed=0)
    everybody = set(both.people.tolist())
    left_out = [everybody - people for people in seen]
    assert len(left_out) == 3
    assert sorted(person for people in left_out for person in people) == sorted(everybody)
    # Each network scores all pairs, of both windows, of the people it was not trained on, and of nobody else.
    for people, pairs in zip(left_out, scored, strict=True):
        assert pairs == EACH * int(np.isin(both.people, list(people)).sum())


@pytest.mark.parametrize("constant", [0.0, 1000.1])
def test_what_never_varies_has_no_influence_where_it_does(constant: float) -> None:
    lists = made(people=60)
    big = joined([replace(lists, values=lists.values.copy()) for _ in range(30)])
    shelf, photo = NAMES.index("shelf_days"), NAMES.index("has_image")
    big.values[:, shelf], big.values[:, photo] = constant, 1
    found = train_ranker(big, QUICK.model_copy(update={"epochs": 1, "batch_size": 256}), seed=0)
    elsewhere = made(6).values
    elsewhere[:, shelf], elsewhere[:, photo] = constant, 1
    changed = elsewhere.copy()
    changed[:, shelf], changed[:, photo] = np.linspace(0, 3000, len(changed)), 0
    assert np.abs(found.scores(changed) - found.scores(elsewhere)).max() < 1e-4


def test_one_absurd_number_does_not_carry_the_score_away(trained: Ranker) -> None:
    values = made(6).values
    huge = values.copy()
    huge[:, PEOPLE_COUNT] = 1e12
    huge[:, NAMES.index("price_gap")] = -1e12
    scores = trained.scores(huge)
    assert np.isfinite(scores).all()
    spread = np.ptp(trained.scores(values))
    assert np.abs(scores - trained.scores(values)).max() < 5 * spread

from __future__ import annotations

import numpy as np
import pytest
import torch

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.towers.ncf.examples import Batch, Examples, WeightedRows
from fashionrec_assets.towers.ncf.training import soft_label_softmax
from fashionrec_assets_tests.towers.ncf.world import CUT, LENGTH, World, kept_of


def test_the_hidden_days_of_people_kept_back_are_gone_and_nothing_else(shop: World) -> None:
    kept = shop.kept
    people = kept.task.users
    late = shop.past.times >= CUT - LENGTH
    hidden = np.isin(shop.past.users, people) & late
    assert hidden.sum() >= len(people) > 30
    assert len(kept.training) == len(shop.past) - hidden.sum()
    there = np.isin(kept.training.users, people)
    assert kept.training.times[there].max() < CUT - LENGTH
    # The other people's last days are still there.
    assert (kept.training.times[~there] >= CUT - LENGTH).any()
    assert kept.task.end == CUT
    assert kept.task.start == CUT - LENGTH


def test_people_kept_back_have_a_history_and_are_at_most_half(shop: World) -> None:
    log = shop.past
    # Somebody who came only in the last days has nothing else.
    newcomer = log.n_users - 1
    joined = EventLog.build(
        log.user_ids.tolist(),
        log.item_ids.tolist(),
        [*log.users.tolist(), newcomer],
        [*log.items.tolist(), 7],
        [*log.times.tolist(), CUT - 100],
        [0] * (len(log) + 1),
    )
    kept = kept_of(joined, share=0.9)
    assert newcomer not in kept.task.users
    eligible = kept.task.eligible_users
    assert len(kept.task.users) <= eligible / 2
    early = kept.training.users[kept.training.times < CUT - LENGTH]
    assert np.isin(kept.task.users, early).all()


def test_people_are_kept_back_by_seed(shop: World) -> None:
    first, again, other = (kept_of(shop.log, seed=seed).task.users for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def log_of(rows: list[tuple[int, int, int]], users: int = 3, items: int = 12) -> EventLog:
    columns = list(zip(*rows, strict=True))
    return EventLog.build(
        [f"u{n}" for n in range(users)],
        [f"i{n:02}" for n in range(items)],
        *(list(column) for column in columns),
        [0] * len(rows),
    )


def test_rows_of_some_people_can_be_left_out() -> None:
    users, items = np.array([0, 1, 2, 1], np.int32), np.array([3, 4, 5, 6], np.int32)
    made = WeightedRows(users, items, np.float32([0.1, 0.2, 0.3, 0.4]), np.arange(4), weight=0.3)
    left = made.without(np.array([1], np.int32))
    assert left.users.tolist() == [0, 2]
    assert left.items.tolist() == [3, 5]
    assert left.labels.tolist() == np.float32([0.1, 0.3]).tolist()
    assert left.times.tolist() == [0, 2]
    assert left.weight == 0.3


def all_of(examples: Examples, seed: int = 0, size: int = 3) -> Batch:
    """One epoch as a single batch."""
    parts = list(examples.batches(size, np.random.default_rng(seed)))
    assert all(len(part.users) == size for part in parts[:-1])
    names = ("users", "items", "history", "held", "times", "labels", "weights", "real")
    return Batch(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def told(batch: Batch, row: int) -> list[int]:
    return batch.history[row][batch.held[row]].tolist()


def test_history_is_what_came_before_newest_first_and_never_the_item_itself() -> None:
    log = log_of([(0, 1, 10), (0, 2, 20), (0, 3, 30), (0, 2, 40), (0, 4, 50), (2, 5, 5), (2, 1, 60)])
    batch = all_of(Examples(log, None, history=3))
    found = {(int(u), int(i)): told(batch, n) for n, (u, i) in enumerate(zip(batch.users, batch.items, strict=True))}
    assert found == {
        (0, 1): [],
        (0, 2): [1],
        (0, 3): [2, 1],
        (0, 4): [2, 3, 2],
        (2, 5): [],
        (2, 1): [5],
    }
    assert (batch.labels == 1).all()
    assert (batch.weights == 1).all()
    assert (batch.history[~batch.held] == 0).all()


def test_synthetic_rows_know_what_came_before_their_time_and_pass_through() -> None:
    log = log_of([(0, 1, 10), (0, 2, 20), (0, 3, 20), (0, 4, 50), (1, 9, 15), (2, 5, 5)])
    made = WeightedRows(
        np.array([0, 0, 0, 1, 2, 0], np.int32),
        np.array([7, 8, 11, 7, 8, 10], np.int32),
        np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], np.float32),
        np.array([20, 21, 10, 15, 6, 99], np.int64),
        weight=0.25,
    )
    examples = Examples(log, made, history=5)
    assert len(examples) == len(log) + 6
    batch = all_of(examples)
    rows = {(int(u), int(i)): n for n, (u, i) in enumerate(zip(batch.users, batch.items, strict=True))}
    expected: dict[tuple[int, int], set[int]] = {
        (0, 7): {1},  # two events happen at the very time of the row
        (0, 8): {1, 2, 3},
        (0, 11): set(),
        (1, 7): set(),
        (2, 8): {5},
        (0, 10): {1, 2, 3, 4},
    }
    assert {key: set(told(batch, rows[key])) for key in expected} == expected
    for key, label, time in zip(expected, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (20, 21, 10, 15, 6, 99), strict=True):
        assert batch.labels[rows[key]] == np.float32(label)
        assert batch.times[rows[key]] == time
        assert batch.weights[rows[key]] == 0.25
    real = [n for n in range(len(batch.users)) if n not in {rows[key] for key in expected}]
    assert (batch.weights[real] == 1).all()
    assert np.flatnonzero(batch.real).tolist() == real


def test_what_happened_at_one_time_comes_in_any_order() -> None:
    log = log_of([(0, item, 10) for item in range(6)])
    firsts: set[int] = set()
    for seed in range(20):
        batch = all_of(Examples(log, None, history=6), seed)
        told_of = {int(batch.items[n]): told(batch, n) for n in range(6)}
        assert sorted(len(told_of[item]) for item in range(6)) == list(range(6))
        firsts |= {item for item in range(6) if not told_of[item]}
    assert len(firsts) > 3


def test_an_epoch_is_in_random_order_by_seed(shop: World) -> None:
    examples = Examples(shop.kept.training, None, history=4)
    first, again, other = (all_of(examples, seed, 64).items for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(first) == len(examples)


def loss(positive: float, others: float, label: float, weight: float = 1.0) -> torch.Tensor:
    return soft_label_softmax(*(torch.tensor([value]) for value in (positive, others, label, weight)))


def test_with_labels_of_one_the_loss_is_sampled_softmax() -> None:
    generator = torch.Generator().manual_seed(1)
    positive, negative = torch.randn(5, generator=generator), torch.randn(5, 9, generator=generator)
    expected = torch.nn.functional.cross_entropy(
        torch.cat([positive[:, None], negative], dim=1), torch.zeros(5, dtype=torch.int64)
    )
    found = soft_label_softmax(positive, torch.logsumexp(negative, dim=1), torch.ones(5), torch.ones(5))
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("label", "best"), [(0.0, 0.001), (0.3, 0.3), (1.0, 0.999)])
def test_a_label_is_the_probability_the_loss_asks_for(label: float, best: float) -> None:
    asked = [0.001, 0.1, 0.3, 0.7, 0.999]
    found = [float(loss(float(np.log(p / (1 - p))), 0.0, label)) for p in asked]
    assert asked[int(np.argmin(found))] == best
    positive = torch.tensor([0.0], requires_grad=True)
    soft_label_softmax(positive, torch.zeros(1), torch.tensor([label]), torch.ones(1)).backward()
    assert positive.grad is not None
    assert np.isclose(float(positive.grad), 0.5 - label)


def test_a_row_counts_as_much_as_its_weight() -> None:
    positive, others = torch.tensor([0.3, -1.0]), torch.tensor([0.0, 0.5])
    labels, weights = torch.tensor([1.0, 0.2]), torch.tensor([1.0, 0.25])
    first, second = (float(loss(float(positive[n]), float(others[n]), float(labels[n]))) for n in range(2))
    found = float(soft_label_softmax(positive, others, labels, weights))
    assert np.isclose(found, (first + 0.25 * second) / 1.25)
    assert np.isclose(float(loss(1.0, 0.0, 1.0, 0.3)), float(loss(1.0, 0.0, 1.0, 1.0)))
    assert float(soft_label_softmax(positive, others, labels, torch.zeros(2))) == 0.0

"""Steps over large tables, beside the same steps of dense AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fashionrec_assets.towers import descent
from fashionrec_assets.towers.descent import Descent

ROWS, STEPS = 400, 120


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(ROWS, 4), nn.Linear(4, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.out(self.table(rows)).squeeze(1)


def made(lazy: bool, monkeypatch: pytest.MonkeyPatch, *, decay: float = 0.9) -> tuple[Network, Descent]:
    monkeypatch.setattr(descent, "LAZY_FROM", ROWS if lazy else ROWS + 1)
    torch.manual_seed(0)
    network = Network()
    return network, Descent(network, learning_rate=5e-3, weight_decay=1e-3, decay=lambda steps: decay)


def batches(first: int = 0, last: int = STEPS) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows, the last of them seldom, one of them twice in a batch, and what they should come out as."""
    drawn = torch.Generator().manual_seed(1)
    wanted = torch.randn(ROWS, generator=drawn)
    rows = [(torch.rand(16, generator=drawn) ** 3 * (ROWS - 1)).long() for _ in range(STEPS)]
    return [(torch.cat([some, some[:1]]), wanted[torch.cat([some, some[:1]])]) for some in rows[first:last]]


def train(network: Network, steps: Descent, given: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for rows, wanted in given:
        steps.step(((network(rows) - wanted) ** 2).mean())


def test_a_table_that_is_worked_on_lazily_ends_where_dense_adamw_would(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy, dense = made(True, monkeypatch), made(False, monkeypatch)
    start = dense[0].table.weight.detach().clone()
    for network, steps in (lazy, dense):
        train(network, steps, batches())
        steps.settle()
    assert lazy[0].table.sparse
    assert not dense[0].table.sparse
    moved = (dense[0].table.weight - start).abs().mean()
    assert (lazy[0].table.weight - dense[0].table.weight).abs().mean() < 0.005 * moved
    means = [steps.average.get_submodule("table").weight for _, steps in (lazy, dense)]  # type: ignore[union-attr]
    assert (means[0] - means[1]).abs().mean() < 0.05 * moved
    assert torch.allclose(lazy[0].out.weight, dense[0].out.weight, atol=2e-3)
    assert torch.equal(lazy[0].table.weight[-1], lazy[1].average.get_parameter("table.weight")[-1])


def test_only_rows_that_are_read_are_touched_until_all_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    network, steps = made(True, monkeypatch)
    train(network, steps, [(torch.tensor([3, 5]), torch.ones(2))])
    before = network.table.weight.detach().clone()
    train(network, steps, [(torch.tensor([5, 7]), torch.ones(2))] * 3)
    changed = (network.table.weight != before).any(dim=1).nonzero().squeeze(1)
    assert changed.tolist() == [5, 7]
    steps.settle()
    moved = network.table.weight[3] - before[3]
    assert (moved.abs() > 1e-4).all(), "what was left of its momentum"


def test_the_running_average_of_a_row_nobody_reads_comes_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network, steps = made(True, monkeypatch, decay=0.5)
    train(network, steps, batches())
    train(network, steps, [(torch.tensor([0]), torch.ones(1))] * 60)
    steps.settle()
    assert torch.allclose(steps.average.get_parameter("table.weight")[9], network.table.weight[9], atol=1e-6)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_restored_descent_goes_on_to_the_same_weights(monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    network, steps = made(lazy, monkeypatch)
    train(network, steps, batches(last=50))
    kept = {name: value.clone() for name, value in steps.tensors().items()}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    train(network, steps, batches(first=50))
    again, resumed = made(lazy, monkeypatch)
    again.load_state_dict(state)
    resumed.restore(kept)
    train(again, resumed, batches(first=50))
    for one, other in ((network, again), (steps.average, resumed.average)):
        steps.settle(), resumed.settle()
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("lazy", [True, False])
def test_a_steep_gradient_is_shortened_over_all_parameters_together(
    monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    steep, gentle = made(lazy, monkeypatch), made(lazy, monkeypatch)
    rows = torch.tensor([1, 2])
    gradients = torch.autograd.grad(_total(gentle[0], rows), list(gentle[0].parameters()))
    norm = nn.utils.get_total_norm([one.to_dense() if one.is_sparse else one for one in gradients])
    monkeypatch.setattr(descent, "GRADIENT_NORM", float(norm) / 100)
    # AdamW's first step has one size whatever the gradient: what is left of it shows in its moments.
    steep[1].step(_total(steep[0], rows))
    monkeypatch.setattr(descent, "GRADIENT_NORM", 1e9)
    gentle[1].step(_total(gentle[0], rows))
    kept, whole = (
        {name: value for name, value in steps.tensors().items() if name.endswith(("exp_avg", "/first"))}
        for _, steps in (steep, gentle)
    )
    for name, value in kept.items():
        torch.testing.assert_close(100 * value, whole[name], rtol=1e-3, atol=1e-7)


def _total(network: Network, rows: torch.Tensor) -> torch.Tensor:
    return 10 * network(rows).sum()


def test_parameters_that_are_not_trained_stay_but_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "LAZY_FROM", 1)
    network = Network()
    network.table.weight.requires_grad_(False)
    before = network.table.weight.clone()
    steps = Descent(network, learning_rate=5e-3, weight_decay=0.1, decay=lambda steps: 0.9)
    train(network, steps, batches(last=5))
    assert torch.equal(network.table.weight, before)
    assert torch.equal(steps.average.get_parameter("table.weight"), before)

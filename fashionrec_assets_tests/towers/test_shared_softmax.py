"""The softmax loss in blocks, beside the same loss written down plainly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fashionrec_assets.towers import shared_softmax as module
from fashionrec_assets.towers.shared_softmax import shared_softmax

ROWS, CANDIDATES, WIDTH, SEQUENCES, OWN = 30, 17, 5, 6, 3


def plain(positive: Tensor, left: Tensor, right: Tensor, taken: Tensor, row: Tensor, own: Tensor) -> Tensor:
    logits = torch.cat([(left @ right.T).masked_fill(taken[row], -torch.inf), own], dim=1)
    return functional.softplus(torch.logsumexp(logits, dim=1) - positive).mean()


def inputs() -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Positives, both factors and own negatives; candidates taken, sequences, and which own negatives count."""
    drawn = torch.Generator().manual_seed(0)
    shapes = ((ROWS,), (ROWS, WIDTH), (CANDIDATES, WIDTH), (ROWS, OWN))
    values = [torch.randn(shape, generator=drawn, dtype=torch.float64).requires_grad_() for shape in shapes]
    taken = torch.rand(SEQUENCES, CANDIDATES, generator=drawn) < 0.3
    return values, taken, torch.arange(ROWS) // (ROWS // SEQUENCES), torch.rand(ROWS, OWN, generator=drawn) < 0.8


@pytest.mark.parametrize("block", [1, 4 * CANDIDATES, 2**20])
def test_loss_and_gradients_are_those_of_the_plain_softmax(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setitem(module.BLOCK, "cpu", block)
    found = []
    for loss in (shared_softmax, plain):
        (positive, left, right, own), taken, row, counts = inputs()
        value = loss(positive, left, right, taken, row, own.masked_fill(~counts, -torch.inf))
        (3 * value).backward()
        found.append((value.detach(), positive.grad, left.grad, right.grad, own.grad))
    for ours, expected in zip(*found, strict=True):
        assert expected is not None
        assert expected.abs().sum() > 0
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_who_has_taken_every_candidate_teaches_nothing() -> None:
    (positive, left, right, _), taken, row, _ = inputs()
    taken[0] = True
    loss = shared_softmax(positive, left, right, taken, row)
    loss.backward()
    alone = shared_softmax(positive[5:], left[5:], right, taken, row[5:])
    assert float(loss.detach()) == pytest.approx(float(alone.detach()) * (ROWS - 5) / ROWS)
    for value in (positive, left):
        assert value.grad is not None
        assert (value.grad[:5] == 0).all()
        assert value.grad.isfinite().all()


def test_without_candidates_the_own_negatives_are_left() -> None:
    (positive, left, right, own), taken, row, _ = inputs()
    loss = shared_softmax(positive, left, right[:0], taken[:, :0], row, own)
    expected = float(plain(positive, left, right[:0], taken[:, :0], row, own).detach())
    assert float(loss.detach()) == pytest.approx(expected)


def test_logits_beyond_the_range_of_the_exponential_stay_finite() -> None:
    positive, left, right = torch.zeros(1), torch.full((1, 1), 1e4), torch.ones(2, 1)
    assert float(shared_softmax(positive, left, right, torch.zeros(1, 2, dtype=torch.bool), torch.zeros(1).long())) == (
        pytest.approx(1e4, rel=1e-4)
    )

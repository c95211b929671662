from __future__ import annotations

import numpy as np
import pytest
import torch

from fashionrec_assets.towers.losses import bpr, gbce
from fashionrec_assets.towers.negatives import NegativeSampler
from fashionrec_assets.towers.shared_softmax import shared_softmax

FREQUENCY = np.array([0, 50, 20, 10, 5, 5, 4, 3, 2, 1])


def softmax(positive: torch.Tensor, negative: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    """`shared_softmax` of logits (p, c) that are given as they are."""
    rows = torch.arange(len(positive))
    return shared_softmax(positive, torch.eye(len(positive), dtype=negative.dtype), negative.T, excluded, rows)


def estimate(count: int, draws: int, *, corrected: bool = True, in_batch: bool = True) -> float:
    """Mean sampled estimate of the softmax denominator of fixed logits, the target being item 3."""
    logits = torch.linspace(-1, 2, len(FREQUENCY), dtype=torch.float64)
    rng = np.random.default_rng(0)
    sampler = NegativeSampler(FREQUENCY, count=count, in_batch=in_batch)
    share = FREQUENCY / FREQUENCY.sum()
    totals = []
    for _ in range(draws):
        candidates = sampler.draw(rng.choice(len(FREQUENCY), 4, p=share), rng)
        of = torch.from_numpy(candidates.items)
        weight = torch.from_numpy(candidates.log_weight) if corrected else torch.zeros(len(of))
        loss = softmax(logits[3:4], (logits[of] + weight)[None], (of == 3)[None])
        totals.append(float(torch.exp(loss + logits[3])))
    return float(np.mean(totals))


def truth() -> float:
    logits = torch.linspace(-1, 2, len(FREQUENCY), dtype=torch.float64)
    return float(torch.exp(logits[FREQUENCY > 0]).sum())


@pytest.mark.parametrize("in_batch", [True, False])
def test_the_correction_makes_the_sampled_denominator_unbiased(in_batch: bool) -> None:
    assert estimate(3, 1500, in_batch=in_batch) == pytest.approx(truth(), rel=0.04)
    assert estimate(3, 300, in_batch=in_batch, corrected=False) < 0.8 * truth()


def test_enough_negatives_are_the_full_softmax() -> None:
    assert estimate(len(FREQUENCY), 1) == pytest.approx(truth(), rel=1e-6)
    logits = torch.randn(1, len(FREQUENCY), generator=torch.Generator().manual_seed(0))
    candidates = NegativeSampler(np.ones(10, np.int64), count=10).draw(np.array([4]), np.random.default_rng(0))
    of = torch.from_numpy(candidates.items)
    loss = softmax(logits[:, 4], logits[:, of] + torch.from_numpy(candidates.log_weight), (of == 4)[None])
    assert float(loss) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, torch.tensor([4]))), rel=1e-5)


def test_items_that_were_never_taken_are_no_negatives() -> None:
    rng = np.random.default_rng(0)
    drawn = {int(i) for _ in range(50) for i in NegativeSampler(FREQUENCY, count=5).draw(np.array([1]), rng).items}
    assert 0 not in drawn and len(drawn) == len(FREQUENCY) - 1


def test_excluded_candidates_do_not_count() -> None:
    positive, negative = torch.tensor([1.0]), torch.tensor([[5.0, 0.0]])
    loss = softmax(positive, negative, torch.tensor([[True, False]]))
    assert float(loss) == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-5)


NONE = torch.zeros(1, 2, dtype=torch.bool)


def test_infonce_is_cross_entropy_over_the_candidates() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    assert float(softmax(logits[:, 0], logits[:, 1:], NONE)) == pytest.approx(float(expected), rel=1e-6)


def test_bpr_averages_over_the_pairs_that_count() -> None:
    positive, negative = torch.tensor([1.0]), torch.tensor([[0.0, 5.0]])
    alone = float(bpr(positive, negative, torch.tensor([[False, True]])))
    assert alone == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-5)
    both = float(bpr(positive, negative, NONE))
    assert both == pytest.approx((np.log1p(np.exp(-1.0)) + np.log1p(np.exp(4.0))) / 2, rel=1e-5)


def test_gbce_calibrates_the_positive_by_the_sampling_rate() -> None:
    positive, negative = torch.tensor([0.0]), torch.tensor([[0.0, 0.0]])

    def share_of_the_positive(rate: float, calibration: float) -> float:
        loss = gbce(positive, negative, NONE, sampling_rate=rate, calibration=calibration)
        return float(3 * loss / np.log(2) - 2)

    assert share_of_the_positive(0.1, 0.0) == pytest.approx(1, rel=1e-5)
    assert share_of_the_positive(0.1, 1.0) == pytest.approx(0.1, rel=1e-5)
    assert share_of_the_positive(0.1, 0.75) == pytest.approx(0.1 * (0.75 * (1 - 10) + 10), rel=1e-5)
    assert share_of_the_positive(1.0, 0.75) == pytest.approx(1, rel=1e-5)

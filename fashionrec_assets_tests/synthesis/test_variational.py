from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from fashionrec_assets.synthesis import variational
from fashionrec_assets.synthesis.collapse import Posterior


def test_kl_is_that_of_two_gaussians() -> None:
    torch.manual_seed(1)
    mean, log_variance, prior_mean, prior_log_variance = torch.randn(4, 5, 3)
    one = Normal(mean, (0.5 * log_variance).exp())
    assert torch.allclose(
        variational.kl_divergence(mean, log_variance, prior_mean, prior_log_variance),
        kl_divergence(one, Normal(prior_mean, (0.5 * prior_log_variance).exp())),
        atol=1e-5,
    )
    assert torch.allclose(
        variational.kl_divergence(mean, log_variance), kl_divergence(one, Normal(0.0, 1.0)), atol=1e-5
    )


def test_draws_have_the_moments_they_are_asked_for() -> None:
    mean, log_variance = torch.full((50_000, 1), 2.0), torch.full((50_000, 1), 1.0).log() * 0 + 0.5
    with variational.seeded(1):
        drawn = variational.reparametrise(mean, log_variance, temperature=2.0)
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(drawn.std()) == pytest.approx(2 * float(torch.tensor(0.25).exp()), rel=0.02)


def test_the_weight_grows_from_nothing_to_its_end() -> None:
    found = [variational.annealed(step, 10, warmup=0.5, weight=0.4) for step in range(10)]
    assert found[0] == 0
    assert found[:6] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, 0.4])
    assert found[5:] == [0.4] * 5
    assert variational.annealed(0, 10, warmup=0, weight=0.4) == 0.4


def test_free_bits_cost_nothing_and_pull_at_nothing() -> None:
    kl = torch.tensor([[0.0, 1.0], [0.1, 3.0]], requires_grad=True)
    charged = variational.with_free_bits(kl, 0.2)
    charged.backward()
    assert float(charged.detach()) == pytest.approx(0.2 + 2.0)
    assert kl.grad is not None
    assert kl.grad.tolist() == [[0.0, 0.5], [0.0, 0.5]]


def test_units_that_do_not_vary_are_not_active() -> None:
    means = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 3.0), 0.05 * torch.linspace(-1, 1, 50)], dim=1)
    assert variational.active_units(means) == 1


def test_seeding_leaves_the_generator_as_it_was() -> None:
    torch.manual_seed(4)
    expected = torch.randn(3)
    torch.manual_seed(4)
    with variational.seeded(9):
        torch.randn(100)
    assert torch.equal(torch.randn(3), expected)


@pytest.mark.parametrize(
    ("active", "kl", "collapsed"),
    [(0, 9.0, True), (8, 0.3, True), (8, 0.6, True), (8, 0.7, False), (1, 4.0, False)],
)
def test_the_verdict_on_a_posterior(active: int, kl: float, collapsed: bool) -> None:
    posterior = Posterior(active=active, latent=8, kl=kl, free_bits=0.02)
    assert posterior.collapsed == collapsed
    assert posterior.words.startswith("collapsed" if collapsed else "not collapsed")
    assert ("Lower kl_weight" in posterior.words) == collapsed

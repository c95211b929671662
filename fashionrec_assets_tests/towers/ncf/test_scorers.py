from __future__ import annotations

import pytest
import torch

from fashionrec_assets.towers.ncf import scorers
from fashionrec_assets.towers.ncf.scorers import Gmf, Mlp, NeuMf, scorer

DIM, WIDTHS = 6, (8, 5)


def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, DIM, generator=generator), torch.randn(7, DIM, generator=generator)


def made(name: str):
    """With parameters that are neither zeros nor ones."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found = scorer(name, DIM, WIDTHS)
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.copy_(torch.randn_like(parameter))
    return found


@pytest.mark.parametrize("name", ["dot", "gmf", "mlp", "neumf"])
def test_all_pairs_score_as_pairs_one_by_one(name: str) -> None:
    module, (users, items) = made(name), vectors()
    with torch.no_grad():
        every = module.all(users, items)
        single = module.pairs(users.repeat_interleave(7, dim=0), items.repeat(4, 1)).view(4, 7)
    assert every.shape == (4, 7)
    assert torch.allclose(every, single, atol=1e-5)


@pytest.mark.parametrize("count", [4, 0])
def test_users_met_in_blocks_score_and_teach_as_all_at_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    module, (users, items) = made("neumf"), vectors()
    users, items = users[:count].requires_grad_(), items.requires_grad_()
    found = []
    # Of seven items: all users at once, three and then one, each alone.
    for pairs in (10_000, 21, 1):
        monkeypatch.setattr(scorers, "PAIRS_AT_ONCE", pairs)
        scores = module.all(users, items)
        found.append((scores, *torch.autograd.grad(scores.sin().sum(), [users, items, *module.parameters()])))
    for parts in found[1:]:
        for part, whole in zip(parts, found[0], strict=True):
            torch.testing.assert_close(part, whole)


def test_gmf_is_the_weighted_dot_product_and_begins_as_the_plain_one() -> None:
    users, items = vectors()
    with torch.no_grad():
        assert torch.allclose(Gmf(DIM).all(users, items), users @ items.T, atol=1e-6)
        weighted = made("gmf")
        expected = torch.einsum("ud,id,d->ui", users, items, weighted.output)
        assert torch.allclose(weighted.all(users, items), expected, atol=1e-5)


def test_the_mlp_is_a_tower_over_the_concatenation() -> None:
    module, (users, items) = made("mlp"), vectors()
    with torch.no_grad():
        weight = torch.cat([module.of_user.weight, module.of_item.weight], dim=1)
        hidden = torch.relu(torch.cat([users, items[:4]], dim=1) @ weight.T + module.of_user.bias)
        hidden = torch.relu(module.layers[0](hidden))
        assert torch.allclose(module.pairs(users, items[:4]), hidden @ module.output, atol=1e-5)


def test_neumf_begins_as_the_dot_product_and_can_leave_it() -> None:
    users, items = vectors()
    module = NeuMf(DIM, WIDTHS)
    assert torch.allclose(module.all(users, items).detach(), users @ items.T, atol=1e-6)
    module.all(users, items).square().sum().backward()
    assert module.mlp.output.grad is not None
    assert module.mlp.output.grad.abs().sum() > 0


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_neumf_starts_from_both_halves_by_share(share: float) -> None:
    gmf, mlp, users = made("gmf"), made("mlp"), vectors()[0]
    items = vectors()[1]
    assert isinstance(gmf, Gmf)
    assert isinstance(mlp, Mlp)
    module = NeuMf(DIM, WIDTHS)
    module.start_from(gmf, mlp, share)
    with torch.no_grad():
        expected = share * gmf.all(users, items) + (1 - share) * mlp.all(users, items)
        assert torch.allclose(module.all(users, items), expected, atol=1e-5)


def test_another_scorer_is_refused() -> None:
    with pytest.raises(KeyError):
        scorer("cosine", DIM, WIDTHS)

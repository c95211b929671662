from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fashionrec_assets.towers.ncf.cross_modal import (
    ContentEncoder,
    Fused,
    Late,
    TokenTensors,
    alignment_loss,
    content_encoder,
)
from fashionrec_assets.towers.ncf.module import NcfModule, NcfShape

WIDTH, TEXT, PATCHES, DIM = 12, 4, 3, 8
FUSIONS = ("early", "intermediate", "late")
RNG = np.random.default_rng(2)
MARKS = torch.from_numpy(RNG.normal(size=(2, 2, WIDTH)).astype(np.float32)) * 1.5


def encoder(fusion: str, seed: int = 0, modalities: tuple[str, ...] = ("text", "image")) -> ContentEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = content_encoder(
            fusion, modalities, width=WIDTH, dim=DIM, patches=PATCHES, layers=1, heads=2, dropout=0.0
        )
    assert made is not None
    return made


def puzzle(n: int, seed: int) -> tuple[TokenTensors, Tensor]:
    """One token of the text and one patch of the photo show a property each, the others are noise; the label is
    whether the two properties are equal."""
    rng = np.random.default_rng(seed)

    def tokens(length: int, marks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kinds = torch.from_numpy(rng.integers(0, 2, n))
        states = torch.from_numpy(0.5 * rng.normal(size=(n, length, WIDTH)).astype(np.float32))
        states[torch.arange(n), torch.from_numpy(rng.integers(0, length, n))] += marks[kinds]
        return kinds, states, torch.ones(n, length, dtype=torch.bool)

    of_text, text, text_mask = tokens(TEXT, MARKS[0])
    of_image, image, image_mask = tokens(PATCHES, MARKS[1])
    return TokenTensors(text, text_mask, image, image_mask), (of_text == of_image).float()


def solved(fusion: str, steps: int) -> tuple[float, float, float]:
    """Accuracy on new items with both modalities, without the text, and without the photo, after training a linear
    head of each view whose logits are summed."""
    module = encoder(fusion)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        heads = nn.ModuleList([nn.Linear(DIM, 1) for _ in module.views])
    optimiser = torch.optim.Adam([*module.parameters(), *heads.parameters()], lr=5e-3)

    def logits(states: TokenTensors) -> Tensor:
        views = module(states).views
        return torch.stack([head(views[:, v]).squeeze(1) for v, head in enumerate(heads)]).sum(dim=0)

    states, labels = puzzle(4096, 10)
    for step in range(steps):
        rows = torch.arange(128) + 128 * (step % 32)
        loss = nn.functional.binary_cross_entropy_with_logits(logits(states.take(rows)), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    asked, answers = puzzle(1000, 11)
    every, none = torch.ones(1000, dtype=torch.bool), torch.zeros(1000, dtype=torch.bool)
    with torch.no_grad():
        first, second, third = (
            float(((logits(some) > 0).float() == answers).float().mean())
            for some in (asked, asked.hide(every, none), asked.hide(none, every))
        )
    return first, second, third


@pytest.mark.parametrize("fusion", ["intermediate", "early"])
def test_what_only_both_modalities_tell_is_learned_where_tokens_meet(fusion: str) -> None:
    both, without_text, without_photo = solved(fusion, 300)
    assert both > 0.9
    assert 0.4 < without_text < 0.6
    assert 0.4 < without_photo < 0.6


def test_what_only_both_tell_is_beyond_scores_that_are_summed() -> None:
    assert solved("late", 300)[0] < 0.6


def random_states(n: int = 6, seed: int = 4) -> TokenTensors:
    """Items of 1 to 4 tokens and 1 to 3 patches; the last three lack the text, the photo, and both."""
    rng = np.random.default_rng(seed)
    made: list[Tensor] = []
    for length, missing in ((TEXT, (n - 3, n - 1)), (PATCHES, (n - 2, n - 1))):
        mask = np.arange(length) < rng.integers(1, length, n)[:, None]
        mask[list(missing)] = False
        states = rng.normal(size=(n, length, WIDTH)).astype(np.float32) * mask[:, :, None]
        made += [torch.from_numpy(states), torch.from_numpy(mask)]
    return TokenTensors(*made)


def padded(states: TokenTensors, value: float) -> TokenTensors:
    """The same tokens, with `value` in the places that hold none."""
    return TokenTensors(
        torch.where(states.text_mask[:, :, None], states.text, value),
        states.text_mask,
        torch.where(states.image_mask[:, :, None], states.image, value),
        states.image_mask,
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_modality_leaves_finite_vectors_and_padding_is_not_read(fusion: str) -> None:
    module, states = encoder(fusion).eval(), random_states()
    with torch.no_grad():
        found, again = module(states), module(padded(states, 50.0))
    assert torch.isfinite(found.views).all()
    for one, other in ((found.views, again.views), (found.text, again.text), (found.image, again.image)):
        assert torch.allclose(one, other, atol=1e-5)
    if fusion == "late":
        expected = [[True, True]] * 3 + [[False, True], [True, False], [False, False]]
    else:
        expected = [[True]] * 5 + [[False]]
    assert found.present.tolist() == expected


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_are_finite_where_a_modality_is_missing(fusion: str) -> None:
    module = encoder(fusion)
    module(random_states()).views.square().sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in module.parameters() if one.grad is not None)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_item_does_not_depend_on_the_others_of_a_batch(fusion: str) -> None:
    module, states = encoder(fusion).eval(), random_states()
    with torch.no_grad():
        together = module(states).views
        alone = torch.cat([module(states.take(torch.tensor([row]))).views for row in range(6)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_without_a_photo_the_text_is_what_text_alone_makes_of_it() -> None:
    """No patch is attended to, so no gate opens: the residual path and the feed-forward layer are all there is."""
    module, states = encoder("intermediate").eval(), random_states()
    block = module.blocks[0]
    nobody = torch.zeros_like(states.image_mask)
    with torch.no_grad():
        text, _ = block(states.text, states.text_mask, states.image, nobody)
        other, _ = block(states.text, states.text_mask, torch.randn_like(states.image), nobody)
        met, _ = block(states.text, states.text_mask, states.image, states.image_mask | True)
        alone = states.text + block.feeds[0](states.text)
    assert torch.equal(text, other)
    assert torch.allclose(text, alone, atol=1e-6)
    assert not torch.allclose(met, alone, atol=1e-2)


def test_a_closed_gate_leaves_a_token_as_it_was() -> None:
    module, states = encoder("intermediate").eval(), random_states()
    block = module.blocks[0]
    with torch.no_grad():
        block.gates[0].weight.zero_()
        block.gates[0].bias.fill_(-50.0)
        text, image = block(states.text, states.text_mask, states.image, states.image_mask)
        alone = states.text + block.feeds[0](states.text)
        alone_image = states.image + block.feeds[1](states.image)
    assert torch.allclose(text, alone, atol=1e-6)
    assert not torch.allclose(image[:3], alone_image[:3], atol=1e-2)


@pytest.mark.parametrize("name", ["text", "image"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_modality_alone_has_nothing_to_be_fused_with(fusion: str, name: str) -> None:
    module, states = encoder(fusion, modalities=(name, "id")), random_states()
    assert isinstance(module, Late)
    assert module.views == (name,)
    n = len(states.text)
    hidden = torch.ones(n, dtype=torch.bool)
    none = torch.zeros(n, dtype=torch.bool)
    with torch.no_grad():
        found, other = module(states), module(states.hide(*((none, hidden) if name == "text" else (hidden, none))))
    assert torch.equal(found.views, other.views)


def test_ids_alone_have_no_encoder_and_other_fusions_are_refused() -> None:
    knobs = {"width": WIDTH, "dim": DIM, "patches": PATCHES, "layers": 1, "heads": 2, "dropout": 0.0}
    assert content_encoder("intermediate", ("id",), **knobs) is None
    with pytest.raises(ValueError, match="early, intermediate or late"):
        content_encoder("middle", ("text", "image"), **knobs)


def module_of(fusion: str, modalities: tuple[str, ...] = ("text", "image", "id"), scorer: str = "dot") -> NcfModule:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return NcfModule(
            NcfShape(
                modalities=modalities,
                fusion=fusion,
                scorer=scorer,
                dim=DIM,
                token_dim=WIDTH,
                layers=1,
                heads=2,
                mlp=(6, 4),
                dropout=0.0,
                patches=PATCHES,
                items=6,
                users=3,
                history=4,
                popularity_terms=1,
                profiles={},
            )
        ).eval()


def items_of(module: NcfModule) -> tuple[Tensor, Tensor, Fused | None]:
    """Six items, of which the last three lack a modality; the first and the last have no ID of their own."""
    known = torch.tensor([False, True, True, True, True, False])
    with torch.no_grad():
        return module.items(random_states(), module.item_ids.weight[:6, :-1], known)


@pytest.mark.parametrize("scorer", ["dot", "gmf", "mlp", "neumf"])
def test_late_fusion_scores_views_apart_and_weighs_those_that_are_there(scorer: str) -> None:
    module = module_of("late", scorer=scorer)
    assert module.views == ("text", "image", "id")
    with torch.no_grad():
        module.view_weights.copy_(torch.tensor([0.3, -0.5, 1.0]))
        views, present, _ = items_of(module)
        users = nn.functional.normalize(torch.randn(5, 3, DIM, generator=torch.Generator().manual_seed(1)), dim=-1)
        found = module.match_all(users, views, present)
        weights = torch.softmax(torch.tensor([0.3, -0.5, 1.0]), dim=0)
        for item in range(6):
            total = weights[present[item]].sum()
            expected = torch.zeros(5)
            for v in range(3):
                if present[item, v]:
                    apart = module.scorer.all(users[:, v] * 10**0.5, views[item : item + 1, v] * 10**0.5)[:, 0]
                    expected = expected + weights[v] / total * apart
            assert torch.allclose(found[:, item], expected, atol=1e-5)
            pairs = module.match(users, views[item].expand(5, -1, -1), present[item].expand(5, -1))
            assert torch.allclose(pairs, expected, atol=1e-5)
        shares = module.shares(present)
        assert torch.allclose(shares.sum(dim=1), torch.tensor([1.0, 1, 1, 1, 1, 0]))
        assert (shares[~present] == 0).all()


@pytest.mark.parametrize("fusion", ["early", "intermediate"])
def test_early_and_intermediate_fusion_are_one_view_with_the_id_added(fusion: str) -> None:
    module = module_of(fusion)
    assert module.views == ("content",)
    views, present, fused = items_of(module)
    assert fused is not None
    ids = module.item_ids.weight[:6, :-1]
    expected = nn.functional.normalize(nn.functional.normalize(fused.views[:, 0], dim=-1) + ids, dim=-1)
    assert torch.allclose(views[:, 0], expected, atol=1e-6)
    assert present[:, 0].tolist() == [True] * 5 + [False]


def pairs_of_modalities(n: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 6, generator=generator), torch.randn(n, 6, generator=generator)


def test_the_alignment_loss_is_that_of_the_formula_and_symmetric() -> None:
    text, image = pairs_of_modalities(5)
    both = torch.tensor([True, True, False, True, True])
    t, i = (nn.functional.normalize(one[both], dim=1) for one in (text, image))
    logits = t @ i.T / 0.07
    own = torch.diagonal(logits)
    expected = (torch.logsumexp(logits, 1) - own + torch.logsumexp(logits, 0) - own).mean() / 2
    assert torch.allclose(alignment_loss(text, image, both), expected, atol=1e-5)
    assert torch.allclose(alignment_loss(image, text, both), expected, atol=1e-5)
    changed = text.clone()
    changed[2] = 9.0
    assert torch.equal(alignment_loss(changed, image, both), alignment_loss(text, image, both))


@pytest.mark.parametrize("having", [0, 1])
def test_the_alignment_loss_needs_two_items_with_both(having: int) -> None:
    text, image = pairs_of_modalities(5)
    loss = alignment_loss(text.requires_grad_(), image, torch.arange(5) < having)
    assert float(loss.detach()) == 0.0
    loss.backward()


def test_the_alignment_loss_falls_when_trained() -> None:
    text, image = pairs_of_modalities()
    layer = nn.Linear(6, 6)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(6))
        layer.bias.zero_()
    # The photo is a turned copy of the text: a linear map finds its way back.
    turn = torch.linalg.qr(image[:6]).Q
    optimiser, both, losses = torch.optim.Adam(layer.parameters(), lr=0.05), torch.ones(40, dtype=torch.bool), []
    for _ in range(80):
        loss = alignment_loss(layer(text), text @ turn, both)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]

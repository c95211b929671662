"""A training state survives on disk, all of it or none of it."""

from __future__ import annotations

from pathlib import Path

import torch

from fashionrec_assets.embeddings.checkpoints import (
    Checkpoint,
    optimiser_tensors,
    prefixed,
    restore_optimiser,
    under,
)


def test_what_is_saved_is_loaded_for_the_same_training_only(tmp_path: Path) -> None:
    path = tmp_path / "spill" / "state.safetensors"
    weight = torch.arange(6.0).reshape(2, 3)
    Checkpoint(path, "one").save({"weight": weight, "same": weight}, {"step": 3})
    found = Checkpoint(path, "one").load()
    assert found is not None
    tensors, facts = found
    assert torch.equal(tensors["weight"], weight)
    assert facts["step"] == 3
    assert Checkpoint(path, "other").load() is None
    Checkpoint(path, "one").clear()
    assert Checkpoint(path, "one").load() is None
    assert not path.exists()


def test_a_damaged_state_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    Checkpoint(path, "one").save({"weight": torch.zeros(100)}, {"step": 1})
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-50], b"\xff" * 200):
        path.write_bytes(damaged)
        assert Checkpoint(path, "one").load() is None
    Checkpoint(path, "one").save({"weight": torch.zeros(100)}, {"step": 2})
    assert Checkpoint(path, "one").load() is not None


def test_a_draft_left_by_a_kill_is_not_a_state(tmp_path: Path) -> None:
    path = tmp_path / "spill" / "state.safetensors"
    Checkpoint(path, "one").save({"weight": torch.zeros(2)}, {"step": 1})
    path.with_name(f".{path.name}.tmp").write_bytes(b"half")
    kept = Checkpoint(path, "one").load()
    assert kept is not None
    assert kept[1]["step"] == 1
    Checkpoint(path, "one").save({"weight": torch.ones(2)}, {"step": 2})
    found = Checkpoint(path, "one").load()
    assert found is not None
    assert found[1]["step"] == 2


def test_without_a_path_nothing_is_kept() -> None:
    kept = Checkpoint(None, "one")
    kept.save({"weight": torch.zeros(2)}, {})
    assert kept.load() is None
    kept.clear()


def test_a_restored_optimiser_steps_as_the_first_would_have() -> None:
    def steps(optimiser: torch.optim.Optimizer, weight: torch.nn.Parameter, count: int) -> None:
        for _ in range(count):
            optimiser.zero_grad()
            (weight**2).sum().backward()
            optimiser.step()

    first = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = torch.optim.AdamW([first], lr=0.1)
    steps(optimiser, first, 3)
    second = torch.nn.Parameter(first.detach().clone())
    other = torch.optim.AdamW([second], lr=0.1)
    kept = {name: value.clone() for name, value in prefixed("o.", optimiser_tensors(optimiser)).items()}
    restore_optimiser(other, under("o.", kept))
    steps(optimiser, first, 2)
    steps(other, second, 2)
    assert torch.equal(first, second)


def test_moments_come_back_as_their_parameters_lie_in_memory(tmp_path: Path) -> None:
    def steps(count: int, optimiser: torch.optim.Optimizer, weight: torch.nn.Parameter) -> None:
        for number in range(count):
            weight.grad = torch.sin(weight.detach() + number)
            optimiser.step()

    def fresh() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        values = torch.arange(96.0).view(2, 3, 4, 4).to(memory_format=torch.channels_last)
        weight = torch.nn.Parameter(values)
        return weight, torch.optim.AdamW([weight], lr=0.1, fused=True)

    straight, optimiser = fresh()
    steps(6, optimiser, straight)
    weight, optimiser = fresh()
    steps(3, optimiser, weight)
    Checkpoint(tmp_path / "state", "one").save(optimiser_tensors(optimiser), {})
    found = Checkpoint(tmp_path / "state", "one").load()
    assert found is not None
    again, other = fresh()
    again.data.copy_(weight.detach())
    restore_optimiser(other, found[0])
    for number in range(3, 6):
        again.grad = torch.sin(again.detach() + number)
        other.step()
    assert torch.equal(again, straight)

"""What a device can do, asked of pretended ones."""

from __future__ import annotations

import importlib.util
import shutil
from importlib.machinery import ModuleSpec

import pytest
import torch

from fashionrec_assets.resources import models
from fashionrec_assets.resources.models import (
    COMPILED_AFTER,
    capability,
    compiling_pays,
    fast_products,
    fastest_precision,
    moved,
    multiplies_bfloat16,
)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    """Pretends that every CUDA device has a capability, and that Triton and a C compiler are installed or not."""

    def pretend(found: tuple[int, int], *, triton: bool = True, compiler: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found)
        spec = ModuleSpec("triton", None) if triton else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if compiler else None)

    return pretend


def test_a_processor_computes_in_single_precision_and_compiles_nothing() -> None:
    assert capability("cpu") == (0, 0)
    assert fastest_precision("cpu", training=True) == fastest_precision("cpu", training=False) == "float32"
    assert not compiling_pays("cpu", 10**9)


@pytest.mark.parametrize(
    ("found", "trained", "asked"),
    [
        ((6, 1), "float32", "float32"),
        ((7, 0), "float32", "float16"),
        ((7, 5), "float32", "float16"),
        ((8, 0), "bfloat16", "bfloat16"),
        ((9, 0), "bfloat16", "bfloat16"),
        ((12, 0), "bfloat16", "bfloat16"),
    ],
)
def test_a_gpu_computes_in_the_shortest_precision_that_it_has(gpu, found, trained: str, asked: str) -> None:
    gpu(found)
    assert fastest_precision("cuda", training=True) == trained
    assert fastest_precision("cuda:1", training=False) == asked


@pytest.mark.parametrize("told", [True, False])
def test_a_processor_multiplies_bfloat16_where_it_has_amx(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": told}, raising=False)
    assert multiplies_bfloat16("cpu") is told


def test_a_torch_that_cannot_tell_has_no_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not multiplies_bfloat16("cpu")


def test_a_gpu_multiplies_bfloat16_from_ampere(gpu) -> None:
    gpu((7, 5))
    assert not multiplies_bfloat16("cuda")
    gpu((8, 0))
    assert multiplies_bfloat16("cuda:1")


def test_compiling_pays_in_long_training_on_a_gpu_that_triton_knows(gpu) -> None:
    gpu((8, 0))
    assert compiling_pays("cuda", COMPILED_AFTER)
    assert not compiling_pays("cuda", COMPILED_AFTER - 1)
    gpu((6, 1))
    assert not compiling_pays("cuda", COMPILED_AFTER)
    gpu((8, 0), triton=False)
    assert not compiling_pays("cuda", COMPILED_AFTER)
    gpu((8, 0), compiler=False)
    assert not compiling_pays("cuda", COMPILED_AFTER)


@pytest.mark.parametrize(("device", "found", "within"), [("cpu", (9, 0), "highest"), ("cuda", (7, 5), "highest")])
def test_products_are_exact_where_there_is_no_tf32(gpu, device: str, found, within: str) -> None:
    gpu(found)
    with fast_products(device):
        assert torch.get_float32_matmul_precision() == within


def test_products_are_fast_only_within(gpu) -> None:
    gpu((8, 0))
    with pytest.raises(ValueError, match="inside"), fast_products("cuda"):
        assert torch.get_float32_matmul_precision() == "high"
        raise ValueError("inside")
    assert torch.get_float32_matmul_precision() == "highest"


def test_tensors_go_to_a_gpu_from_pinned_memory_without_waiting() -> None:
    said: list[object] = []

    class Pretended:
        device = torch.device("cpu")

        def pin_memory(self) -> Pretended:
            said.append("pinned")
            return self

        def to(self, device: torch.device, **how: bool) -> Pretended:
            said.append((device.type, how))
            return self

    moved(Pretended(), torch.device("cuda"))  # type: ignore[arg-type]
    moved(Pretended(), torch.device("cpu"))  # type: ignore[arg-type]
    assert said == ["pinned", ("cuda", {"non_blocking": True}), ("cpu", {})]
    assert models.computes_on_gpu("cuda:3")
    assert not models.computes_on_gpu("cpu")

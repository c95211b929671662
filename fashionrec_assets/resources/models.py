"""What models run on, and pretrained models from outside: telling one from another, loading them quietly.

Belongs here: what a device can do, and what every room that loads a checkpoint (by name or from a folder) needs. Does
not belong here: any one kind of model, and settings of it.

What a device can do is asked by its name, as `best_device` gives it ("cpu", "cuda", "cuda:1"), when work begins.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fashionrec_assets.storage.files import file_digest

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16", "float16"]

COMPILED_AFTER = 2_000
"""Steps from which a compiled model is ahead: to compile forward and backward pass takes about a minute."""


class ModelUnavailableError(RuntimeError):
    """A model cannot be found, or its weights are not the ones expected; the message says what to do."""


def folder_digest(folder: Path) -> str:
    """One digest of a model folder: names and contents of its weights, configuration and vocabulary files."""
    digest = hashlib.sha256()
    kept = {".safetensors", ".bin", ".pt", ".json", ".txt", ".model"}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in kept):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + file_digest(path).encode() + b"\n")
    return digest.hexdigest()


def best_device() -> str:
    """The device to compute on: the first GPU where there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def computes_on_gpu(device: str) -> bool:
    """Whether `device` is a CUDA GPU."""
    return device.partition(":")[0] == "cuda"


def capability(device: str) -> tuple[int, int]:
    """CUDA compute capability, (8, 0) for an A100; (0, 0) where there is no GPU."""
    if not computes_on_gpu(device):
        return 0, 0
    import torch

    return torch.cuda.get_device_capability(device)


def fastest_precision(device: str, *, training: bool) -> Precision:
    """The precision in which matrix products are fastest on `device` without losing a model.

    bfloat16 from compute capability 8.0. Before it float16, but not in `training`, where its small gradients vanish
    without a scale of their own. On a processor float32: few have instructions for anything shorter.
    """
    found = capability(device)
    if found >= (8, 0):
        return "bfloat16"
    return "float16" if found >= (7, 0) and not training else "float32"


def multiplies_bfloat16(device: str) -> bool:
    """Whether products of bfloat16 matrices take a fraction of the time that float32 takes on `device`.

    On GPUs from compute capability 8.0, and on processors with AMX. On these the operands must be large, as those of
    convolutions are: turning small ones into bfloat16 costs more than their products save.
    """
    if computes_on_gpu(device):
        return capability(device) >= (8, 0)
    import torch

    # Older releases of torch cannot tell what a processor has.
    told = getattr(torch.cpu, "get_capabilities", dict)
    return bool(told().get("amx_bf16"))


def compiling_pays(device: str, steps: int) -> bool:
    """Whether `torch.compile` is worth its minute for `steps` steps: only on a GPU that Triton has code for.

    Triton also needs a compiler of C, which it looks for as this does.
    """
    if capability(device) < (7, 0) or steps < COMPILED_AFTER or importlib.util.find_spec("triton") is None:
        return False
    return any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang") if name)


@contextmanager
def fast_products(device: str) -> Iterator[None]:
    """Products of float32 matrices in TF32 (inputs rounded to 10 bits of mantissa) where `device` has it.

    That is from compute capability 8.0. The setting is the process's, and is put back.
    """
    if capability(device) < (8, 0):
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on `device`. To a GPU from pinned memory and without waiting: what is computed there comes after it."""
    if not computes_on_gpu(device.type) or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Loading without transformers' progress bars and notices; restored afterwards."""
    from transformers.utils import logging as notices

    was_shown, level = notices.is_progress_bar_enabled(), notices.get_verbosity()
    notices.disable_progress_bar()
    notices.set_verbosity_error()
    try:
        yield
    finally:
        if was_shown:
            notices.enable_progress_bar()
        notices.set_verbosity(level)

"""Pretrained models from outside: telling one from another, loading them quietly, and what to say when one is missing.

Belongs here: what every room that loads a checkpoint (by name or from a folder) needs. Does not belong here: any one
kind of model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fashionrec_assets.storage.files import file_digest


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

"""The precision of a forward pass.

Belongs here: the one context manager for it. Does not belong here: how vectors are stored. Imports torch at the top:
import this module inside functions only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in `precision`: "float32", "bfloat16" or "float16"."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "float32")

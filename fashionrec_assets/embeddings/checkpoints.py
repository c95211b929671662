"""Where a training run stands, on disk, so that a killed run goes on from its last epoch instead of its first.

Belongs here: writing and reading that state without pickle. Does not belong here: finished models
(`storage.artifacts`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

TENSORS = "state.safetensors"
FACTS = "state.json"


class Checkpoint:
    """The state of one training run in `folder`, or nowhere if that is None. A later state replaces an earlier one.

    `fingerprint` names what is being trained: a state left by another training is as good as none.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the state, all of it or nothing; `facts` is JSON."""
        if self._folder is None:
            return
        from safetensors.torch import save_file

        draft = self._folder.with_name(self._folder.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        # Clones: safetensors refuses tensors that share memory.
        save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, draft / TENSORS)
        (draft / FACTS).write_text(json.dumps({"fingerprint": self._fingerprint, **facts}), "utf-8")
        shutil.rmtree(self._folder, ignore_errors=True)
        draft.replace(self._folder)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `save` wrote last for this fingerprint, or None."""
        if self._folder is None or not (self._folder / FACTS).is_file():
            return None
        from safetensors.torch import load_file

        facts = json.loads((self._folder / FACTS).read_text("utf-8"))
        if facts["fingerprint"] != self._fingerprint:
            return None
        return load_file(self._folder / TENSORS), facts

    def clear(self) -> None:
        """Forget the state: the training has ended."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` under names that start with `prefix`."""
    return {prefix + name: value for name, value in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of `tensors` whose names start with `prefix`, without it: what `prefixed` was given."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """The moments and step counts of an optimiser as named tensors."""
    return {
        f"{number}.{name}": value
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took out of an optimiser over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

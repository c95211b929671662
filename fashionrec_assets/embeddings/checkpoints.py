"""Where a training run stands, on disk, so that a killed run goes on from its last epoch instead of its first.

Belongs here: writing and reading that state without pickle. Does not belong here: finished models
(`storage.artifacts`).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashionrec_assets.storage.files import draft_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

_log = logging.getLogger(__name__)

FACTS = "facts"


class Checkpoint:
    """The state of one training run in the file `path`, or nowhere if that is None. A later state replaces an earlier.

    `fingerprint` names what is being trained: a state left by another training is as good as none.
    """

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the state; a kill leaves this one or the one before. `facts` is JSON."""
        if self._path is None:
            return
        from safetensors.torch import save_file

        kept: dict[str, Tensor] = {}
        places: set[int] = set()
        for name, value in tensors.items():
            found = value.detach().cpu().contiguous()
            # safetensors refuses tensors that share memory.
            kept[name] = found.clone() if found.untyped_storage().data_ptr() in places else found
            places.add(kept[name].untyped_storage().data_ptr())
        said = json.dumps({"fingerprint": self._fingerprint, **facts})
        with draft_of(self._path) as draft:
            save_file(kept, draft, {FACTS: said})
            with draft.open("rb") as written:
                os.fsync(written.fileno())

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What `save` wrote last for this fingerprint, or None; a damaged file is as good as none."""
        if self._path is None or not self._path.is_file():
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path, framework="pt") as file:
                facts = json.loads(file.metadata()[FACTS])
                if facts["fingerprint"] != self._fingerprint:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            _log.warning("%s is damaged, and the training starts from its beginning: %s", self._path, error)
            return None

    def clear(self) -> None:
        """Forget the state: what was trained is safe elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


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
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        parameter = parameters[int(number)]
        # A fused optimiser reads a moment as it lies in memory, which has to be as its parameter does.
        if value.shape == parameter.shape:
            value = parameter.detach().clone().copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

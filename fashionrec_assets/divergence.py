"""Trainings that fail, and noticing one that diverges before anything is written.

Belongs here: the errors every training loop raises, and the check of losses. Does not belong here: any loop or model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LOOKED_AT_EVERY = 50
"""Steps after which losses are fetched from a GPU, which until then need not be waited for."""


class TrainingError(RuntimeError):
    """A model cannot be trained on this data with these settings."""


class TrainingDivergedError(TrainingError):
    """A loss is no longer a finite number."""


def finite(loss: float, *, model: str, epoch: int, step: int, remedy: str) -> float:
    """`loss`, of the 1-based `step` of the 1-based `epoch`.

    Raises TrainingDivergedError, with the `remedy` (the settings to change), if it is NaN or infinite: such a model
    ranks nothing above anything, and no later step repairs it.
    """
    if not math.isfinite(loss):
        raise TrainingDivergedError(
            f"{model} diverged: the loss became {loss} in epoch {epoch}, step {step}. To help it, {remedy}. Nothing "
            "was written: what was trained before stays in force."
        )
    return loss


class Losses:
    """The losses of an epoch's steps, checked by `finite`; on a GPU only every few steps, lest each waits for it.

    `epoch` is 1-based; `model` and `remedy` are what the error says.
    """

    def __init__(self, *, model: str, epoch: int, remedy: str, on_gpu: bool) -> None:
        self._model, self._epoch, self._remedy = model, epoch, remedy
        self._every = LOOKED_AT_EVERY if on_gpu else 1
        self._waiting: list[tuple[Tensor, Mapping[str, Tensor]]] = []
        self._seen: list[Mapping[str, float]] = []

    def add(self, total: Tensor, parts: Mapping[str, Tensor]) -> None:
        """What a step minimises, and what to take the mean of. Raises TrainingDivergedError, perhaps steps later."""
        self._waiting.append((total.detach(), {name: part.detach() for name, part in parts.items()}))
        if len(self._waiting) >= self._every:
            self._look()

    def _look(self) -> None:
        for total, parts in self._waiting:
            step = len(self._seen) + 1
            finite(float(total), model=self._model, epoch=self._epoch, step=step, remedy=self._remedy)
            self._seen.append({name: float(part) for name, part in parts.items()})
        self._waiting = []

    def mean(self, name: str) -> float:
        """Of a part over all steps; one without it counts as 0. Raises TrainingDivergedError."""
        self._look()
        return sum(parts.get(name, 0.0) for parts in self._seen) / max(len(self._seen), 1)

"""Trainings that fail, and noticing one that diverges before anything is written.

Belongs here: the errors every training loop raises, and the check of a loss. Does not belong here: any loop or model.
"""

from __future__ import annotations

import math


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

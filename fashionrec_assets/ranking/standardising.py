"""Features as the ranker's networks read them: counts as logarithms, everything standardised and kept within bounds.

Belongs here: the two steps, and what they need of the features a ranker is trained on. Does not belong here: features,
networks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.ranking.features import COUNTS, NAMES

CLIP = 5.0
"""Standard deviations beyond which a feature says no more: a day with a sale must not carry the score away."""

_ROWS = 32_768
"""Rows that are summed up at a time."""


def log_scale_of(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (features,): the number a count is divided by before its logarithm, 0 for what is no count."""
    scale = np.zeros(len(NAMES), np.float32)
    for name in COUNTS:
        column = values[:, NAMES.index(name)]
        positive = column[column > 0]
        scale[NAMES.index(name)] = np.median(positive) if len(positive) else 1.0
    return scale


def logs_of(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (p, features): `values`, their counts as logarithms."""
    logs = values.copy()
    # Side by side, as counts are in the features: a list of columns would be gathered and scattered.
    for start, stop in _runs(scale > 0):
        logs[:, start:stop] = np.log1p(np.maximum(values[:, start:stop], 0) / scale[start:stop])
    return logs


def moments(logs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every column."""
    # In float32 the sum over a million pairs drifts so far that what is constant would seem to vary. Some rows at a
    # time, as in float64 the whole would take twice the memory again.
    parts = [logs[at : at + _ROWS] for at in range(0, len(logs), _ROWS)]
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / len(logs)
    squares = np.sum([((part - mean) ** 2).sum(axis=0) for part in parts], axis=0)
    return mean.astype(np.float32), np.sqrt(squares / len(logs)).astype(np.float32)


def standardised(
    logs: NDArray[np.float32], mean: NDArray[np.float32], spread: NDArray[np.float32]
) -> NDArray[np.float32]:
    """float32 (p, features): within `CLIP` of 0."""
    inputs = logs - mean
    inputs /= spread
    return np.clip(inputs, -CLIP, CLIP, out=inputs)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, stop) of each run of True."""
    turns = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(stop)) for start, stop in turns.reshape(-1, 2)]

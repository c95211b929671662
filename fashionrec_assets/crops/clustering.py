"""k-means over colours, made deterministic.

Belongs here: the one call of OpenCV's k-means. Does not belong here: what the clusters mean.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray


def colour_clusters(
    pixels: NDArray[np.float32], most: int, *, rounds: int = 10
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """At most `most` centres (k, 3) of `pixels` (n, 3), n at least 1, and the share of the pixels each one has.

    The same pixels give the same clusters: OpenCV's generator is seeded anew.
    """
    import cv2

    rows = np.ascontiguousarray(pixels, dtype=np.float32)
    count = min(most, len(rows))
    if count == 1:
        # OpenCV reads a single row as many one-dimensional samples.
        return rows.mean(axis=0, keepdims=True), np.ones(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, rounds, 0.5)
    cv2.setRNGSeed(0)
    start = np.zeros((len(rows), 1), np.int32)
    _, labels, centres = cv2.kmeans(rows, count, start, criteria, 1, cv2.KMEANS_PP_CENTERS)
    return cast(NDArray[np.float32], centres), np.bincount(labels.ravel(), minlength=count) / len(rows)

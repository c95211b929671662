"""Content in a few numbers: whitened principal components.

Belongs here: fitting and applying them. Does not belong here: what is learned of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.synthesis.rows import ItemContent

FEWEST_ROWS = 2


class TooFewRowsError(ValueError):
    """There is nothing to learn a distribution of rows from."""


@dataclass(frozen=True)
class Reduction:
    """Principal components of content, each divided by its standard deviation: `mean` float32 (d,), `axes` (k, d)."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def fit(cls, content: ItemContent, dim: int) -> Reduction:
        """At most `dim` components of the usable items; those that hardly vary are left out.

        Raises TooFewRowsError if no two usable items differ.
        """
        from sklearn.decomposition import PCA

        values = content.values[content.usable].astype(np.float64)
        if len(values) < FEWEST_ROWS or not np.ptp(values, axis=0).any():
            raise TooFewRowsError("no two items that could be bought before the cut differ in content")
        found = PCA(min(dim, *values.shape), svd_solver="covariance_eigh").fit(values)
        variance = np.asarray(found.explained_variance_)
        keep = variance > 1e-6 * variance.max()
        axes = np.asarray(found.components_)[keep] / np.sqrt(variance[keep])[:, None]
        return cls(found.mean_.astype(np.float32), axes.astype(np.float32))

    def apply(self, content: ItemContent) -> NDArray[np.float32]:
        """float32 (n_items, k); items without content are zeros, which is the mean."""
        return ((content.values - self.mean) @ self.axes.T * content.present[:, None]).astype(np.float32)

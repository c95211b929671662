"""What a search found, less what it must not give, best first.

Belongs here: rows that queries leave out, equal scores in the order of rows. Does not belong here: searching
(`item_index.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Exclusions:
    """Which of `n` rows each query must not be given.

    `keys` int64, sorted, without repetition, are query * n + row; `counts` int64 (m,) how many of each query.
    """

    keys: NDArray[np.int64]
    counts: NDArray[np.int64]
    n: int

    @classmethod
    def of(cls, exclude: Sequence[NDArray[np.int64]] | None, m: int, n: int) -> Exclusions:
        if exclude is None or m == 0:
            if exclude is not None and len(exclude) != m:
                raise ValueError(f"exclude has {len(exclude)} entries for {m} queries")
            return cls(np.empty(0, np.int64), np.zeros(m, np.int64), n)
        if len(exclude) != m:
            raise ValueError(f"exclude has {len(exclude)} entries for {m} queries")
        rows = np.concatenate([np.asarray(entry, np.int64) for entry in exclude])
        if len(rows) and not (rows.min() >= 0 and rows.max() < n):
            raise ValueError(f"exclude holds rows from {rows.min()} to {rows.max()}; the index has 0 to {n - 1}")
        owner = np.repeat(np.arange(m, dtype=np.int64), [len(entry) for entry in exclude])
        keys = np.sort(owner * n + rows)
        keys = keys[np.diff(keys, prepend=-1) > 0]
        return cls(keys, np.bincount(keys // n, minlength=m), n)

    def take(self, queries: NDArray[np.int64]) -> Exclusions:
        """Those of `queries` (int64, ascending), numbered from 0."""
        if len(queries) == len(self.counts):
            return self
        owner = self.keys // self.n
        chosen = np.zeros(len(self.counts), np.bool_)
        chosen[queries] = True
        number = np.cumsum(chosen) - 1
        kept = chosen[owner]
        return Exclusions(number[owner[kept]] * self.n + self.keys[kept] % self.n, self.counts[queries], self.n)

    def hold(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool (m, f): which of `rows` int64 (m, f) are among them."""
        if not len(self.keys):
            return np.zeros(rows.shape, np.bool_)
        wanted = rows + np.arange(len(rows), dtype=np.int64)[:, None] * self.n
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return (self.keys[place] == wanted) & (rows >= 0)


def best_rows(
    rows: NDArray[np.int64], scores: NDArray[np.float32], left_out: Exclusions, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best k of the rows (m, f) found, best first, without those left out; missing ones are row -1 at -inf."""
    order_ties(rows, scores)
    kept = (rows >= 0) & ~left_out.hold(rows)
    place = np.cumsum(kept, axis=1) - 1
    line, column = np.nonzero(kept & (place < k))
    at = place[line, column]
    out_rows, out_scores = np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), -np.inf, np.float32)
    out_rows[line, at], out_scores[line, at] = rows[line, column], scores[line, column]
    return out_rows, out_scores


def order_ties(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
    """Put rows of equal score in ascending order, in place."""
    lines = np.flatnonzero((scores[:, 1:] == scores[:, :-1]).any(axis=1))
    if len(lines):
        order = np.lexsort((rows[lines], -scores[lines]), axis=1)
        rows[lines] = np.take_along_axis(rows[lines], order, axis=1)

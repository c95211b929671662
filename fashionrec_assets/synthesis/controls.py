"""What a VAE has to beat: rows made by a rule, and rows made at random.

Belongs here: substitution by the nearest item, swapping one attribute, and a random item, each with the source's
label. Does not belong here: anything that is learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.synthesis.embedding_vae import unit
from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows, TrainingRows
from fashionrec_assets.synthesis.sampling import draw_rows, nearest

NEIGHBOURS = 10
"""Nearest items of which one, at random, replaces the source's."""

CANDIDATES = 32
"""Items looked at for one that the user does not have; after the nearest, in order of similarity."""

RANDOM_CANDIDATES = 16


@dataclass(frozen=True)
class NeighbourGenerator:
    """The source's item replaced by one of the nearest in content."""

    rows: TrainingRows
    content: ItemContent
    version: str
    name: str = "neighbours"

    def draw(self, count: int, *, temperature: float = 1.0, seed: int) -> SyntheticRows:
        """At most `count` rows (see `draw_rows`). `temperature` is for other generators: nothing here depends on it."""
        vectors = unit(self.content.values)
        pool = np.flatnonzero(self.content.usable)

        def propose(
            sources: NDArray[np.int64], rng: np.random.Generator
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            items, place = np.unique(self.rows.items[sources], return_inverse=True)
            # One more than wanted: the nearest item is the source's own, if it may be taken at all.
            found = pool[nearest(vectors[pool], vectors[items], CANDIDATES + 1, cosine=True)]
            own = found == items[:, None]
            found = np.take_along_axis(found, np.argsort(own, axis=1, kind="stable"), axis=1)[:, :CANDIDATES]
            found = found[place]
            among = min(NEIGHBOURS, found.shape[1])
            order = np.broadcast_to(np.arange(found.shape[1]), found.shape).copy()
            order[:, :among] = rng.permuted(order[:, :among], axis=1)
            return np.take_along_axis(found, order, axis=1), self.rows.labels[sources]

        eligible = self.content.present[self.rows.items]
        return draw_rows(count, self.rows, self.content, eligible, propose, seed=seed)


@dataclass(frozen=True)
class AttributeGenerator:
    """The source's item in another colour; where there is none, another type of item in its colour."""

    rows: TrainingRows
    content: ItemContent
    version: str
    name: str = "attributes"

    def draw(self, count: int, *, temperature: float = 1.0, seed: int) -> SyntheticRows:
        """At most `count` rows (see `draw_rows`). `temperature` is for other generators: nothing here depends on it.

        Items of which type or colour is not known are neither sources nor taken.
        """
        known = (self.content.types != "") & (self.content.colours != "")
        _, types = np.unique(self.content.types, return_inverse=True)
        _, colours = np.unique(self.content.colours, return_inverse=True)
        pool = np.flatnonzero(self.content.usable & known)
        by_type, by_colour = _grouped(types, pool), _grouped(colours, pool)

        def propose(
            sources: NDArray[np.int64], rng: np.random.Generator
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            found = np.full((len(sources), 2 * CANDIDATES), -1, np.int64)
            for row, item in enumerate(self.rows.items[sources]):
                alike = by_type.get(int(types[item]), pool[:0])
                alike = alike[colours[alike] != colours[item]]
                other = by_colour.get(int(colours[item]), pool[:0])
                other = other[types[other] != types[item]]
                for start, items in ((0, alike), (CANDIDATES, other)):
                    some = rng.permutation(items)[:CANDIDATES]
                    found[row, start : start + len(some)] = some
            return found, self.rows.labels[sources]

        return draw_rows(count, self.rows, self.content, known[self.rows.items], propose, seed=seed)


@dataclass(frozen=True)
class RandomGenerator:
    """The source's item replaced by any: what so many more rows do by themselves."""

    rows: TrainingRows
    content: ItemContent
    version: str
    name: str = "random"

    def draw(self, count: int, *, temperature: float = 1.0, seed: int) -> SyntheticRows:
        """At most `count` rows (see `draw_rows`). `temperature` is for other generators: nothing here depends on it."""
        pool = np.flatnonzero(self.content.usable)

        def propose(
            sources: NDArray[np.int64], rng: np.random.Generator
        ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            some = rng.integers(0, len(pool), (len(sources), RANDOM_CANDIDATES)) if len(pool) else None
            found = np.zeros((len(sources), 0), np.int64) if some is None else pool[some]
            return found, self.rows.labels[sources]

        return draw_rows(count, self.rows, self.content, np.ones(len(self.rows), np.bool_), propose, seed=seed)


def _grouped(codes: NDArray[np.int64], pool: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """code -> the items of `pool` that have it."""
    ordered = pool[np.argsort(codes[pool], kind="stable")]
    values, starts = np.unique(codes[ordered], return_index=True)
    return dict(zip(values.tolist(), np.split(ordered, starts[1:]), strict=True)) if len(values) else {}

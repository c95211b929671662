"""What NCF reads of items and users, as arrays, and how raw token states become what its networks take.

Belongs here: array forms, and the reduction of token states to few dimensions. Does not belong here: reading storage
(`reading.py`), networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.reading import Tokens
from fashionrec_assets.towers.features import Modality, UserProfiles, lookup

if TYPE_CHECKING:
    from fashionrec_assets.towers.ncf.cross_modal import TokenTensors

ITEMS_AT_ONCE = 4096


@dataclass(frozen=True)
class NcfItems:
    """Of n items in the order of `item_ids` (sorted): token states of both modalities, and the pooled vectors.

    `pooled`: text and image, each one vector of an item: what stands for content where a single vector is wanted.
    """

    item_ids: NDArray[np.str_]
    text: Tokens
    image: Tokens
    pooled: Mapping[str, Modality] = field(default_factory=dict[str, Modality])

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows(self, item_ids: NDArray[np.str_]) -> NDArray[np.int64]:
        """Rows of `item_ids` here. Raises KeyError naming the first item that has none."""
        found = lookup(self.item_ids, item_ids)
        if (found < 0).any():
            raise KeyError(f"no token states for item {str(item_ids[found < 0][0])!r}; materialize text_tokens again")
        return found

    @property
    def views(self) -> tuple[str, ...]:
        """The modalities that at least one item has."""
        return tuple(name for name, kept in (("text", self.text), ("image", self.image)) if kept.mask.any())

    def content(self, modalities: tuple[str, ...]) -> Modality:
        """The pooled vectors of `modalities` side by side, each of unit length, (n, d); present where any is."""
        chosen = [self.pooled[name] for name in ("text", "image") if name in modalities and name in self.pooled]
        if not chosen:
            return Modality(np.zeros((len(self), 1), np.float32), np.zeros(len(self), bool))
        lengths = [np.linalg.norm(m.values, axis=1, keepdims=True) for m in chosen]
        units = [m.values / np.maximum(length, 1e-9) for m, length in zip(chosen, lengths, strict=True)]
        return Modality(np.concatenate(units, axis=1), np.any([m.present for m in chosen], axis=0))


@dataclass(frozen=True)
class NcfUsers:
    """What is known of users beside their events: profile columns, and `avatar`, a vector where they have a picture."""

    profiles: UserProfiles = field(default_factory=UserProfiles)
    avatar: Modality | None = None


@dataclass(frozen=True)
class Reducer:
    """Axes of the token states of one modality along which items differ: `mean` (d,), `axes` (d, w), `scale`.

    Token states come from frozen encoders and are many: a few components are what a small network can use, and what
    fits into memory. They are the principal axes of the items' mean tokens, not of all tokens, whose largest
    differences are those between a noun and a full stop.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    scale: float

    @classmethod
    def of(cls, tokens: Tokens, known: NDArray[np.bool_], width: int) -> Reducer:
        """Fitted on the items where `known` (n,): those that training may look at."""
        rows = np.flatnonzero(tokens.mask.any(axis=1) & known)
        dim = tokens.states.shape[2]
        if not len(rows):
            return cls(np.zeros(dim, np.float32), np.zeros((dim, width), np.float32), 1.0)
        means = np.concatenate(
            [_means(tokens, rows[start : start + ITEMS_AT_ONCE]) for start in range(0, len(rows), ITEMS_AT_ONCE)]
        )
        mean = means.mean(axis=0)
        centred = (means - mean).astype(np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        kept = np.zeros((dim, width))
        kept[:, : min(dim, width)] = axes[:, ::-1][:, :width]
        # The sign of an axis is arbitrary, and may differ between machines.
        kept *= np.where(kept[np.abs(kept).argmax(axis=0), np.arange(width)] < 0, -1, 1)
        scale = float(np.sqrt(np.mean((centred @ kept) ** 2)))
        return cls(mean, kept.astype(np.float32), max(scale, 1e-6))

    def __call__(self, tokens: Tokens) -> NDArray[np.float16]:
        """float16 (n, t, w), zeros where there is no token."""
        n, length = tokens.mask.shape
        made = np.zeros((n, length, self.axes.shape[1]), np.float16)
        for start in range(0, n, ITEMS_AT_ONCE):
            part = slice(start, start + ITEMS_AT_ONCE)
            mask = tokens.mask[part]
            states = tokens.states[part][mask].astype(np.float32)
            made[part][mask] = ((states - self.mean) @ self.axes / self.scale).astype(np.float16)
        return made


@dataclass(frozen=True)
class Reducers:
    """One `Reducer` of each modality."""

    text: Reducer
    image: Reducer

    @classmethod
    def of(cls, items: NcfItems, known: NDArray[np.bool_], width: int) -> Reducers:
        return cls(Reducer.of(items.text, known, width), Reducer.of(items.image, known, width))

    def __call__(self, items: NcfItems) -> TokenTensors:
        """The items' tokens as tensors on the processor."""
        import torch

        from fashionrec_assets.towers.ncf.cross_modal import TokenTensors

        return TokenTensors(
            torch.from_numpy(self.text(items.text)),
            torch.from_numpy(items.text.mask),
            torch.from_numpy(self.image(items.image)),
            torch.from_numpy(items.image.mask),
        )


def _means(tokens: Tokens, rows: NDArray[np.integer]) -> NDArray[np.float32]:
    """(len(rows), d): the mean token of each of `rows`, which have some."""
    weights = tokens.mask[rows].astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("nt,ntd->nd", weights, tokens.states[rows].astype(np.float32))

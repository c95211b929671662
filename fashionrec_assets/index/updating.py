"""An index brought up to date: without a rebuild while little has changed, and when to build anew.

Belongs here: what differs between an index and the vectors there are, the policy, and the update. Does not belong here:
where vectors come from, and FAISS (`kinds.py`).

A changed vector is taken out and added. A Flat index is laid out again in the order of ids, from the rows it holds and
the new ones: it is the same, byte for byte, as one built anew. In the approximate kinds new rows stand behind the old
ones, and what they find therefore depends a little on the way they came there; equal recall is measured, not equal
answers, and a full refresh forgets the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fashionrec_assets.index.building import build
from fashionrec_assets.index.item_index import IndexConfig, IndexFilesError, ItemIndex, read_config
from fashionrec_assets.index.kinds import Progress, choose_kind, held_vectors, memory_bytes, quiet, replace_rows
from fashionrec_assets.index.tuning import tune_again
from fashionrec_assets.index.vectors import checked_vectors, sample
from fashionrec_assets.settings import IndexSettings

_MOST_SCORES = 30_000_000
_FEWEST_QUERIES = 100
"""An update is measured with fewer queries than a build where exact search for them would cost what it saves."""

Fetch = Callable[[NDArray[np.str_]], NDArray[np.float32]]
"""The vectors (m, d) of some ids, in their order."""


@dataclass(frozen=True)
class Wanted:
    """What an index is to hold: `ids` (n,), sorted; `outputs`, strings (n,), the `output_fp` of each one's vector; and
    `fetch`, which reads vectors. `made_with`: with what code and settings (see `IndexConfig`)."""

    ids: NDArray[np.str_]
    outputs: pa.Array
    fetch: Fetch
    made_with: str = ""


@dataclass(frozen=True)
class Refreshed:
    """An index that is up to date, how it became so and why, and how many rows were added and taken out."""

    index: ItemIndex
    how: Literal["built", "updated"]
    why: str
    added: int
    removed: int


def refresh(
    folder: Path | None,
    wanted: Wanted,
    settings: IndexSettings,
    *,
    seed: int = 17,
    progress: Progress = quiet,
) -> Refreshed:
    """The index that `wanted` asks for, from the one saved in `folder` where that is allowed, else built anew.

    It is built anew if there is none or it cannot be read, code or settings are others, the catalog's size or the
    memory limit asks for another kind, no vector is as it was, more than the share `settings.rebuild_share` of an
    approximate index's places are dead or were given out since it was built, or its recall@10 after the update, with up
    to twice the effort it was built with, is below `settings.recall_target`. The files in `folder` are only read.
    """
    held, why = _held(folder, wanted)
    if held is not None:
        kept = unchanged_rows(held, wanted.ids, wanted.outputs)
        why = _why_anew(held.config, kept, settings)
        if not why:
            index = _updated(held, kept, wanted, settings, seed)
            if index.config.recall_at_10 >= settings.recall_target:
                added = int((kept < 0).sum())
                return Refreshed(index, "updated", "", added, len(held) - len(kept) + added)
            why = f"recall@10 after the update was {index.config.recall_at_10:.4f}"
    index = build(
        wanted.ids,
        wanted.fetch(wanted.ids),
        settings,
        outputs=wanted.outputs,
        seed=seed,
        made_with=wanted.made_with,
        progress=progress,
    )
    return Refreshed(index, "built", why, len(index), 0)


def _held(folder: Path | None, wanted: Wanted) -> tuple[ItemIndex | None, str]:
    """The index in `folder` if it may be carried on, else why not."""
    if folder is None:
        return None, "there was none"
    try:
        config = read_config(folder)
        if config.made_with != wanted.made_with:
            return None, "code or settings changed"
        # Flat is laid out again elsewhere, the others are changed where they are.
        return ItemIndex.load(folder, mmap=config.kind == "flat"), ""
    except IndexFilesError as error:
        return None, str(error)


def unchanged_rows(held: ItemIndex, ids: NDArray[np.str_], outputs: pa.Array) -> NDArray[np.int64]:
    """int64 (n,): the row in `held` of each of `ids` (n,) whose vector is still that of `outputs` (n,), else -1."""
    if not len(ids):
        return np.empty(0, np.int64)
    rows = np.minimum(np.searchsorted(held.ids, ids), len(held) - 1).astype(np.int64)
    same: pa.Array = pc.equal(held.outputs.take(pa.array(rows)), outputs)  # pyright: ignore[reportAttributeAccessIssue]
    unchanged = same.fill_null(False).to_numpy(zero_copy_only=False)
    return np.where((held.ids[rows] == ids) & unchanged, rows, -1)


def _why_anew(config: IndexConfig, kept: NDArray[np.int64], settings: IndexSettings) -> str:
    """Why an index must be built anew rather than updated; empty if it need not."""
    n, added = len(kept), int((kept < 0).sum())
    if added == n:
        return "no vector is as it was"
    kind = choose_kind(n, config.dim, settings)
    if kind != config.kind:
        return f"{n} items ask for {kind}, not {config.kind}"
    places = config.places + added
    moved = max(places - n, places - config.built_items)
    if kind != "flat" and moved > settings.rebuild_share * places:
        return f"{moved} of {places} places are dead or were given out since it was built"
    return ""


def _updated(held: ItemIndex, kept: NDArray[np.int64], wanted: Wanted, settings: IndexSettings, seed: int) -> ItemIndex:
    """`held`, which nobody else may search, with the rows `kept` and the vectors of the others added."""
    import faiss

    config, new = held.config, np.flatnonzero(kept < 0)
    dim = config.dim
    fresh = checked_vectors(wanted.fetch(wanted.ids[new]), "vectors") if len(new) else np.empty((0, dim), np.float32)
    if config.kind == "flat":
        vectors = np.empty((len(kept), dim), np.float32)
        old = np.flatnonzero(kept >= 0)
        vectors[old] = held_vectors(held.faiss_index, held.places)[kept[old]]
        vectors[new] = fresh
        return build(wanted.ids, vectors, settings, outputs=wanted.outputs, seed=seed, made_with=wanted.made_with)
    gone = np.delete(held.places, kept[kept >= 0])
    replace_rows(held.faiss_index, gone, fresh, config.places, settings)
    places = np.empty(len(kept), np.int64)
    places[kept >= 0] = held.places[kept[kept >= 0]]
    places[new] = config.places + np.arange(len(new))
    total = config.places + len(new)
    taken = memory_bytes(config.kind, len(kept) if config.kind == "ivf" else total, dim, settings)
    config = replace(config, items=len(kept), places=total, memory_bytes=taken, seed=seed, faiss=str(faiss.__version__))
    index = ItemIndex(wanted.ids, config, held.faiss_index, places, wanted.outputs)
    # Against the vectors that it holds: reading all others again would cost as much as what is saved.
    count = min(settings.recall_sample, max(_FEWEST_QUERIES, _MOST_SCORES // len(index)))
    asked = held_vectors(index.faiss_index, sample(places, count, seed))
    index, recall = tune_again(index, asked, settings.recall_target)
    return replace(index, config=replace(index.config, recall_at_10=recall, recall_queries=len(asked)))

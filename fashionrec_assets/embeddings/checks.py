"""Checks of the embeddings room."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa

from fashionrec_assets.embeddings.assets import AVATARS, IMAGE_TOKENS, IMAGES, TEXT_TOKENS, TEXTS
from fashionrec_assets.embeddings.reading import (
    AVATAR_STORE,
    IMAGE_STORE,
    IMAGE_TOKEN_STORE,
    TEXT_STORE,
    TEXT_TOKEN_STORE,
)
from fashionrec_assets.embeddings.token_store import TOKEN_COLUMNS, tokens_of
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vectors_of

NORM_TOLERANCE = 1e-3


def unit_vector_check(asset: str, store: str) -> dg.AssetChecksDefinition:
    """The blocking check that the vectors of a store are finite, of length one, and of one dimension."""

    @dg.asset_check(
        asset=asset,
        name=f"{store}_are_unit_vectors",
        blocking=True,
        description="Vectors are finite and of length one.",
    )
    def check(shop: ShopParam) -> dg.AssetCheckResult:
        found = by_file(shop.store(store, VECTOR_COLUMNS), shop.home / "cache" / f"checked_{store}.json", _vectors_in)
        count, broken, off = (sum(numbers[at] for numbers in found) for at in range(3))
        dims = sorted({numbers[3] for numbers in found}) or [1]
        return error(
            broken == 0 and off == 0 and len(dims) == 1,
            f"{count} vectors of {', '.join(map(str, dims))}: {broken} not finite, {off} not of length one",
            vectors=count,
            dimension=dims[0],
            not_finite=broken,
            not_unit=off,
        )

    return check


def finite_states_check(asset: str, store: str) -> dg.AssetChecksDefinition:
    """The blocking check that the token states of a store are finite and of one dimension, and none is lacking."""

    @dg.asset_check(
        asset=asset,
        name=f"{store}_are_finite",
        blocking=True,
        description="Every row has token states, all of them finite and of one dimension.",
    )
    def check(shop: ShopParam) -> dg.AssetCheckResult:
        found = by_file(shop.store(store, TOKEN_COLUMNS), shop.home / "cache" / f"checked_{store}.json", _states_in)
        rows, broken = (sum(numbers[at] for numbers in found) for at in range(2))
        dims = {numbers[2] for numbers in found}
        return error(
            broken == 0 and len(dims) <= 1,
            f"{rows} rows of dimension {', '.join(map(str, sorted(dims))) or 'none'}, {broken} not finite",
            rows=rows,
            not_finite=broken,
        )

    return check


def by_file(store: BucketStore, notes: Path, judge: Callable[[pa.Table], list[int]]) -> list[list[int]]:
    """What `judge` says of each bucket of `store` that has rows; of one whose files are still those noted in `notes`,
    by inode, size and modification time, what it said then."""
    known: dict[str, list[list[int]]] = {}
    # It only saves reading: damaged notes are as good as none.
    with suppress(OSError, ValueError, TypeError):
        known = dict(json.loads(notes.read_text("utf-8")))
    now: dict[str, list[list[int]]] = {}
    for bucket in range(store.buckets):
        name, stamp = store.path(bucket).name, store.stamp(bucket)
        if not stamp:
            continue
        before = known.get(name, [])
        if before[:1] == [stamp]:
            now[name] = before
        elif len(table := store.read(bucket)):
            now[name] = [stamp, judge(table)]
    if now != known:
        write_text(notes, json.dumps(now))
    return [said for _, said in now.values()]


def _vectors_in(table: pa.Table) -> list[int]:
    """Vectors, those not finite, those not of length one, and their dimension."""
    _, vectors = vectors_of(table)
    broken = int((~np.isfinite(vectors).all(axis=1)).sum())
    off = int((np.abs(np.linalg.norm(vectors, axis=1) - 1) > NORM_TOLERANCE).sum())
    return [len(vectors), broken, off, vectors.shape[1]]


def _states_in(table: pa.Table) -> list[int]:
    """Rows, those with a state that is not finite, and the dimension."""
    found = tokens_of(table)
    return [len(found), sum(not np.isfinite(states).all() for states in found.rows()), found.states.shape[1]]


CHECKS = [
    unit_vector_check("image_embeddings", IMAGE_STORE),
    unit_vector_check("text_embeddings", TEXT_STORE),
    unit_vector_check("avatar_vectors", AVATAR_STORE),
    finite_states_check("text_tokens", TEXT_TOKEN_STORE),
    finite_states_check("image_tokens", IMAGE_TOKEN_STORE),
    *(
        ledger_matches_files(stage, stage.name, lambda shop, store=store, columns=columns: shop.store(store, columns))
        for stage, store, columns in (
            (IMAGES, IMAGE_STORE, VECTOR_COLUMNS),
            (TEXTS, TEXT_STORE, VECTOR_COLUMNS),
            (AVATARS, AVATAR_STORE, VECTOR_COLUMNS),
            (TEXT_TOKENS, TEXT_TOKEN_STORE, TOKEN_COLUMNS),
            (IMAGE_TOKENS, IMAGE_TOKEN_STORE, TOKEN_COLUMNS),
        )
    ),
]

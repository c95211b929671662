"""Checks of the embeddings room."""

from __future__ import annotations

import dagster as dg
import numpy as np

from fashionrec_assets.embeddings.assets import AVATARS, IMAGE_TOKENS, IMAGES, TEXT_TOKENS, TEXTS
from fashionrec_assets.embeddings.reading import (
    AVATAR_STORE,
    IMAGE_STORE,
    IMAGE_TOKEN_STORE,
    TEXT_STORE,
    TEXT_TOKEN_STORE,
    stored_vectors,
)
from fashionrec_assets.embeddings.token_store import TOKEN_COLUMNS, tokens_of
from fashionrec_assets.resources.glue import ShopParam, error, ledger_matches_files
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS

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
        keys, vectors = stored_vectors(shop, store)
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        off = int((np.abs(np.linalg.norm(vectors, axis=1) - 1) > NORM_TOLERANCE).sum())
        return error(
            broken == 0 and off == 0,
            f"{len(keys)} vectors of {vectors.shape[1]}: {broken} not finite, {off} not of length one",
            vectors=len(keys),
            dimension=vectors.shape[1],
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
        buckets = shop.store(store, TOKEN_COLUMNS)
        rows = broken = 0
        dims: set[int] = set()
        for bucket in range(buckets.buckets):
            table = buckets.read(bucket)
            if not len(table):
                continue
            found = tokens_of(table)
            rows += len(found)
            broken += sum(not np.isfinite(states).all() for states in found.rows())
            dims.add(found.states.shape[1])
        return error(
            broken == 0 and len(dims) <= 1,
            f"{rows} rows of dimension {', '.join(map(str, sorted(dims))) or 'none'}, {broken} not finite",
            rows=rows,
            not_finite=broken,
        )

    return check


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

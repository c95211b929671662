"""Checks of the synthesis room."""

from __future__ import annotations

import dagster as dg

from fashionrec_assets.catalog.reading import cuts, interactions_file
from fashionrec_assets.resources.glue import ShopParam, error, table_checks, warn
from fashionrec_assets.storage.warehouse import one_row
from fashionrec_assets.synthesis.reading import MODEL, SynthesisInputs, chosen_augmentation, synthetic_rows
from fashionrec_assets.synthesis.tables import VAE_SYNTHETIC_SAMPLES

SAMPLES = VAE_SYNTHETIC_SAMPLES.name
TOLERANCE = 0.01
"""Share by which the synthetic rows may be more than was asked for: rounding."""

LABEL_BAND = 0.1
"""How far the mean label may be from that of the real rows."""

MOST_TOLD_APART = 0.9
"""Area under the ROC curve above which synthetic rows are easily told from real ones."""

MOMENT = "make_timestamp(CAST(? AS BIGINT))"


@dg.asset_check(asset=MODEL, description="The VAE's latents say something of the rows.")
def posterior_has_not_collapsed(shop: ShopParam) -> dg.AssetCheckResult:
    from fashionrec_assets.synthesis.conditional_vae import RowVae

    posterior = RowVae.load(shop.current(MODEL)).posterior
    return warn(
        not posterior.collapsed, posterior.words, active=posterior.active, latent=posterior.latent, kl=posterior.kl
    )


@dg.asset_check(asset=SAMPLES, blocking=True, description="There are no more synthetic rows than were asked for.")
def synthetic_rows_keep_to_the_degree(shop: ShopParam) -> dg.AssetCheckResult:
    asked, real = chosen_augmentation(shop).degree, len(SynthesisInputs.of(shop).rows)
    with shop.warehouse.reader() as connection:
        made = one_row(connection, "SELECT count(*) FROM vae_synthetic_samples")[0]
    degree = made / real if real else 0.0
    return error(
        made <= asked * real * (1 + TOLERANCE) + 1,
        f"{made} synthetic rows for {real} real ones ({degree:.3f} each), {asked:g} asked for",
        degree=degree,
        asked_for=asked,
    )


@dg.asset_check(
    asset=SAMPLES, description=f"Labels lie in [0, 1], with a mean at most {LABEL_BAND} from the real rows'."
)
def pseudo_labels_are_balanced(shop: ShopParam) -> dg.AssetCheckResult:
    real = float(SynthesisInputs.of(shop).rows.labels.mean())
    with shop.warehouse.reader() as connection:
        made, mean, outside = one_row(
            connection,
            "SELECT count(*), coalesce(avg(label), 0), count(*) FILTER (NOT label BETWEEN 0 AND 1) "
            "FROM vae_synthetic_samples",
        )
    return warn(
        made == 0 or (outside == 0 and abs(mean - real) <= LABEL_BAND),
        f"mean label {mean:.3f} of synthetic rows, {real:.3f} of real ones; {outside} outside [0, 1]",
        synthetic=mean,
        real=real,
        outside=outside,
    )


@dg.asset_check(
    asset=SAMPLES,
    blocking=True,
    description="No synthetic row is a pair that its user has before the test days, or repeats its source's item.",
)
def no_synthetic_row_is_a_copy(shop: ShopParam) -> dg.AssetCheckResult:
    with shop.warehouse.reader() as connection:
        made, pairs, items = one_row(
            connection,
            f"""
            WITH known AS (SELECT DISTINCT user_id, item_id FROM read_parquet(?) WHERE ts < {MOMENT})
            SELECT count(*), count(*) FILTER (known.user_id IS NOT NULL),
                   count(*) FILTER (made.item_id = made.source_item_id)
            FROM vae_synthetic_samples made LEFT JOIN known USING (user_id, item_id)
            """,
            [str(interactions_file(shop)), cuts(shop).test * 1_000_000],
        )
    return error(
        pairs == 0 and items == 0,
        f"{made} synthetic rows, {pairs} of them pairs of the log, {items} with their source's item",
        pairs_of_the_log=pairs,
        items_of_the_source=items,
    )


@dg.asset_check(
    asset=SAMPLES,
    blocking=True,
    description="Synthetic rows are about users and items of before the test days, and made of rows of before them.",
)
def no_synthetic_row_is_of_the_future(shop: ShopParam) -> dg.AssetCheckResult:
    cut = cuts(shop).test * 1_000_000
    with shop.warehouse.reader() as connection:
        items, users, sources = one_row(
            connection,
            f"""
            WITH known AS (SELECT DISTINCT user_id, item_id FROM read_parquet(?) WHERE ts < {MOMENT})
            SELECT
                count(*) FILTER (
                    items.launched_at >= {MOMENT} AND made.item_id NOT IN (SELECT item_id FROM known)
                ),
                count(*) FILTER (made.user_id NOT IN (SELECT user_id FROM known)),
                count(*) FILTER (made.source_ts >= {MOMENT})
            FROM vae_synthetic_samples made LEFT JOIN items USING (item_id)
            """,
            [str(interactions_file(shop)), cut, cut, cut],
        )
    return error(
        items == users == sources == 0,
        f"{items} rows about items launched later, {users} about users without an event before, {sources} with a later "
        "source",
        future_items=items,
        future_users=users,
        future_sources=sources,
    )


@dg.asset_check(
    asset=SAMPLES,
    description=f"A classifier does not tell synthetic rows from real ones with an area above {MOST_TOLD_APART}.",
)
def synthetic_rows_are_not_told_from_real_ones(shop: ShopParam) -> dg.AssetCheckResult:
    from fashionrec_assets.synthesis.quality import measure

    inputs = SynthesisInputs.of(shop)
    made = synthetic_rows(shop, inputs.log, inputs.rows)
    unknown = int((made.sources < 0).sum())
    if unknown:
        return warn(False, f"{unknown} rows are of no real row: materialize {SAMPLES} again", unknown_sources=unknown)
    found = measure(made, inputs.rows, inputs.content, seed=shop.settings.seed)
    if found.auc is None:
        return warn(True, f"{len(made)} rows are too few to tell")
    return warn(
        found.auc <= MOST_TOLD_APART,
        f"area under the ROC curve {found.auc:.3f}; the nearest real row is {found.distance_ratio or 0:.2f} times as "
        "far as that of a real row",
        auc=found.auc,
        distance_ratio=found.distance_ratio,
    )


CHECKS = [
    posterior_has_not_collapsed,
    synthetic_rows_keep_to_the_degree,
    pseudo_labels_are_balanced,
    no_synthetic_row_is_a_copy,
    no_synthetic_row_is_of_the_future,
    synthetic_rows_are_not_told_from_real_ones,
    *table_checks(VAE_SYNTHETIC_SAMPLES, SAMPLES),
]

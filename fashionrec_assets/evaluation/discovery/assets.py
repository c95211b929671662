"""The asset of the discovery report."""

from __future__ import annotations

import dagster as dg
import pyarrow as pa

from fashionrec_assets.evaluation.discovery.tables import DISCOVERY_REPORT
from fashionrec_assets.evaluation.published import publish_figures
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import one_row, replace_rows

DISCOVERY = Stage(
    "discovery_report",
    "report",
    version="1",
    settings=(
        "styles.picks",
        "styles.per_style",
        "styles.candidates",
        "styles.rare_share",
        "styles.exploration",
        "styles.report_users",
        "recommendations.diversity",
        "ranking",
        "evaluation.bootstrap",
        "evaluation.target_behaviours",
        "seed",
    ),
)


@dg.asset(
    **asset_spec(
        DISCOVERY,
        group="evaluation",
        deps=[
            "styles",
            "style_discovery",
            "homepage",
            "two_tower_model",
            "late_fusion_model",
            "interactions",
            "users",
            "splits",
            "items",
        ],
        kinds={"duckdb", "python"},
        tables=[DISCOVERY_REPORT],
    )
)
def discovery_report(shop: ShopParam) -> dg.MaterializeResult:
    """What diversity and exploration cost on the held-out test days, and whether styles are what their names say."""
    with shop.stage(DISCOVERY) as run:
        page = shop.reports / "discovery.html"
        plan = run.plan_whole(
            {
                **{name: shop.version(name) for name in ("interactions_file", "users_file", "late_fusion_model")},
                **{name: shop.digest(name) for name in ("splits", "items", "styles.tables")},
                "two_tower_model": shop.model_id("two_tower_model"),
            },
            exists=page.exists(),
        )
        if plan.todo:
            from fashionrec_assets.evaluation.discovery.inputs import measure_discovery
            from fashionrec_assets.evaluation.discovery.page import discovery_page
            from fashionrec_assets.evaluation.render import write_page

            report = measure_discovery(shop, run.progress)
            write_page(discovery_page(report), shop.reports, "discovery")
            publish_figures(shop.reports, "discovery", report.figures())
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, DISCOVERY_REPORT, pa.Table.from_pylist(report.records()))
        with shop.warehouse.reader() as connection:
            curves = connection.execute(
                'SELECT dial, "at", in_force, metric, round(value, 4) AS value, round(low, 4) AS low, '
                "round(high, 4) AS high FROM discovery_report WHERE metric IN "
                "('ndcg', 'chance', 'diversity', 'style_novelty', 'relevance') ORDER BY dial, metric, \"at\""
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM discovery_report")[0]
        return materialized(
            run,
            rows=count,
            curves=table_of(curves.to_dict("records")),
            report=dg.MetadataValue.md((shop.reports / "discovery.md").read_text("utf-8")),
            page=dg.MetadataValue.path(page.resolve()),
        )

"""The asset that measures matching recommendations.

Belongs here: gathering, one call, writing. Does not belong here: measuring and layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from fashionrec_assets.catalog.reading import cuts, event_log, launched
from fashionrec_assets.evaluation.outfits.tables import OUTFIT_REPORT
from fashionrec_assets.evaluation.published import publish_figures
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.warehouse import one_row, replace_rows

if TYPE_CHECKING:
    from fashionrec_assets.evaluation.outfits.report import OutfitReport

STAGE = Stage("outfit_report", "report", version="1", settings=("outfits", "evaluation.bootstrap", "seed"))
PAGE = "outfits"


@dg.asset(
    **asset_spec(
        STAGE,
        group="evaluation",
        deps=["outfits", "items", "interactions", "users", "splits", "text_embeddings", "image_embeddings"],
        kinds={"duckdb", "python"},
        tables=[OUTFIT_REPORT],
    )
)
def outfit_report(shop: ShopParam) -> dg.MaterializeResult:
    """How well the outfit model completes the baskets of the test days, beside counts and popularity."""
    from fashionrec_assets.evaluation.outfits.page import outfit_page
    from fashionrec_assets.evaluation.render import write_page

    with shop.stage(STAGE) as run:
        page = shop.reports / f"{PAGE}.html"
        plan = run.plan_whole(
            {
                **{name: shop.version(name) for name in ("interactions_file", "users_file")},
                **{name: shop.digest(name) for name in ("splits", "items", "text_embeddings", "image_embeddings")},
            },
            exists=page.exists(),
        )
        if plan.todo:
            report = _measured(shop, run)
            write_page(outfit_page(report), shop.reports, PAGE)
            publish_figures(shop.reports, PAGE, report.flat())
            names, records = OUTFIT_REPORT.column_names, report.records()
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                rows = pa.table({name: [record[name] for record in records] for name in names})
                replace_rows(connection, OUTFIT_REPORT, rows)
        with shop.warehouse.reader() as connection:
            figures = connection.execute(
                "SELECT setting, method, round(value, 4) AS 'Recall@10', round(low, 4) AS low, round(high, 4) AS high, "
                "round(ahead, 4) AS 'model ahead by', round(ahead_low, 4) AS 'at least', "
                "round(ahead_high, 4) AS 'at most', baskets "
                "FROM outfit_report WHERE metric = 'recall' ORDER BY setting, value DESC"
            ).fetch_df()
            count = one_row(connection, "SELECT count(*) FROM outfit_report")
        return materialized(
            run,
            rows=count[0],
            completion=table_of(figures.astype(object).where(figures.notna(), None).to_dict("records")),
            report=dg.MetadataValue.md((shop.reports / f"{PAGE}.md").read_text("utf-8")),
            page=dg.MetadataValue.path(page.resolve()),
        )


def _measured(shop: Shop, run: StageRun) -> OutfitReport:
    from fashionrec_assets.evaluation.outfits.report import measure
    from fashionrec_assets.recommendations.outfits.reading import wardrobe

    settings = shop.settings
    return measure(
        event_log(shop),
        wardrobe(shop),
        cuts(shop),
        launched(shop),
        settings.outfits,
        draws=settings.evaluation.bootstrap,
        seed=settings.seed,
        progress=run.progress,
    )

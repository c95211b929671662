"""The asset of the report on explanations.

Belongs here: reading, one call, writing, and what the UI shows. Does not belong here: measuring, layout.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from fashionrec_assets.evaluation.explanations.tables import EXPLANATION_HISTORY, EXPLANATION_REPORT
from fashionrec_assets.evaluation.published import publish_figures
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.tables import Table
from fashionrec_assets.storage.warehouse import insert_rows, one_row, replace_rows

if TYPE_CHECKING:
    from fashionrec_assets.evaluation.explanations.report import ExplanationReport

REPORT = Stage(
    "explanation_report",
    "report",
    version="1",
    settings=("feedback", "explanations", "evaluation.bootstrap", "seed"),
)
STEM = "explanations"


@dg.asset(
    **asset_spec(
        REPORT,
        group="evaluation",
        deps=[
            "explanations",
            "homepage",
            "outfits",
            "style_discovery",
            "explanation_strategies",
            "late_fusion_model",
            "items",
        ],
        kinds={"duckdb", "python"},
        tables=[EXPLANATION_REPORT, EXPLANATION_HISTORY],
    )
)
def explanation_report(shop: ShopParam) -> dg.MaterializeResult:
    """Whether published explanations are true, name what decided, and read well; and what answers to them teach."""
    with shop.stage(REPORT) as run:
        page = shop.reports / f"{STEM}.html"
        stages = ("explanations", "homepage", "outfits", "style_discovery", "explanation_strategies")
        plan = run.plan_whole(
            {**{name: shop.digest(name) for name in stages}, "ranker": shop.version("late_fusion_model")},
            exists=page.exists(),
        )
        if plan.todo:
            report = _measure(shop, run, plan.code_fp)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, EXPLANATION_REPORT, _rows(EXPLANATION_REPORT, report.records()))
                insert_rows(connection, EXPLANATION_HISTORY, _rows(EXPLANATION_HISTORY, report.latest()))
        with shop.warehouse.reader() as connection:
            found = connection.execute(
                "SELECT surface, figure, round(value, 4) AS value, round(low, 4) AS low, round(high, 4) AS high "
                "FROM explanation_report ORDER BY surface <> 'all', surface, figure"
            ).fetch_df()
            count, runs = one_row(
                connection,
                "SELECT (SELECT count(*) FROM explanation_report), count(DISTINCT run_at) FROM explanation_history",
            )
        return materialized(
            run,
            rows=count,
            runs=runs,
            figures=table_of(found.to_dict("records")),
            report=dg.MetadataValue.md((shop.reports / f"{STEM}.md").read_text("utf-8")),
            page=dg.MetadataValue.path(str(page.resolve())),
        )


def _measure(shop: Shop, run: StageRun, settings: str) -> ExplanationReport:
    """Measure, and write the page and the figures."""
    from fashionrec_assets.evaluation.explanations.inputs import measured
    from fashionrec_assets.evaluation.explanations.page import explanation_page
    from fashionrec_assets.evaluation.render import write_page

    report = measured(shop, datetime.now(UTC).replace(tzinfo=None), settings, run.progress)
    write_page(explanation_page(report, shop.settings.source), shop.reports, STEM)
    publish_figures(shop.reports, STEM, report.published())
    return report


def _rows(table: Table, records: list[dict[str, object]]) -> pa.Table:
    return pa.table({name: [record[name] for record in records] for name in table.column_names})

"""The code location: every asset, check, job and schedule, bound to one shop.

Belongs here: assembling. Does not belong here: any asset, check or job (each room's `assets.py` and `checks.py`, and
`automation.py`). Importing this module loads no model library: assets import those when they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from fashionrec_assets import automation
from fashionrec_assets.catalog import assets as catalog_assets
from fashionrec_assets.catalog import checks as catalog_checks
from fashionrec_assets.crops import assets as crop_assets
from fashionrec_assets.crops import checks as crop_checks
from fashionrec_assets.descriptions import assets as description_assets
from fashionrec_assets.descriptions import checks as description_checks
from fashionrec_assets.embeddings import assets as embedding_assets
from fashionrec_assets.embeddings import checks as embedding_checks
from fashionrec_assets.evaluation import assets as evaluation_assets
from fashionrec_assets.evaluation import checks as evaluation_checks
from fashionrec_assets.evaluation.assistant import assets as assistant_report_assets
from fashionrec_assets.evaluation.assistant import checks as assistant_report_checks
from fashionrec_assets.evaluation.discovery import assets as discovery_assets
from fashionrec_assets.evaluation.discovery import checks as discovery_checks
from fashionrec_assets.evaluation.explanations import assets as explanation_report_assets
from fashionrec_assets.evaluation.explanations import checks as explanation_report_checks
from fashionrec_assets.evaluation.outfits import assets as outfit_report_assets
from fashionrec_assets.evaluation.outfits import checks as outfit_report_checks
from fashionrec_assets.index import assets as index_assets
from fashionrec_assets.index import checks as index_checks
from fashionrec_assets.lookbook import assets as lookbook_assets
from fashionrec_assets.lookbook import checks as lookbook_checks
from fashionrec_assets.promotion import assets as promotion_assets
from fashionrec_assets.promotion import checks as promotion_checks
from fashionrec_assets.ranking import assets as ranking_assets
from fashionrec_assets.ranking import checks as ranking_checks
from fashionrec_assets.recommendations import assets as recommendation_assets
from fashionrec_assets.recommendations import checks as recommendation_checks
from fashionrec_assets.recommendations.explanations import assets as explanation_assets
from fashionrec_assets.recommendations.explanations import checks as explanation_checks
from fashionrec_assets.recommendations.feedback import assets as answer_assets
from fashionrec_assets.recommendations.feedback import checks as answer_checks
from fashionrec_assets.recommendations.outfits import assets as outfit_assets
from fashionrec_assets.recommendations.outfits import checks as outfit_checks
from fashionrec_assets.recommendations.styles import assets as style_assets
from fashionrec_assets.recommendations.styles import checks as style_checks
from fashionrec_assets.resources import ray_cluster, redaction
from fashionrec_assets.resources.compute import compute_of
from fashionrec_assets.resources.glue import TRAINING_TAG
from fashionrec_assets.resources.lease import lease_of_run
from fashionrec_assets.resources.retries import retry_of
from fashionrec_assets.resources.shop import Reporter, Shop
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import AutomationSettings, Settings
from fashionrec_assets.synthesis import assets as synthesis_assets
from fashionrec_assets.synthesis import checks as synthesis_checks
from fashionrec_assets.towers import assets as tower_assets
from fashionrec_assets.towers import checks as tower_checks
from fashionrec_assets.towers.ncf import assets as ncf_assets
from fashionrec_assets.towers.ncf import checks as ncf_checks

ASSET_MODULES = (
    catalog_assets,
    crop_assets,
    description_assets,
    embedding_assets,
    synthesis_assets,
    tower_assets,
    ncf_assets,
    index_assets,
    ranking_assets,
    recommendation_assets,
    style_assets,
    outfit_assets,
    explanation_assets,
    answer_assets,
    evaluation_assets,
    assistant_report_assets,
    discovery_assets,
    outfit_report_assets,
    explanation_report_assets,
    promotion_assets,
    lookbook_assets,
)
CHECK_MODULES = (
    catalog_checks,
    crop_checks,
    description_checks,
    embedding_checks,
    synthesis_checks,
    tower_checks,
    ncf_checks,
    index_checks,
    ranking_checks,
    recommendation_checks,
    style_checks,
    outfit_checks,
    explanation_checks,
    answer_checks,
    evaluation_checks,
    assistant_report_checks,
    discovery_checks,
    outfit_report_checks,
    explanation_report_checks,
    promotion_checks,
    lookbook_checks,
)


def open_shop(settings: Settings, reporter: Reporter | None = None, *, rebuild: bool = False, **more: Any) -> Shop:
    """The shop of `settings`, with every table of the lineage declared; `more` are further arguments of `Shop`."""
    return Shop(settings, TABLES, reporter, rebuild=rebuild, **more)


def _executor(settings: AutomationSettings) -> dg.ExecutorDefinition:
    if settings.executor == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {
            # 0 means one for each core.
            "max_concurrent": settings.max_concurrent or 0,
            "tag_concurrency_limits": [{"key": TRAINING_TAG, "value": "true", "limit": 1}],
        }
    )


def build_definitions(
    settings: Settings | None = None, reporter: Reporter | None = None, ray: Any = None
) -> dg.Definitions:
    """The definitions for one shop; `settings` default to `Settings.load()`.

    `ray`: a resource of dagster-ray, such as its `KubeRayCluster`, whose cluster the stages compute on in place of the
    one that the settings name, where `compute.engine` is ray.
    """
    chosen = settings or Settings.load()
    clusters = ray_cluster.resources_of(chosen.compute, ray)

    def shop(context: dg.InitResourceContext) -> Iterator[Shop]:
        tags, run_id = ({}, None) if context.run is None else (context.run.tags, context.run.run_id)
        with lease_of_run(context, chosen):
            opened = open_shop(
                chosen,
                reporter,
                rebuild=tags.get(automation.REBUILD_TAG) == "true",
                retrain=tags.get(automation.RETRAIN_TAG) == "true",
                retry=retry_of(chosen.automation, context.instance, run_id),
                compute=compute_of(chosen.compute, ray_cluster.connector(context)),
            )
            yield opened
            opened.close()

    return dg.Definitions(
        assets=automation.automated(dg.load_assets_from_modules(ASSET_MODULES), chosen.automation),
        asset_checks=[check for module in CHECK_MODULES for check in module.CHECKS],
        jobs=automation.JOBS,
        schedules=automation.schedules_of(chosen),
        sensors=automation.sensors_of(chosen),
        resources={
            **clusters,
            "shop": dg.ResourceDefinition(
                resource_fn=shop,
                description="Settings and storage of the shop",
                required_resource_keys=set(clusters),
            ),
        },
        executor=_executor(chosen.automation),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    redaction.install()
    return build_definitions()

"""What a release holds and what it says it was made from.

Belongs here: which files of the lineage go into a release, and its provenance. Does not belong here: folders and links
(`storage/releases.py`), comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

from fashionrec_assets.catalog.reading import cuts, items_file
from fashionrec_assets.catalog.tables import ITEMS
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.recommendations.explanations.tables import EXPLANATIONS
from fashionrec_assets.recommendations.outfits.tables import COMPLEMENTS, OUTFITS
from fashionrec_assets.recommendations.styles.tables import ITEM_STYLES, STYLE_PICKS, STYLES, USER_STYLES
from fashionrec_assets.recommendations.tables import BUSINESS_RULES, HOMEPAGE, POPULAR_ITEMS, SIMILAR_ITEMS
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.release_notes import Provenance, Release, TableNote
from fashionrec_assets.storage.releases import names_of
from fashionrec_assets.storage.tables import Table

PRODUCTS = (
    HOMEPAGE,
    POPULAR_ITEMS,
    SIMILAR_ITEMS,
    STYLES,
    ITEM_STYLES,
    USER_STYLES,
    STYLE_PICKS,
    OUTFITS,
    COMPLEMENTS,
    EXPLANATIONS,
    BUSINESS_RULES,
)
"""The tables of a release; with the items they name they are all that an application reads."""

STAGES = (
    "items",
    "business_rules",
    "homepage",
    "similar_items",
    "styles",
    "styles.tables",
    "style_discovery",
    "outfits",
    "explanations",
)
"""Stages whose data versions a release is made from."""

COMPARED = ("two_tower_model", "late_fusion_model")
"""The models that the frozen slice judges: where they are the same, only data were refreshed."""
ENCODERS = {"text": "text_model", "image": "clip_model"}
"""By modality, the model whose vectors a release keeps."""
STORES = {"text": TEXT_STORE, "image": IMAGE_STORE}
KEPT_MODELS = (*COMPARED, "outfit_model", "styles")
"""Models whose files are in a release. That of NCF is not: no page is made with it, and it holds users' ids."""

ITEM_FILE = "tables/items.parquet"
_FIGURES = ("late_fusion", "two_tower", "popularity", "blend")
_SETTINGS = {
    "source",
    "preset",
    "seed",
    "catalog",
    "splits",
    "crops",
    "descriptions",
    "clip",
    "text",
    "tokens",
    "synthesis",
    "two_tower",
    "index",
    "ranking",
    "recommendations",
    "explanations",
    "outfits",
    "styles",
    "evaluation",
}
"""Branches of the settings that are kept: those that can change what is shown, and no path or address."""


@dataclass(frozen=True)
class Content:
    """Arguments of `Releases.add`."""

    files: dict[str, Path]
    tables: dict[str, TableNote]
    made_from: Provenance


def compared(release: Release) -> dict[str, str]:
    """The ids of the models of a release that the frozen slice judges."""
    return {name: release.models.get(name, "") for name in COMPARED}


def sources(shop: Shop) -> dict[str, dict[str, str]]:
    """What a release is made from: data versions, fingerprints of code, and ids of models; in one look at the ledger.

    Raises LookupError if one of them was never made.
    """
    models = (*COMPARED, *ENCODERS.values(), "outfit_model", "styles", "faiss_index", "ncf_model")
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT stage, sha256(coalesce(string_agg(key || ':' || output_fp, '|' ORDER BY key), '')), "
            "string_agg(DISTINCT code_fp, '|' ORDER BY code_fp), any_value(output_fp) FROM ledger "
            "WHERE stage IN (SELECT unnest(?)) GROUP BY stage ORDER BY stage",
            [[*STAGES, *models]],
        ).fetchall()
    found = {stage: (made, code, output) for stage, made, code, output in rows}
    for name in (*STAGES, *COMPARED, "faiss_index"):
        if name not in found:
            raise LookupError(f"{name} has not been made yet in {shop.home}: run `fashionrec run`, or materialize it.")
    return {
        "stages": {name: found[name][0] for name in STAGES},
        "code": {name: found[name][1] for name in (*STAGES, *models) if name in found},
        "models": {name: found[name][2].split(".")[0] for name in models if name in found},
    }


def gather(shop: Shop, found: dict[str, dict[str, str]]) -> Content:
    """The content of a release of the lineage as it is; `found` are its `sources`.

    Raises LookupError, or ArtifactMissingError, with the remedy, for what is not there.
    """
    # Rules are no product of their own, but unknown shoppers' pages keep within them.
    shop.export(BUSINESS_RULES)
    files = {_file(table): shop.exports / f"{table.name}.parquet" for table in PRODUCTS}
    for table in PRODUCTS:
        if not files[_file(table)].exists():
            raise LookupError(f"{files[_file(table)]} is missing: materialize the asset that publishes it again.")
    files[ITEM_FILE] = items_file(shop)
    files |= names_of(shop.current("faiss_index"), "index")
    for name in KEPT_MODELS:
        files |= names_of(shop.current(name), f"models/{name}")
    for store in STORES.values():
        files |= names_of(shop.home / "stores" / store, f"vectors/{store}")
    tables = {table.name: _note(table) for table in PRODUCTS}
    tables[ITEMS.name] = TableNote(file=ITEM_FILE, items=("item_id",))
    return Content(files, tables, _provenance(shop, found))


def _file(table: Table) -> str:
    return f"tables/{table.name}.parquet"


def _note(table: Table) -> TableNote:
    people, where = ("user_id" if "user_id" in table.column_names else None), dict[str, tuple[str, ...]]()
    if table.name == EXPLANATIONS.name:
        # Of an outfit the subject is an item, and ids of items and of users may be the same.
        people, where = "subject", {"surface": ("homepage", "style")}
    items = tuple(key.column for key in table.foreign_keys if key.table == ITEMS.name)
    return TableNote(file=_file(table), items=items, people=people, people_where=where)


def _provenance(shop: Shop, found: dict[str, dict[str, str]]) -> Provenance:
    settings = shop.settings.model_dump(mode="json", include=_SETTINGS)
    figures = published_figures(shop.reports)
    wanted = [f"ranking.{method}.{metric}@20" for method in _FIGURES for metric in ("ndcg", "recall")]
    names = [name + end for name in wanted for end in ("", ".low", ".high")]
    return Provenance(
        stages=found["stages"],
        code=found["code"],
        models=found["models"],
        cut=cuts(shop).test,
        package=installed("fashionrec_assets"),
        settings_digest=digest(settings),
        settings=settings,
        figures={name: figures[name] for name in names if name in figures},
    )

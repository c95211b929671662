"""The asset: when it is made again, and what its checks find. What it shows is put in its hands."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from fashionrec_assets.lookbook import content
from fashionrec_assets.lookbook.assets import lookbook
from fashionrec_assets.lookbook.checks import CHECKS
from fashionrec_assets.lookbook.content import Content
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.schema import TABLES
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import LEDGER, WHOLE
from fashionrec_assets.storage.warehouse import upsert_rows
from fashionrec_assets_tests.lookbook.book import CONTENT


def made(shop: Shop, stage: str, output: str) -> None:
    """Say that `stage` made `output`."""
    entry = {"stage": [stage], "key": [WHOLE], "input_fp": [""], "code_fp": [""], "output_fp": [output]}
    with shop.warehouse.writer() as connection:
        upsert_rows(connection, LEDGER, pa.table(entry))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(Settings.load(home=tmp_path / "home", raw=tmp_path, storage={"buckets": 2, "threads": 1}), TABLES)
    for name in ("late_fusion_model", "two_tower_model", "faiss_index", "interactions_file", "homepage"):
        made(shop, name, "1")

    def gathered(shop: Shop, progress: object) -> Content:
        return CONTENT

    monkeypatch.setattr(content, "gather", gathered)
    return shop


def run(shop: Shop, expected: bool = True) -> tuple[dict[str, object], dict[str, bool]]:
    """The asset's metadata, and what its checks say."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [lookbook, *CHECKS], resources={"shop": shop}, instance=instance, raise_on_error=expected
        )
    (event,) = result.asset_materializations_for_node("lookbook")
    checks = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    return {name: value.value for name, value in event.metadata.items()}, checks


def test_it_is_made_once_and_again_when_what_it_shows_changes(shop: Shop) -> None:
    first, checks = run(shop)
    index = shop.reports / "lookbook" / "index.html"
    assert (first["new"], first["pages"]) == (1, len(list(index.parent.rglob("*.html"))))
    assert first["page"] == str(index.resolve())
    assert checks == {"pages_stand_on_their_own": True, "pages_are_small": True}
    written = index.stat().st_mtime_ns
    again, _ = run(shop)
    assert again["reused"] == 1 and index.stat().st_mtime_ns == written
    made(shop, "homepage", "2")
    assert run(shop)[0]["stale"] == 1 and index.stat().st_mtime_ns > written


def test_it_is_made_again_when_a_report_says_something_else_or_the_site_is_gone(shop: Shop) -> None:
    run(shop)
    shop.reports.joinpath("ranking.html").write_text("<p>", "utf-8")
    shop.reports.joinpath("ranking.md").write_text("# Ranking\n\nIs it good?\n\n- **Yes**: it is.\n", "utf-8")
    assert run(shop)[0]["stale"] == 1
    (shop.reports / "lookbook" / "index.html").unlink()
    assert run(shop)[0]["stale"] == 1
    assert run(shop)[0]["reused"] == 1


def test_the_checks_find_what_is_wrong(shop: Shop) -> None:
    run(shop)
    page = shop.reports / "lookbook" / "looks.html"
    page.write_text(page.read_text("utf-8") + '<img src="https://example.org/a.png">' + " " * 1_000_000, "utf-8")
    _, checks = run(shop, expected=False)
    assert checks == {"pages_stand_on_their_own": False, "pages_are_small": False}

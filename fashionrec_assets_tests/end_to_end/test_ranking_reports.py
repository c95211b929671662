"""Further training runs in the ranking report, and the ablations: trained once, and again only when they must be."""

from __future__ import annotations

from fashionrec_assets.evaluation.ablation_inputs import work_folder
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets_tests.end_to_end.place import SMALL, Place

BOTH = "key:ranking_ablations or key:ranking_report"


def changed(**evaluation: object) -> dict[str, object]:
    return {**SMALL["evaluation"], **evaluation}


def runs(place: Place) -> dict[str, int]:
    """Further training runs that are kept, and when each was written."""
    folder = place.home / "artifacts" / "two_tower_seeds"
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_ablations_are_off_where_the_setting_says_so(place: Place) -> None:
    assert "switched off" in (place.home / "reports" / "ablations.html").read_text("utf-8")
    with place.shop().warehouse.reader() as connection:
        assert connection.execute("SELECT count(*) FROM ranking_ablations").fetchone() == (0,)


def test_seeds_and_ablations_are_trained_once(place: Place) -> None:
    wanted = changed(seeds=2, ablations="default", ablation_epochs=1, ablation_users=40)
    result = place.run(select=BOTH, evaluation=wanted)
    assert result.success, result.errors
    shop = place.shop()
    with shop.warehouse.reader() as connection:
        rows = connection.execute(
            "SELECT variant, judgement, train_seconds FROM ranking_ablations WHERE metric = 'ndcg'"
        ).fetchall()
    variants = {row[0]: row[1] for row in rows}
    assert variants["reference"] == "reference"
    assert {"fusion=mean", "loss=bpr", "no_text", "only_id", "session=off"} <= set(variants)
    assert set(variants.values()) <= {"reference", "pays", "harms", "cannot_tell"}
    assert all(row[2] > 0 for row in rows)
    assert not work_folder(shop).exists()
    figures = published_figures(place.home / "reports")
    assert figures["ranking.two_tower.seeds.ndcg@20.runs"] == 2
    assert 0 < figures["ablations.default.reference.ndcg@20"] < 1
    assert "What item vectors are made of" in (place.home / "reports" / "ranking.html").read_text("utf-8")
    kept = runs(place)
    assert len(kept) == 1

    again = place.run(select=BOTH, evaluation=wanted)
    assert again.assets["ranking_ablations"].reused == 1
    assert again.assets["ranking_report"].reused == 1

    # Another resampling makes both reports again, and trains no further run of the model that is served.
    other = place.run(select="key:ranking_report", evaluation={**wanted, "bootstrap": 60})
    assert other.success, other.errors
    assert other.assets["ranking_report"].stale == 1
    assert runs(place) == kept

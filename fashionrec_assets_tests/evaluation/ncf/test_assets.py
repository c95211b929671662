"""The asset and its checks, with the study of a fake trainer in the place of the shop's own."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import dagster as dg
import pytest

from fashionrec_assets.definitions import build_definitions, open_shop
from fashionrec_assets.evaluation.assets import NCF, NCF_PLANNED, ncf_ablations
from fashionrec_assets.evaluation.checks import CHECKS, ncf_ablations_complete, vae_pays
from fashionrec_assets.evaluation.ncf.study import work_folder
from fashionrec_assets.evaluation.published import published_figures
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.evaluation.ncf.study_shop import FakeTrainer, study


class Place:
    """A shop with an NCF model, and what the study of it is."""

    def __init__(self, home, monkeypatch):
        self.home, self.model, self.studies, self.trainer = home, "m1", 0, FakeTrainer()
        module = ModuleType("fashionrec_assets.evaluation.ncf.inputs")
        module.measure_ncf = self.measure
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(Shop, "model_id", lambda shop, name: f"{name} {self.model}")

    def measure(self, shop, progress):
        self.studies += 1
        progress(1, 2)
        chosen = shop.settings.evaluation
        return study(work_folder(shop.home), self.trainer, ncf_experiments=chosen.ncf_experiments, users=60)[0]

    def shop(self, experiments=(2, 3)):
        return open_shop(Settings.load(home=self.home, evaluation={"ncf_experiments": experiments, "k": (5, 10)}))

    def materialize(self, shop):
        checks = [one for one in CHECKS if any(key.asset_key == ncf_ablations.key for key in one.check_keys)]
        resources = {"shop": dg.ResourceDefinition.hardcoded_resource(shop)}
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([ncf_ablations, *checks], instance=instance, resources=resources)
        found = {one.check_name: one for one in result.get_asset_check_evaluations()}
        assert set(found) == {"vae_pays", "ncf_ablations_complete", "ncf_ablations_keeps_its_contract"}
        return result.asset_materializations_for_node("ncf_ablations")[0].metadata, found


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


def test_the_study_is_written_published_and_not_repeated(place):
    shop = place.shop()
    metadata, checks = place.materialize(shop)
    assert all(one.passed for one in checks.values())
    assert metadata["dagster/row_count"].value > 100
    assert "pay in 4 of 4" in checks["vae_pays"].description
    page = (shop.reports / "ncf_ablations.html").read_text("utf-8")
    assert "Open question 3" in page
    assert (shop.reports / "ncf_ablations.effects.png").exists()
    figures = published_figures(shop.reports)
    assert 0 < figures["ncf_ablations.default.fusion=intermediate.overall.ndcg@10"] < 1
    assert not work_folder(shop.home).exists(), "the report is made: its parts are no longer needed"
    again, _ = place.materialize(shop)
    assert (again["new"].value, again["stale"].value, again["reused"].value) == (0, 0, 1)
    assert place.studies == 1
    place.model = "m2"
    place.materialize(shop)
    assert place.studies == 2


def test_experiments_are_a_setting_that_counts(place):
    place.materialize(place.shop((1,)))
    place.materialize(place.shop((0, 1)))
    assert place.studies == 2
    assert {"ncf", "synthesis", "seed", "evaluation.ncf_grid", "evaluation.ncf_seeds"} <= set(NCF.settings)


def test_without_experiments_the_page_says_so(place):
    place.materialize(place.shop((3,)))
    shop = place.shop(())
    metadata, checks = place.materialize(shop)
    assert metadata["dagster/row_count"].value == 0
    assert "switched off" in (shop.reports / "ncf_ablations.html").read_text("utf-8")
    assert all(one.passed for one in checks.values())
    assert not [key for key in published_figures(shop.reports) if key.startswith("ncf_ablations")]
    assert not (shop.reports / "ncf_ablations.effects.png").exists()
    assert place.studies == 1


def test_harm_is_warned_of(place):
    class Harmful(FakeTrainer):
        def noise(self, variant):
            return 0.4 if variant.augmentation is None else 2.0

    place.trainer = Harmful()
    result = place.materialize(place.shop((3,)))[1]["vae_pays"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "VAE samples (50" in result.description
    assert "synthesis.degree" in result.description


def test_a_lost_variant_is_an_error_and_one_left_out_is_not(place):
    place.trainer = FakeTrainer(left_out="attributes")
    shop = place.shop()
    _, checks = place.materialize(shop)
    assert checks["ncf_ablations_complete"].passed
    assert "1 left out" in checks["ncf_ablations_complete"].description
    with shop.warehouse.writer() as connection:
        connection.execute("DELETE FROM ncf_ablations WHERE variant = 'fusion=late'")
    result = ncf_ablations_complete(shop)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "fusion=late" in result.description and "attributes" not in result.description
    (shop.reports / NCF_PLANNED).unlink()
    assert "materialize ncf_ablations" in ncf_ablations_complete(shop).description
    assert vae_pays(shop).passed


def test_a_killed_study_leaves_its_parts(place):
    place.trainer = FakeTrainer(stop_after=4)
    shop = place.shop((3,))
    with pytest.raises(KeyboardInterrupt):
        place.materialize(shop)
    assert len(list(work_folder(shop.home).glob("*.json"))) >= 4
    assert not (shop.reports / "ncf_ablations.html").exists()
    place.trainer = FakeTrainer()
    place.materialize(shop)
    assert json.loads((shop.reports / NCF_PLANNED).read_text("utf-8"))["planned"]


def test_the_job_of_the_studies_trains_both(tmp_path):
    definitions = build_definitions(Settings.load(home=tmp_path))
    job = definitions.resolve_job_def("ablation_study")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
        "ranking_ablations",
        "ncf_ablations",
    }
    assert {"vae_pays", "ncf_ablations_complete"} <= {key.name for key in job.asset_layer.asset_graph.asset_check_keys}

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fashionrec_assets.evaluation.ablation_grid import REFERENCE, Variant, variants
from fashionrec_assets.evaluation.ablation_page import ablation_page, effects_picture, off_page
from fashionrec_assets.evaluation.ablations import AblationReport, effect_of, judge, judged, run_ablations
from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.render import html, markdown
from fashionrec_assets.evaluation.tables import RANKING_ABLATIONS
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.training import TrainingError
from fashionrec_assets_tests.evaluation.shop import random_tasks
from fashionrec_assets_tests.evaluation.test_ranking_report import Noisy
from fashionrec_assets_tests.evaluation.test_render import Outline

SETTINGS = TwoTowerSettings()
VIEWS = ("text", "image")


@pytest.fixture(scope="module")
def task():
    return random_tasks(4)[1]


class Trainer:
    """Photos help, InfoNCE helps too, sessions and everything else change nothing; it counts what it trained."""

    def __init__(self, task, diverges=None, stop_after=None):
        self.task, self.diverges, self.stop_after = task, diverges, stop_after
        self.trained = []

    def __call__(self, settings, seed):
        if self.stop_after is not None and len(self.trained) == self.stop_after:
            raise KeyboardInterrupt
        if settings.loss == self.diverges:
            raise TrainingError("the loss became nan")
        self.trained.append((settings, seed))
        noise = (0.5 if "image" in settings.modalities else 3.0) * (0.2 if settings.loss == "infonce" else 1.0)
        return Noisy.of(self.task, "two_tower", noise, seed)


def run(task, grid, work, trainer=None, seeds=(1,), **recipe):
    trainer = trainer or Trainer(task)
    found = run_ablations(task, grid, SETTINGS, trainer, seeds=seeds, k=10, work=work, recipe={"data": "a", **recipe})
    return (*found, trainer)


@pytest.fixture(scope="module")
def report(task, tmp_path_factory):
    grid = variants(SETTINGS, VIEWS, items=5_000)
    runs, notes, _ = run(task, grid, tmp_path_factory.mktemp("work"), seeds=(1, 2))
    return AblationReport(
        grid="default",
        k=10,
        start=task.start,
        end=task.end,
        users=int(task.has_history.sum()),
        cold_users=len(runs[REFERENCE][0].values["cold_recall"]),
        trained_on=30,
        events=300,
        epochs=2,
        ablations=judged(grid, runs, draws=200, seed=0),
        notes=tuple(notes),
    )


def test_the_grid_turns_each_choice_once():
    grid = {variant.name: variant for variant in variants(SETTINGS, VIEWS, items=5_000)}
    assert next(iter(grid)) == REFERENCE
    assert {"fusion=concat", "fusion=mean", "loss=infonce", "loss=bpr", "loss=gbce"} <= set(grid)
    assert {"negatives=uniform", "negatives=popularity", "only_text", "only_image", "only_id"} <= set(grid)
    assert {"no_text", "no_image", "no_id", "session=off"} <= set(grid)
    assert len({json.dumps(v.settings(SETTINGS).model_dump(mode="json")) for v in grid.values()}) == len(grid)
    assert grid["only_id"].settings(SETTINGS).modalities == ("id",)
    assert "image" not in grid["no_image"].settings(SETTINGS).modalities


def test_the_grid_follows_the_settings_in_force():
    turned = SETTINGS.model_copy(
        update={"loss": "bpr", "hard_negatives": 8, "session_aware": False, "uniform_negatives": 1.0}
    )
    grid = {variant.name: variant for variant in variants(turned, ["text"], items=5_000)}
    assert "loss=bpr" not in grid
    assert "loss=sampled_softmax" in grid
    assert grid["negatives=no_hard"].settings(turned).hard_negatives == 0
    assert not grid["negatives=no_hard"].adds
    assert grid["session=on"].adds
    assert "negatives=uniform" not in grid
    assert "no_image" not in grid, "a shop without photos has nothing to leave out"


def test_how_negatives_are_drawn_is_no_question_where_all_items_are():
    names = {variant.name for variant in variants(SETTINGS, VIEWS, items=SETTINGS.negatives)}
    assert not {"negatives=uniform", "negatives=popularity"} & names
    assert "negatives=hard" in names


def test_the_full_grid_adds_pairs():
    plain, full = variants(SETTINGS, VIEWS, items=5_000), variants(SETTINGS, VIEWS, "full", items=5_000)
    assert full[: len(plain)] == plain
    pair = next(variant for variant in full if variant.name == "fusion=mean+loss=bpr")
    chosen = pair.settings(SETTINGS)
    assert (chosen.fusion, chosen.loss, pair.axis) == ("mean", "bpr", "combination")


def test_what_helps_pays(report):
    found = {one.variant.name: one for one in report.ablations}
    assert found[REFERENCE].judgement == "reference"
    assert found["no_image"].judgement == "pays"
    assert found["no_image"].differences["ndcg"].high < 0
    assert found["loss=infonce"].judgement == "harms", "the loss in force is worse than the variant's"
    assert found["fusion=mean"].judgement == "cannot_tell"
    assert found["fusion=mean"].differences["ndcg"].value == 0
    assert found["no_image"].runs == 2
    assert found[REFERENCE].deviation > 0


def test_a_technique_that_only_the_variant_has_is_judged_the_other_way_round():
    gap = Interval(0.02, 0.01, 0.03)
    assert judge(Variant("v", "negatives", "With", "hard negatives", adds=True), gap) == "pays"
    assert judge(Variant("v", "negatives", "Without", "hard negatives"), gap) == "harms"
    assert effect_of(Variant("v", "negatives", "Without", "x"), gap) == Interval(-0.02, -0.03, -0.01)


def test_a_killed_run_goes_on_where_it_stopped(task, tmp_path):
    grid = variants(SETTINGS, VIEWS, items=5_000)
    with pytest.raises(KeyboardInterrupt):
        run(task, grid, tmp_path, Trainer(task, stop_after=3))
    again, _, trainer = run(task, grid, tmp_path)
    assert len(trainer.trained) == len(grid) - 3
    whole, _, _ = run(task, grid, tmp_path / "fresh")
    for name in whole:
        assert np.array_equal(again[name][0].values["ndcg"], whole[name][0].values["ndcg"])
    # Other data, and nothing of it counts.
    assert len(run(task, grid, tmp_path, data="b")[2].trained) == len(grid)


def test_progress_counts_models(task, tmp_path):
    grid, heard = variants(SETTINGS, VIEWS, items=5_000)[:3], []
    run_ablations(
        task,
        grid,
        SETTINGS,
        Trainer(task),
        seeds=(1, 2),
        k=10,
        work=tmp_path,
        recipe={},
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(number, 6) for number in range(1, 7)]


def test_a_variant_that_diverges_is_left_out_with_a_note(task, tmp_path):
    grid = variants(SETTINGS, VIEWS, items=5_000)
    runs, notes, _ = run(task, grid, tmp_path, Trainer(task, diverges="bpr"))
    assert "loss=bpr" not in runs
    assert notes == ["BPR is left out: the loss became nan"]
    assert "loss=bpr" not in {one.variant.name for one in judged(grid, runs, draws=50, seed=0)}
    with pytest.raises(TrainingError):
        run(task, grid, tmp_path / "other", Trainer(task, diverges=SETTINGS.loss))


def test_records_fit_the_table(report):
    records = report.records()
    assert all(set(record) == set(RANKING_ABLATIONS.column_names) for record in records)
    keys = [tuple(record[name] for name in RANKING_ABLATIONS.key) for record in records]
    assert len(set(keys)) == len(keys)
    for column in RANKING_ABLATIONS.columns:
        values = {record[column.name] for record in records}
        assert column.nullable or None not in values
        assert not column.values or values <= set(column.values), column.name
    flat = report.flat()
    assert flat["ablations.default.no_image.ndcg@10.difference"] < 0
    assert np.isfinite(list(flat.values())).all()


def test_the_page_says_what_pays_and_what_harms(report):
    told = {REFERENCE, "fusion=mean", "loss=infonce", "no_image"}
    page = ablation_page(
        replace(report, ablations=tuple(one for one in report.ablations if one.variant.name in told)), "The shop"
    )
    texts = {verdict.tone: verdict.text for verdict in page.verdicts}
    assert "Pays" in texts["good"] and "photos" in texts["good"]
    assert "sampled softmax over InfoNCE" in texts["bad"]
    assert "Cannot be told from chance" in texts["undecided"]
    text = html(page)
    outline = Outline(text)
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert "What is known of an item" in markdown(page)
    assert effects_picture(report).startswith(b"\x89PNG")
    assert "switched off" in html(off_page())

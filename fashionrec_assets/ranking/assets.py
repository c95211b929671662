"""Assets of the ranking room.

Belongs here: which windows of time the ranker learns from, with which two-tower model, writing, and what the UI shows.
Does not belong here: features, networks.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from fashionrec_assets.catalog.reading import Cuts, cuts, launched
from fashionrec_assets.ranking.reading import WITHOUT_TOWER, RankingInputs, seed_folder
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop, StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.towers.reading import EVALUATION, SELECTION, SERVED

if TYPE_CHECKING:
    from fashionrec_assets.catalog.ranking_task import RankingTask
    from fashionrec_assets.ranking.knowledge import Knowledge
    from fashionrec_assets.ranking.ranker import Ranker
    from fashionrec_assets.towers.artifact import TwoTower

MODEL = Stage(
    "late_fusion_model",
    "model",
    version="2",
    settings=("ranking", "seed", "splits", "evaluation.target_behaviours", "evaluation.seeds"),
)
SUMMARY = "summary.json"
MEANING = {EVALUATION: "reports", WITHOUT_TOWER: "reports, without two-tower", SERVED: "serving"}


@dg.asset(
    **asset_spec(
        MODEL,
        group="ranking",
        deps=["two_tower_model", "text_embeddings", "image_embeddings", "interactions", "users", "splits", "items"],
        kinds={"pytorch"},
    )
)
def late_fusion_model(shop: ShopParam) -> dg.MaterializeResult:
    """The ranker over the candidates of all sources: once for reports, trained before the test days, once to serve.

    Each learns from the last days before its cut, with a two-tower model that knows only what came before those days;
    its NDCG is that on people left out of training. It is trained again when the two-tower model is.
    """
    with shop.stage(MODEL) as run:
        inputs = {"two_tower_model": shop.model_id("two_tower_model")}
        plan = run.plan_whole(inputs, exists=shop.version_or_none(MODEL.name) is not None)
        if plan.todo:
            rankers, summary = _train(shop, run)
            version = digest([plan.todo[WHOLE], plan.code_fp])[:16]
            with shop.artifacts.write(MODEL.name, version) as folder:
                for name, ranker in rankers.items():
                    ranker.save(folder / name)
                (folder / SUMMARY).write_text(json.dumps(summary, indent=2), "utf-8")
            with run.commit(plan, {WHOLE: version}):
                pass
            shop.artifacts.prune(MODEL.name, [version])
        found = json.loads((shop.current(MODEL.name) / SUMMARY).read_text("utf-8"))
        return materialized(run, rankers=table_of(found["rankers"]), what_it_listens_to=table_of(found["importance"]))


def _train(shop: Shop, run: StageRun) -> tuple[dict[str, Ranker], dict[str, Any]]:
    """The rankers by folder, and what is shown of them."""
    from fashionrec_assets.ranking.late_fusion import lists_of
    from fashionrec_assets.ranking.lists import joined
    from fashionrec_assets.ranking.training import importance, train_ranker

    settings, split = shop.settings, cuts(shop)
    inputs = RankingInputs.of(shop)
    length = settings.ranking.window_days * 86_400 if settings.ranking.window_days else split.end - split.test
    ends = {EVALUATION: split.test, WITHOUT_TOWER: split.test}
    if settings.two_tower.refit:
        ends[SERVED] = split.end
    rankers: dict[str, Ranker] = {}
    summary: dict[str, Any] = {"rankers": [], "importance": []}
    windows: list[tuple[RankingTask, Knowledge]] = []
    for number, (name, end) in enumerate(ends.items()):
        started = time.perf_counter()
        if name == WITHOUT_TOWER:
            windows = [(task, replace(known, tower=None)) for task, known in windows]
        else:
            tasks = _windows(shop, inputs, end, length)
            tower = _tower_before(shop, inputs, split, min(task.start for task in tasks))
            windows = [(task, inputs.knowledge(task.start, tower)) for task in tasks]
        lists = joined([lists_of(task, known, settings.ranking) for task, known in windows])
        rankers[name] = train_ranker(lists, settings.ranking, seed=settings.seed)
        summary["rankers"].append(
            {
                "for": name,
                "people": len(lists.targets),
                "NDCG@20": round(rankers[name].ndcg, 4),
                "lift": rankers[name].new_bonus,
                "seconds": round(time.perf_counter() - started, 1),
            }
        )
        if name == EVALUATION:
            summary["importance"] = importance(rankers[name], lists, seed=settings.seed)
            for extra in range(1, settings.evaluation.seeds):
                rankers[seed_folder(extra)] = train_ranker(lists, settings.ranking, seed=settings.seed + extra)
        run.progress(number + 1, len(ends))
    rankers.setdefault(SERVED, rankers[EVALUATION])
    return rankers, summary


def _windows(shop: Shop, inputs: RankingInputs, end: int, length: int) -> list[RankingTask]:
    """The windows to learn from: the last before `end`, and earlier ones while too few people came in those."""
    from fashionrec_assets.catalog.ranking_task import ranking_task
    from fashionrec_assets.ranking.late_fusion import window_starts

    settings, on_sale = shop.settings, launched(shop)
    tasks: list[RankingTask] = []
    for start in window_starts(inputs.log, end, length, settings.ranking.windows):
        task = ranking_task(
            inputs.log,
            name="ranker",
            start=start,
            end=start + length,
            target_behaviours=settings.evaluation.target_behaviours,
            launched_at=on_sale,
            max_users=max(1, settings.ranking.train_users // settings.ranking.windows),
            max_cold_users=0,
            seed=settings.seed,
        )
        tasks.append(task)
        if sum(len(known.users) for known in tasks) >= settings.ranking.enough_users:
            break
    return tasks


def _tower_before(shop: Shop, inputs: RankingInputs, split: Cuts, start: int) -> TwoTower:
    """The two-tower model of what came before `start`: one that is there, else one trained for as many epochs."""
    from fashionrec_assets.towers.artifact import TwoTower
    from fashionrec_assets.towers.training import train_two_tower

    folder = shop.current("two_tower_model")
    for name, cut in ((SELECTION, split.validation), (EVALUATION, split.test)):
        if cut == start:
            return TwoTower.load(folder / name)
    settings = shop.settings
    return train_two_tower(
        inputs.log.between(None, start),
        inputs.features,
        settings.two_tower,
        seed=settings.seed,
        data_digest=f"{shop.version('two_tower_model')}/before-{start}",
        epochs=json.loads((folder / "curve.json").read_text("utf-8"))["epochs"],
        profiles=inputs.profiles,
        session_gap=settings.catalog.session_gap_minutes * 60,
    ).model

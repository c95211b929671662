"""Stages and trainings on a real Ray cluster of this machine leave what they leave without it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pyarrow as pa
import pytest

from fashionrec_assets.crops.work import CROP_COLUMNS
from fashionrec_assets.embeddings.reading import IMAGE_STORE, TEXT_STORE
from fashionrec_assets.recommendations.work import Pages, SimilarLists
from fashionrec_assets.resources import ray_compute
from fashionrec_assets.resources.compute import Local
from fashionrec_assets.resources.far_shop import FarShop
from fashionrec_assets.resources.ray_cluster import connector, resources_of
from fashionrec_assets.resources.ray_compute import Ray, WorkerLostError
from fashionrec_assets.resources.shop import LogReporter
from fashionrec_assets.settings import ComputeSettings
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS
from fashionrec_assets_tests.end_to_end.place import Place
from fashionrec_assets_tests.ray.works import Doubled, Failing, Meeting, ReadsModel, RefusedError

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

# Ray Data copies its settings, and warns of its own deprecated ones as it does.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

SMALL_CLUSTER = {"engine": "ray", "workers": 2, "object_store_mb": 100, "in_flight": 3}


def settings(**changes: Any) -> ComputeSettings:
    return ComputeSettings.model_validate({**SMALL_CLUSTER, **changes})


def ledger(place: Place) -> dict[tuple[str, str], str]:
    """(stage, key) -> output_fp, of everything."""
    with place.shop().warehouse.reader() as connection:
        rows = connection.execute("SELECT stage, key, output_fp FROM ledger").fetchall()
    return {(stage, key): output for stage, key, output in rows}


def rows(place: Place, store: str, columns: pa.Schema) -> pa.Table:
    """Everything in a store, in the order of its keys."""
    found = place.shop().store(store, columns)
    return found.take(sorted(found.keys()))


def weights(place: Place) -> dict[str, bytes]:
    """The files of the two-tower model that hold numbers."""
    folder = place.home / "artifacts" / "two_tower_model"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}


def published(place: Place, table: str) -> pa.Table:
    """The rows of a table of the warehouse, in their order by all columns."""
    with place.shop().warehouse.reader() as connection:
        return connection.sql(f"SELECT * FROM {table} ORDER BY ALL").to_arrow_table()


class Killer(LogReporter):
    """Kills a worker once the first bucket of `stage` is written, while others are under way."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage
        self.killed: list[int] = []

    def advanced(self, stage: str, done: int, total: int) -> None:
        if stage == self.stage and not self.killed and done < total:
            workers = [one for one in psutil.Process().children(recursive=True) if "MapWorker" in one.name()]
            os.kill(workers[0].pid, signal.SIGKILL)
            self.killed.append(workers[0].pid)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of this machine, brought up by what the definitions carry: starting one takes seconds."""
    with dg.build_init_resource_context(resources=dict(resources_of(settings()))) as context:
        connect = connector(context)
        assert connect is not None and not ray.is_initialized()
        yield ray_compute.join(settings(), connect)
    assert not ray.is_initialized()


def test_a_run_on_workers_one_of_which_is_killed_leaves_what_a_local_run_left(place: Place, cluster: Any) -> None:
    stages = ("grounded_crops", "clarified_descriptions")
    before, crops = ledger(place), rows(place, "crops", CROP_COLUMNS)
    made = {key: output for key, output in before.items() if key[0] in stages}
    killer = Killer("grounded_crops")
    select = " or ".join(f'key:"{name}"' for name in stages)
    result = place.run("full_refresh", select=select, reporter=killer, compute=SMALL_CLUSTER)
    assert result.success, result.errors
    assert killer.killed and not psutil.pid_exists(killer.killed[0])
    assert result.assets["grounded_crops"].stale == len(crops) > 50
    assert len(made) > 100 and {key: output for key, output in ledger(place).items() if key in made} == made
    assert rows(place, "crops", CROP_COLUMNS).equals(crops)


def test_vectors_and_a_model_have_the_bytes_that_they_have_without_ray(place: Place, cluster: Any) -> None:
    stages = ("text_embeddings", "image_embeddings", "two_tower_model")
    before, model = ledger(place), weights(place)
    vectors = [rows(place, store, VECTOR_COLUMNS) for store in (TEXT_STORE, IMAGE_STORE)]
    select = " or ".join(f'key:"{name}"' for name in stages)
    result = place.run("full_refresh", select=select, compute={**SMALL_CLUSTER, "workers": 1})
    assert result.success, result.errors
    assert all(result.assets[name].stale for name in stages)
    assert ledger(place) == before
    assert [rows(place, store, VECTOR_COLUMNS) for store in (TEXT_STORE, IMAGE_STORE)] == vectors
    assert len(model) >= 2 and weights(place) == model


def test_pages_and_similar_items_have_the_rows_that_they_have_without_ray(
    place: Place, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(work: object) -> None:
        raise AssertionError(f"{type(work).__name__} is made by the process that runs the stage")

    # Workers import the classes anew.
    for work in (Pages, SimilarLists):
        monkeypatch.setattr(work, "start", refuse)
    stages = ("homepage", "similar_items")
    before, tables = ledger(place), [published(place, name) for name in stages]
    select = " or ".join(f'key:"{name}"' for name in stages)
    result = place.run("full_refresh", select=select, compute=SMALL_CLUSTER)
    assert result.success, result.errors
    assert result.assets["homepage"].stale > 100 and result.assets["similar_items"].stale > 50
    assert ledger(place) == before
    assert [published(place, name) for name in stages] == tables and all(len(table) > 300 for table in tables)


def test_results_come_in_order_within_the_bound_and_neither_a_killed_worker_nor_an_error_of_reading_loses_any(
    cluster: Any, fresh: Place, tmp_path: Path
) -> None:
    taken: list[tuple[int, int]] = []
    ahead: list[int] = []

    def read(number: int) -> int:
        if number == 12:
            raise KeyError(number)
        ahead.append(number + 1 - len(taken))
        return number

    work = Doubled(fresh.shop(), notes=tmp_path, dies_at=3, deaths=1)
    with pytest.raises(KeyError):
        for made in Ray(settings()).map(work, range(14), read):
            taken.append(made)
    assert [doubled for doubled, _ in taken] == [2 * number for number in range(12)]
    assert max(ahead) == 3
    processes = {pid for _, pid in taken}
    assert len(processes) >= 2 and os.getpid() not in processes
    assert [path.name for path in tmp_path.glob("died-*")] == ["died-0"]


def test_workers_are_at_work_at_the_same_time_and_no_more_is_read_than_the_bound_allows(
    cluster: Any, fresh: Place, tmp_path: Path
) -> None:
    taken: list[int] = []
    ahead: list[int] = []

    def read(number: int) -> int:
        ahead.append(number + 1 - len(taken))
        return number

    for process in Ray(settings()).map(Meeting(fresh.shop(), notes=tmp_path, workers=2), range(12), read):
        taken.append(process)
    assert len(taken) == 12 and len(set(taken)) == 2
    assert max(ahead) == 3


def test_a_batch_that_kills_every_worker_fails_the_stage_after_the_results_before_it(
    cluster: Any, fresh: Place, tmp_path: Path
) -> None:
    work = Doubled(fresh.shop(), notes=tmp_path, dies_at=1, deaths=100)
    found = Ray(settings(workers=1, retries=1)).map(work, range(4), int)
    assert next(found)[0] == 0
    with pytest.raises(WorkerLostError, match="next run goes on there"):
        next(found)
    assert len(list(tmp_path.glob("died-*"))) == 2


def test_what_the_work_raises_is_raised_at_its_turn_as_it_is_without_ray(cluster: Any, fresh: Place) -> None:
    work = Failing(fresh.shop())
    raised: list[Exception] = []
    for compute in (Local(), Ray(settings(workers=1))):
        found = compute.map(work, range(4), int)
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(LookupError) as error:
            next(found)
        raised.append(error.value)
    assert str(raised[0]) == str(raised[1]) and type(raised[1]) is LookupError


def test_an_error_that_cannot_travel_says_what_it_was(cluster: Any) -> None:
    sent = ray_compute.portable(RefusedError(2, "not wanted"))
    assert type(sent) is RuntimeError and str(sent) == "RefusedError: 2 is refused: not wanted"


def test_a_worker_that_does_not_see_the_home_is_sent_the_model(cluster: Any, tmp_path: Path, fresh: Place) -> None:
    model = fresh.home / "artifacts" / "model" / "v1"
    (model / "deep").mkdir(parents=True)
    (model / "deep" / "weights.txt").write_text("forty-two", "utf-8")
    there = FarShop(fresh.settings(), {"model": "v1"})
    sent = FarShop.of(there, ("model",), cluster.put)
    model.rename(tmp_path / "elsewhere")
    work = ReadsModel(sent)
    assert cluster.get(cluster.remote(lambda one: one.start()("deep/weights.txt")).remote(work)) == "forty-two"
    with pytest.raises(LookupError, match="name it in the work's `models`"):
        sent.version("clip_model")

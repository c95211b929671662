"""Batches of a stage: in what order, how much at a time, and what is kept where something fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from fashionrec_assets import doctor
from fashionrec_assets.resources import ray_compute
from fashionrec_assets.resources.compute import Local, Made, Work, compute_of
from fashionrec_assets.resources.shop import LogReporter, Shop
from fashionrec_assets.settings import ComputeSettings, Settings
from fashionrec_assets.storage.ledger import LEDGER, Stage
from fashionrec_assets.storage.tables import Column, Table

WORDS = Table("words", "words", (Column("item_id", "VARCHAR", "a key"),), key=("item_id",))
STAGE = Stage("upper", "item", version="1", rows="SELECT item_id FROM words", reads=("item_id",))
COLUMNS = pa.schema([pa.field("word", pa.string(), nullable=False)])
KEYS = [f"w{number:02d}" for number in range(20)]


@dataclass(frozen=True)
class Upper(Work[list[str], Made]):
    """Upper case; a key of `fails` has no output, and `breaks_at` raises."""

    fails: frozenset[str] = frozenset()
    breaks_at: str = ""

    def start(self) -> Callable[[list[str]], Made]:
        def make(keys: list[str]) -> Made:
            if self.breaks_at in keys:
                raise RuntimeError(f"{self.breaks_at} cannot be done")
            done = [key for key in keys if key not in self.fails]
            words = [key.upper() for key in done]
            return Made(
                pa.table({"item_id": pa.array(done, pa.string()), "word": pa.array(words, pa.string())}),
                dict(zip(done, words, strict=True)),
            )

        return make


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    opened = Shop(Settings.load(home=tmp_path, storage={"buckets": 3, "threads": 1}), [WORDS, LEDGER], LogReporter())
    with opened.warehouse.writer() as connection:
        connection.execute("INSERT INTO words SELECT unnest(?)", [KEYS])
    return opened


def run(shop: Shop, work: Upper, portion: int | None = None) -> tuple[list[list[str]], list[str]]:
    """The batches, and the keys that failed."""
    store, read = shop.store("upper", COLUMNS), []

    def batch(keys: list[str]) -> list[str]:
        read.append(keys)
        return keys

    with shop.stage(STAGE) as stage:
        failed = stage.by_bucket(stage.plan(present=store.keys()), store, work, batch, portion=portion)
    return read, failed


def made(shop: Shop) -> dict[str, str]:
    rows = shop.store("upper", COLUMNS).take(KEYS)
    return dict(zip(rows.column("item_id").to_pylist(), rows.column("word").to_pylist(), strict=True))


@pytest.mark.parametrize("portion", [None, 1, 4])
def test_a_batch_is_a_portion_of_one_bucket_and_what_comes_out_does_not_depend_on_it(
    shop: Shop, portion: int | None
) -> None:
    read, failed = run(shop, Upper(shop), portion)
    store = shop.store("upper", COLUMNS)
    buckets = [keys for _, keys in store.group(KEYS)]
    assert failed == [] and made(shop) == {key: key.upper() for key in KEYS}
    assert [key for keys in read for key in keys] == [key for keys in buckets for key in keys]
    assert len(read) == sum(-(-len(keys) // (portion or len(keys))) for keys in buckets)
    assert all(any(set(keys) <= set(bucket) for bucket in buckets) for keys in read)
    assert run(shop, Upper(shop), portion)[0] == []


def test_a_key_that_failed_is_told_and_done_by_the_next_run(shop: Shop) -> None:
    assert run(shop, Upper(shop, fails=frozenset({"w03", "w11"})), 2)[1] == sorted(
        {"w03", "w11"}, key=[key for _, keys in shop.store("upper", COLUMNS).group(KEYS) for key in keys].index
    )
    assert made(shop).keys() == set(KEYS) - {"w03", "w11"}
    assert sorted(key for keys in run(shop, Upper(shop))[0] for key in keys) == ["w03", "w11"]


def test_an_error_keeps_the_buckets_before_it(shop: Shop) -> None:
    buckets = [keys for _, keys in shop.store("upper", COLUMNS).group(KEYS)]
    with pytest.raises(RuntimeError, match="cannot be done"):
        run(shop, Upper(shop, breaks_at=buckets[1][-1]), 2)
    assert made(shop).keys() == set(buckets[0])
    read, _ = run(shop, Upper(shop))
    assert read == buckets[1:]


def test_here_a_batch_is_read_when_its_turn_has_come_and_nothing_starts_without_one() -> None:
    started: list[int] = []
    work = SimpleNamespace(start=lambda: started.append(1) or (lambda number: number * 10))
    read: list[int] = []
    found = Local().map(work, [1, 2, 3], lambda task: read.append(task) or task)  # pyright: ignore[reportArgumentType]
    assert (started, read) == ([], [])
    assert next(found) == 10 and read == [1]
    assert list(found) == [20, 30] and started == [1]
    assert list(Local().map(work, [], int)) == [] and started == [1]  # pyright: ignore[reportArgumentType]


def test_ray_is_asked_for_by_name_and_its_absence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(compute_of(ComputeSettings()), Local)
    monkeypatch.setattr(ray_compute.importlib.util, "find_spec", lambda name: None)
    compute = compute_of(ComputeSettings(engine="ray"))
    work = SimpleNamespace(on_gpu=False)
    with pytest.raises(RuntimeError, match=r"pip install 'fashionrec_assets\[ray\]'"):
        next(compute.map(work, [1], int))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("engine", "there", "state"), [("local", True, "ok"), ("ray", True, "ok"), ("ray", False, "missing")]
)
def test_the_doctor_says_whether_ray_is_there(
    engine: str, there: bool, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: "2.60" if there else None)
    settings = Settings.load(home=tmp_path, compute={"engine": engine})
    found = doctor._compute(settings)
    assert found.state == state
    assert ("pip install" in found.remedy) is (not there)

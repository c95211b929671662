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
from fashionrec_assets.resources.compute import Local, Made, Work, compute_of, pieces
from fashionrec_assets.resources.shop import LogReporter, Shop
from fashionrec_assets.settings import ComputeSettings, Settings
from fashionrec_assets.storage.faults import listening
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


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    opened = Shop(Settings.load(home=tmp_path, storage={"buckets": 3, "threads": 1}), [WORDS, LEDGER], LogReporter())
    with opened.warehouse.writer() as connection:
        connection.execute("INSERT INTO words SELECT unnest(?)", [KEYS])
    return opened


def run(shop: Shop, work: Upper) -> tuple[list[list[str]], list[str]]:
    """The batches, and the keys that failed."""
    store, read = shop.store("upper", COLUMNS), []

    def batch(keys: list[str]) -> list[str]:
        read.append(keys)
        return keys

    with shop.stage(STAGE) as stage:
        failed = stage.by_bucket(stage.plan(present=store.keys()), store, work, batch)
    return read, failed


def buckets(shop: Shop) -> list[list[str]]:
    """The keys of each bucket: ten, five and five."""
    return [keys for _, keys in shop.store("upper", COLUMNS).group(KEYS)]


def made(shop: Shop) -> dict[str, str]:
    rows = shop.store("upper", COLUMNS).take(KEYS)
    return dict(zip(rows.column("item_id").to_pylist(), rows.column("word").to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("sizes", "at_once", "expected"),
    [
        ([], 4, []),
        ([3, 1, 2, 2, 5], 4, [[4], [4], [4, 1]]),
        ([9, 1, 3, 4, 1], 4, [[4, 4, 1], [4], [4], [1]]),
        ([2, 2], 1, [[1, 1], [1, 1]]),
    ],
)
def test_small_buckets_share_a_batch_and_a_large_one_has_several(
    sizes: list[int], at_once: int, expected: list[list[int]]
) -> None:
    # Later buckets have earlier keys.
    some = [[f"{9 - number}{key}" for key in range(size)] for number, size in enumerate(sizes)]
    found = list(pieces(some, at_once))
    assert [[len(batch) for batch in piece] for piece in found] == expected
    assert [sorted(key for batch in piece for key in batch) for piece in found] == [
        [key for batch in piece for key in batch] for piece in found
    ]
    whole = [{key for batch in piece for key in batch} for piece in found]
    assert all(sum(not piece.isdisjoint(bucket) for piece in whole) == 1 for bucket in some if bucket)
    assert sum(map(len, whole)) == sum(sizes)
    for done in range(len(found) + 1):
        left = [bucket for bucket in some if not any(piece >= set(bucket) for piece in whole[:done])]
        assert list(pieces(left, at_once)) == found[done:], "what is left falls into other pieces"


@pytest.mark.parametrize("at_once", [1, 4, 14, 100])
def test_a_batch_is_at_most_as_much_as_the_work_says_and_what_comes_out_does_not_depend_on_it(
    shop: Shop, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upper, "at_once", at_once)
    read, failed = run(shop, Upper(shop))
    assert failed == [] and made(shop) == {key: key.upper() for key in KEYS}
    assert read == [keys for piece in pieces(buckets(shop), at_once) for keys in piece]
    assert max(map(len, read)) <= at_once and (len(read) == 1) is (at_once == 100)
    assert run(shop, Upper(shop))[0] == []


def test_a_key_that_failed_is_told_and_done_by_the_next_run(shop: Shop) -> None:
    assert run(shop, Upper(shop, fails=frozenset({"w11", "w03"})))[1] == ["w03", "w11"]
    assert made(shop).keys() == set(KEYS) - {"w03", "w11"}
    assert run(shop, Upper(shop))[0] == [["w03", "w11"]]


@pytest.mark.parametrize("at_once", [2, 14])
def test_an_error_keeps_the_pieces_before_it_and_the_next_run_goes_on_with_the_same_ones(
    shop: Shop, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upper, "at_once", at_once)
    planned = list(pieces(buckets(shop), at_once))
    with pytest.raises(RuntimeError, match="cannot be done"):
        run(shop, Upper(shop, breaks_at=planned[1][-1][-1]))
    assert made(shop).keys() == {key for keys in planned[0] for key in keys}
    assert run(shop, Upper(shop))[0] == [keys for piece in planned[1:] for keys in piece]


def test_a_kill_loses_no_more_than_the_piece_that_was_written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Upper, "at_once", 14)
    monkeypatch.setattr("fashionrec_assets.resources.shop.COMMIT_SECONDS", 0.0)
    first, *others = buckets(shop)
    written: list[str] = []

    def kill(point: str, subject: str) -> None:
        if point == "after rename" and subject.endswith(".parquet"):
            written.append(subject)
            if len(written) == 2:
                raise KilledError

    with pytest.raises(KilledError), listening(kill):
        run(shop, Upper(shop))
    with shop.warehouse.reader() as connection:
        entered = {key for (key,) in connection.execute("SELECT key FROM ledger").fetchall()}
    assert entered == set(first) and made(shop).keys() == {*first, *others[0]}
    assert run(shop, Upper(shop))[0] == [sorted([*others[0], *others[1]])]


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

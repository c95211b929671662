"""An erased user is in no byte of the home, everybody else is as if that user had never been, and stays that way."""

from __future__ import annotations

import csv
import gzip
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from fashionrec_assets.catalog.erasure import FILE, Erasures
from fashionrec_assets.cli import erasure
from fashionrec_assets.cli.app import app
from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.resources.runs import RunResult, dagster_home, instance_of, run_job
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.end_to_end.place import Place

GONE = "erase-me-7731"
STILL = {"two_tower": {"epochs": 1, "negatives": 64, "dim": 16, "retrain_share": 0.5}}
"""Settings with which no model is trained again when one user goes."""
NAMELESS = ("assistant_report", "ranking_report", "retrieval_report", "discovery_report", "outfit_report")
MODELS = ("two_tower_model", "vae_model", "augmentation_sweep", "vae_synthetic_samples", "ncf_model")


@dataclass(frozen=True)
class Case:
    """A shop that never had the user (`never`), one that had (`place`), what named them then, and the erasure."""

    never: Place
    place: Place
    before: list[str]
    exit_code: int
    output: str


def give_the_user(raw: Path) -> None:
    """A twin of a busy user, with a profile, an avatar, answers about explanations and lines that are refused."""
    lines = (raw / "UserBehavior.csv").read_text("utf-8").splitlines()
    busy = Counter(line.split(",")[0] for line in lines).most_common(6)[5][0]
    mine = [line.replace(busy, GONE, 1) for line in lines if line.startswith(f"{busy},")]
    assert len(mine) > 80
    refused = [f"{GONE},no-such-item,1,pv,1711843200", f'{busy},"1,{GONE}']
    with (raw / "UserBehavior.csv").open("a", encoding="utf-8") as file:
        file.write("\n".join((*mine, *refused)) + "\n")

    face = f"faces/{GONE}.jpg"
    (raw / "faces").mkdir()
    shutil.copy(next((raw / "images").rglob("*.jpg")), raw / face)
    with (raw / "users.csv").open(encoding="utf-8", newline="") as file:
        people = [{**row, "avatar": ""} for row in csv.DictReader(file)]
    people += [{**people[0], "user_id": GONE, "avatar": face}, {**people[0], "user_id": GONE}]
    with (raw / "users.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(people[0]))
        writer.writeheader()
        writer.writerows(people)

    items = dict.fromkeys(line.split(",")[1] for line in mine[:20])
    answers = [f"{GONE},{item},1711843200,yes,history,Written for {GONE}." for item in items]
    answers.append(f"{GONE},{next(iter(items))},soon,perhaps,,")
    (raw / "feedback.csv").write_text(
        "\n".join(("user_id,item_id,time,helpful,lead,edited_text", *answers)) + "\n", "utf-8"
    )


def leave_what_kills_and_earlier_versions_leave(home: Path) -> None:
    """Files of interrupted runs, and a run whose history still names the user."""
    (home / "spill" / "draft-killed").mkdir(parents=True)
    (home / "spill" / "draft-killed" / "log.csv").write_text(f"{GONE},1,0,pv,0\n", "utf-8")
    (home / "exports" / ".homepage.parquet.tmp").write_text(GONE, "utf-8")
    old = home / "artifacts" / "users_file" / "0123456789abcdef"
    old.mkdir()
    (old / "users.csv").write_text(GONE, "utf-8")
    (home / "reports" / "ranking.previous.json").write_text(f'{{"people": ["{GONE}"]}}', "utf-8")
    with instance_of(home) as instance:
        run_job(build_definitions(Settings.load(raw=Path(f"/raw/of {GONE}"), home=home)), instance, "observe_raw")


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and whatever can be unpacked or decoded from it."""
    data = path.read_bytes()
    yield data
    if path.suffix == ".gz":
        yield gzip.decompress(data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield str(file.schema_arrow.metadata).encode()
        for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True):
            if "string" in str(kind) or "binary" in str(kind):
                yield str(file.read([name]).column(0).to_pylist()).encode()
    if data[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as connection:
            for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                yield str(connection.execute(f'SELECT * FROM "{table}"').fetchall()).encode()


def naming(home: Path, name: str) -> list[str]:
    """Every file below `home`, whatever it is, with `name` in it or in what it is called."""
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if name in path.name or (path.is_file() and any(name.encode() in part for part in contents(path)))
    ]


def refresh(place: Place, select: str | None = None) -> RunResult:
    with instance_of(place.home) as instance:
        definitions = build_definitions(place.settings())
        run_job(definitions, instance, "observe_raw")
        return run_job(definitions, instance, "daily_refresh", select)


@pytest.fixture(scope="module")
def case(first_run: tuple[Place, RunResult], tmp_path_factory: pytest.TempPathFactory) -> Case:
    never, folder = first_run[0], tmp_path_factory.mktemp("erasure")
    shutil.copytree(never.raw, folder / "shop", copy_function=shutil.copy2)
    shutil.copytree(never.raw.parent / "shop_truth", folder / "shop_truth")
    shutil.copytree(never.home, folder / "home", symlinks=True, copy_function=shutil.copy2)
    place = Place(folder / "shop", folder / "home")
    give_the_user(place.raw)
    result = refresh(place, " and ".join(f'not key:"{name}"' for name in NAMELESS))
    assert result.success, result.errors
    leave_what_kills_and_earlier_versions_leave(place.home)
    before = naming(place.home, GONE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "settings_of", lambda **given: place.settings(**STILL))
        found = CliRunner().invoke(app, ["erase", f" {GONE} ", "--reason", "a letter"])
    return Case(never, place, before, found.exit_code, found.output)


def test_the_user_was_everywhere(case: Case) -> None:
    """Else the next test would prove nothing."""
    parts = {str(Path(name).parent.parent if name.startswith("artifacts") else name) for name in case.before}
    assert parts >= {
        "artifacts/interactions_file",
        "artifacts/users_file",
        "artifacts/sessions",
        "artifacts/ncf_model",
        "artifacts/explanation_strategies",
        "cache/avatars.parquet",
        "exports/homepage.parquet",
        "exports/explanations.parquet",
        "exports/style_picks.parquet",
        "exports/user_styles.parquet",
        "exports/.homepage.parquet.tmp",
        "reports/ranking.previous.json",
        "spill/draft-killed/log.csv",
        "warehouse.duckdb",
    }
    assert any(name.startswith("dagster/history") for name in case.before)
    assert any(name.startswith("stores/avatar_vectors") for name in case.before)


def test_no_byte_below_the_home_names_the_user(case: Case) -> None:
    assert case.exit_code == 0, case.output
    assert naming(case.place.home, GONE) == []
    assert Erasures.read(case.place.home).names(GONE)
    assert GONE in (case.place.raw / "UserBehavior.csv").read_text("utf-8")


def test_the_history_of_the_other_runs_is_kept(case: Case) -> None:
    with instance_of(case.place.home) as instance:
        jobs = Counter(run.job_name for run in instance.get_runs())
    assert jobs == {"observe_raw": 2, "daily_refresh": 2}
    assert not list(dagster_home(case.place.home).rglob("*.tmp"))


def test_everybody_else_is_as_if_the_user_had_never_been(case: Case) -> None:
    erased, never = case.place.shop(), case.never.shop()
    # Those that are the same file have the same digest of it for a version.
    for name in ("items_file", "interactions_file", "users_file", "sessions"):
        assert erased.version(name) == never.version(name), name
    with duckdb.connect() as connection:
        for name, place in (("erased", case.place), ("never", case.never)):
            connection.execute(f"ATTACH '{place.home / 'warehouse.duckdb'}' AS {name} (READ_ONLY)")
        for table in (
            "items",
            "users",
            "splits",
            "feedback",
            "crops",
            "descriptions",
            "popular_items",
            "similar_items",
            "complements",
            "outfits",
            "styles",
            "item_styles",
            "user_styles",
        ):
            differing, there = (
                connection.execute(sql).fetchall()[0][0]
                for sql in (
                    f"SELECT count(*) FROM ((FROM erased.{table} EXCEPT ALL FROM never.{table}) UNION ALL "
                    f"(FROM never.{table} EXCEPT ALL FROM erased.{table}))",
                    f"SELECT count(*) FROM never.{table}",
                )
            )
            assert differing == 0, table
            assert there or table == "feedback", table
        # Their pages are made by models that still knew the user: for the same people, of as many rows.
        for table in ("homepage", "style_picks"):
            people = f"SELECT DISTINCT user_id FROM erased.{table}", f"SELECT DISTINCT user_id FROM never.{table}"
            assert connection.execute(f"{people[0]} EXCEPT {people[1]}").fetchall() == []
            assert connection.execute(f"{people[1]} EXCEPT {people[0]}").fetchall() == []
        refused = connection.execute(
            "SELECT reason, value FROM (FROM erased.rejects EXCEPT ALL FROM never.rejects)"
        ).fetchall()
    # Of the lines that came with the user, the one that could not be read is kept without what it says.
    assert refused == [("unbalanced quote", None)]


def test_the_command_says_which_models_learned_from_the_user_and_until_when(case: Case) -> None:
    told = " ".join(case.output.split())
    shop = case.place.shop()
    for name in ("two_tower_model", "late_fusion_model", "vae_model", "augmentation_sweep", "ncf_model"):
        assert f"{name} {shop.model_id(name)} was trained while the user's events were there" in told
    assert "once the events of more than 50% of the items have changed" in told
    assert "1 runs in Dagster's history" in told
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "settings_of", lambda **given: case.place.settings())
        listed = CliRunner().invoke(app, ["erase"], terminal_width=250)
    assert listed.exit_code == 0
    assert "a letter" in listed.output and "Erased users: 1" in listed.output and GONE not in listed.output


def test_the_next_models_and_the_next_days_know_nothing_of_the_user(case: Case) -> None:
    place, shop, never = case.place, case.place.shop(), case.never.shop()
    before = {name: shop.version(name) for name in MODELS}
    with (place.raw / "UserBehavior.csv").open("a", encoding="utf-8") as file:
        file.write(f"{GONE},{place.catalog()[0]['item_id']},1,buy,1711843300\n")
    chosen = ("interactions", "users", *MODELS)
    result = place.run("weekly_retrain", select=" or ".join(f'key:"{name}"' for name in chosen))
    assert result.success, result.errors
    assert [result.assets[name].new + result.assets[name].stale for name in ("interactions", "users")] == [0, 0]
    assert shop.version("interactions_file") == never.version("interactions_file")
    # Trained from the beginning on the same rows: the very models of the shop that never had the user.
    for name, weights in (("two_tower_model", "served/model.safetensors"), ("ncf_model", "model.safetensors")):
        assert shop.version(name) != before[name]
        mine, theirs = (load_file(one.current(name) / weights) for one in (shop, never))
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[tensor], theirs[tensor]) for tensor in mine), name
    assert shop.version("vae_model") == never.version("vae_model") != before["vae_model"]
    assert naming(place.home, GONE) == []


def test_there_is_nobody_to_erase_in_an_empty_home(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["erase", GONE, "--home", str(tmp_path)])
    assert found.exit_code == 2
    assert "run `fashionrec run` first" in " ".join(found.output.split())
    assert not (tmp_path / FILE).exists()

"""Stages killed again and again, each time further on, are completed by the next run as if undisturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb

from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets_tests.end_to_end.place import Place
from fashionrec_assets_tests.killing import content, differences

STAGES = ("grounded_crops", "clip_model", "item_vectors", "faiss_index", "homepage")
FILES = (
    "stores/crops",
    "stores/item_vectors",
    "artifacts/clip_model",
    "artifacts/faiss_index",
    "exports/homepage.parquet",
)
TABLES = ("crops", "crop_rates", "homepage")
EVERY = 7


def forget(home: Path, stages: Sequence[str], tables: Sequence[str], files: Sequence[str]) -> None:
    """As if `stages` had never been made."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        for stage in stages:
            connection.execute("DELETE FROM ledger WHERE stage = ? OR stage = ?", [stage, f"{stage}.rows"])
        for table in tables:
            connection.execute(f'DELETE FROM "{table}"')
    for name in files:
        path = home / name
        assert path.exists(), name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def test_stages_killed_at_point_after_point_end_as_if_undisturbed(
    place: Place, first_run: tuple[Place, RunResult]
) -> None:
    undisturbed, _ = first_run
    forget(place.home, STAGES, TABLES, FILES)
    command = [sys.executable, "-W", "ignore", "-m", "fashionrec_assets_tests.killing"]
    done = subprocess.run(
        [*command, str(place.raw), str(place.home), str(EVERY), *STAGES],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert {kill["stage"] for kill in kills} == set(STAGES)
    assert len(kills) >= 2 * len(STAGES)
    assert [kill for kill in kills if kill["lost"]] == []
    assert any("mid write" in kill["point"] or "before" in kill["point"] for kill in kills)
    completed = place.run(select=" or ".join(f'key:"{stage}"' for stage in STAGES))
    assert completed.success, completed.errors
    assert completed.checks.failed == []
    assert [name for name, made in completed.assets.items() if made.new or made.stale] == []
    assert differences(content(place.home), content(undisturbed.home)) == []
    assert not list((place.home / "artifacts").rglob(".draft-*"))

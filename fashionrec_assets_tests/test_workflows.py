"""The workflows of continuous integration say only what the command line, the settings and the lineage know."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from fashionrec_assets.cli import app
from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.resources.runs import asset_names
from fashionrec_assets.settings import Settings

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".github" / "workflows"
GATE = "shop-gate.yml"
NAMES = sorted(path.name for path in FOLDER.glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    # YAML reads the key `on` as true.
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


def steps(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for job, content in workflow(name)["jobs"].items():
        for step in content["steps"]:
            yield job, step


def calls(name: str) -> list[list[str]]:
    """The words of every call of `fashionrec`, without the program."""
    found: list[list[str]] = []
    for _, step in steps(name):
        script = step.get("run", "").replace("\\\n", " ") if step.get("shell") != "python" else ""
        for line in script.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["fashionrec"]:
                found.append(words[1:])
    return found


def test_the_workflows_are_found_and_the_gate_is_one_of_them() -> None:
    assert GATE in NAMES
    assert len(calls(GATE)) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_may_only_read_and_runs_no_text_of_others(name: str) -> None:
    content = workflow(name)
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert "permissions" not in job
    for _, step in steps(name):
        # What an event says is written by whoever opens a pull request: in a script it would be a command.
        assert "${{" not in step.get("run", ""), step
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", NAMES)
def test_its_commands_and_options_exist(name: str) -> None:
    command = typer.main.get_command(app)
    for words in calls(name):
        # Raises a usage error at a command, an option or a value that there is not.
        with command.make_context("fashionrec", list(words)) as context:
            chosen = command.get_command(context, words[0])  # pyright: ignore[reportAttributeAccessIssue]
            assert chosen is not None, words
            chosen.make_context(words[0], list(words[1:]), parent=context)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for _, step in steps(name):
        assert set(re.findall(r"^make (\w+)", step.get("run", ""), re.MULTILINE)) <= targets


@pytest.mark.parametrize("name", NAMES)
def test_what_it_expects_of_a_run_is_about_assets_there_are(name: str, tmp_path: Path) -> None:
    known = set(asset_names(build_definitions(Settings.load(home=tmp_path))))
    for words in calls(name):
        for option, value in pairwise(words):
            if option == "--expect":
                asset, _, count = value.partition("=")
                assert asset in known and count.isdecimal(), value


@pytest.mark.parametrize("name", NAMES)
def test_its_settings_exist_and_are_not_the_defaults(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = workflow(name)
    defaults = Settings.load(home=tmp_path, preset="quick").model_dump()
    for environment in (content.get("env", {}), *(job.get("env", {}) for job in content["jobs"].values())):
        for variable, value in environment.items():
            assert isinstance(value, str), f"{variable}: YAML reads {value!r} as something else than text"
            if not variable.startswith("FASHIONREC_"):
                continue
            section, _, key = variable.removeprefix("FASHIONREC_").lower().partition("__")
            monkeypatch.setenv(variable, value)
            assert Settings.load(home=tmp_path, preset="quick").model_dump()[section][key] != defaults[section][key]
            monkeypatch.delenv(variable)


@pytest.mark.parametrize("name", NAMES)
def test_its_scripts_are_well_formed(name: str) -> None:
    for _, step in steps(name):
        if "run" not in step:
            continue
        if step.get("shell") == "python":
            compile(step["run"], step["name"], "exec")
        else:
            checked = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif("FASHIONREC_SLOW" not in os.environ, reason="runs a shop three times; set FASHIONREC_SLOW")
def test_the_gate_of_an_unchanged_shop_passes_from_beginning_to_end(tmp_path: Path) -> None:
    """The steps of the first job as they stand in the file, but for those that install."""
    content, job = workflow(GATE), workflow(GATE)["jobs"]["unchanged"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FASHIONREC_")}
    environment = kept | content["env"] | job["env"]
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    shells = {"bash": [shutil.which("bash") or "bash", "-e"], "python": [sys.executable]}
    for step in job["steps"]:
        if "run" in step and step["name"] != "Install":
            shell = shells[step.get("shell", "bash")]
            ran = subprocess.run(
                [*shell, "-"] if step.get("shell") == "python" else [*shell, "-s"],
                input=step["run"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, f"{step['name']}\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"
    assert "## Asset checks: passed" in (tmp_path / "summary.md").read_text("utf-8")
    assert (tmp_path / "gate" / "checks.md").read_text("utf-8") == (tmp_path / "summary.md").read_text("utf-8")
    assert "<testsuites" in (tmp_path / "gate" / "checks.xml").read_text("utf-8")

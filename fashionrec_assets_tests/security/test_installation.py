"""What is installed is pinned and can be audited; what listens, listens on this machine alone."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.testing import CliRunner

from fashionrec_assets.cli import app, running

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_-]+)")


ENVIRONMENT = {"pip", "setuptools", "wheel"}
"""What a virtual environment brings along, and `pip freeze` therefore leaves out."""


def pinned() -> dict[str, Version]:
    """Package -> version, of `constraints.txt`. Asserts that every line is a comment or a pin."""
    found: dict[str, Version] = {}
    for number, line in enumerate((ROOT / "constraints.txt").read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        assert match, f"constraints.txt:{number}: {line!r} is not name==version"
        name = canonicalize_name(match["name"])
        assert name not in found, f"constraints.txt:{number}: {name} is pinned twice"
        found[name] = Version(match["version"])
    return found


def wanted() -> list[Requirement]:
    """What `pyproject.toml` asks for, the extras `dev` and `ray` included; the first names the other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    found = [Requirement(line) for line in (*project["dependencies"], *extras["dev"], *extras["ray"])]
    return [one for one in found if canonicalize_name(one.name) != canonicalize_name(project["name"])]


def _environment(extra: str) -> dict[str, str]:
    return {**{name: str(value) for name, value in default_environment().items()}, "extra": extra}


def closure(requirements: list[Requirement]) -> Iterator[tuple[str, str, SpecifierSet]]:
    """(package, who asks for it, which versions) for everything that follows, as it is installed here."""
    waiting = [("pyproject.toml", one) for one in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        asked_by, one = waiting.pop()
        if one.marker is not None and not one.marker.evaluate(_environment("")):
            continue
        name = canonicalize_name(one.name)
        yield name, asked_by, one.specifier
        if (name, frozenset(one.extras)) in seen:
            continue
        seen.add((name, frozenset(one.extras)))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for line in lines:
            further = Requirement(line)
            marker = further.marker
            extras = one.extras or {""}
            if marker is None or any(marker.evaluate(_environment(extra)) for extra in extras):
                further.marker = None
                waiting.append((name, further))


def test_every_line_of_the_constraints_is_one_pin() -> None:
    assert len(pinned()) > 100


def test_the_constraints_pin_what_is_asked_for_directly() -> None:
    pins = pinned()
    missing = {canonicalize_name(one.name) for one in wanted()} - pins.keys()
    assert missing == set()
    assert {
        one.name: str(one.specifier) for one in wanted() if pins[canonicalize_name(one.name)] not in one.specifier
    } == {}


def test_the_constraints_pin_everything_that_follows_from_it_and_nothing_contradicts_them() -> None:
    pins, found = pinned(), list(closure(wanted()))
    assert len({name for name, _, _ in found}) > 80
    assert {name for name, _, _ in found} - pins.keys() - ENVIRONMENT == set()
    broken = [
        f"{asked_by} wants {name}{versions}, pinned is {pins[name]}"
        for name, asked_by, versions in found
        if name in pins and not versions.contains(pins[name], prereleases=True)
    ]
    assert broken == []


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "a @ https://example.org/a.whl", "-e .", "--index-url https://x"]
)
def test_a_line_that_cannot_be_audited_is_no_pin(line: str) -> None:
    assert LINE.fullmatch(line) is None


def test_the_ui_listens_on_the_loopback_interface_and_sends_no_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def call(command: list[str], env: dict[str, str]) -> int:
        started.append((command, env))
        return 0

    monkeypatch.setattr(running.subprocess, "call", call)
    found = CliRunner().invoke(app, ["ui", "--home", str(tmp_path), "--port", "3456"])
    assert found.exit_code == 0, found.output
    ((command, environment),) = started
    assert command[command.index("-h") + 1] == "127.0.0.1" and command[command.index("-p") + 1] == "3456"
    assert "http://127.0.0.1:3456" in found.output
    assert environment["DAGSTER_DISABLE_TELEMETRY"] == "1"
    said = (tmp_path / "dagster" / "dagster.yaml").read_text("utf-8")
    assert re.search(r"telemetry:\n\s+enabled: false", said)


def test_nothing_in_the_project_asks_to_listen_to_the_world() -> None:
    files = [ROOT / "Makefile", ROOT / "workspace.yaml", *sorted((ROOT / "fashionrec_assets").rglob("*.py"))]
    for path in files:
        assert "0.0.0.0" not in path.read_text("utf-8"), path


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    names = set(re.findall(r"`((?:security|end_to_end|catalog|storage|descriptions)/[\w/]+\.py)`", text))
    assert len(names) >= 6
    assert [name for name in names if not (ROOT / "fashionrec_assets_tests" / name).is_file()] == []

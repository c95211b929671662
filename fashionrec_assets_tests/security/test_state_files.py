"""Files of a home and settings, as a careless hand or a full disk may leave them: one clear error, or as if absent."""

from __future__ import annotations

import json
import string
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from typer.testing import CliRunner

from fashionrec_assets.catalog.digests import combined_digest, path_digest
from fashionrec_assets.catalog.drop_folder import Memory
from fashionrec_assets.catalog.erasure import Erasures, ErasuresDamagedError
from fashionrec_assets.cli import app
from fashionrec_assets.cli.app import console, visible
from fashionrec_assets.resources.redaction import is_secret_name
from fashionrec_assets.settings import PRESETS, Settings, digest
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets.summary import Summary
from fashionrec_assets_tests.security.hostile import LIVE, any_texts, examples, json_texts, json_values, texts, values

sections = st.sampled_from(sorted(Settings.model_fields))
settings_files = json_texts(
    st.dictionaries(sections, st.one_of(json_values, st.dictionaries(texts, json_values, max_size=2)), max_size=3),
    st.fixed_dictionaries({"preset": st.one_of(st.sampled_from(sorted(PRESETS)), json_values)}),
)


@examples(0.5)
@given(text=settings_files)
@example(text='{"openai_api_key": "sk-from-a-hurried-hand"}')
@example(text='{"preset": ["demo"]}')
@example(text='{"home": 5}')
@example(text="[" * 100_000)
def test_a_settings_file_is_settings_or_one_clear_error_that_does_not_repeat_it(text: str) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "settings.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = Settings.load(home=home)
        except ValueError as error:
            assert isinstance(error, ValidationError) or "settings.json" in str(error)
            assert "sk-from-a-hurried-hand" not in str(error)
        else:
            assert found.home == home


@given(source=texts.map(lambda text: text.replace("\0", "")), preset=st.sampled_from(sorted(PRESETS)))
def test_what_a_run_remembers_is_what_the_next_one_reads(source: str, preset: str) -> None:
    with TemporaryDirectory() as folder:
        Settings.load(home=folder).remember(source=source, preset=preset)
        found = Settings.load(home=folder)
        assert (found.source, found.preset) == (source, preset)


@examples(0.5)
@given(name=sections, text=values)
def test_an_environment_variable_is_a_setting_or_one_clear_error(name: str, text: str) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"FASHIONREC_{name.upper()}", text.replace("\0", ""))
        try:
            Settings.load(**({} if name == "home" else {"home": folder}))
        except ValueError:
            return


def test_no_setting_is_a_secret_and_a_secret_is_no_setting(tmp_path: Path) -> None:
    def names(model: type[BaseModel]) -> list[str]:
        found: list[str] = []
        for name, field in model.model_fields.items():
            kinds = [field.annotation, *get_args(field.annotation)]
            inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
            found += [name, *(below for kind in inner for below in names(kind))]
        return found

    known = names(Settings)
    assert "clip" in known and "max_output_tokens" in known
    assert [name for name in known if is_secret_name(name)] == []
    for section, name in (("descriptions", "api_key"), ("automation", "webhook_url"), ("", "openai_api_key")):
        given_: dict[str, Any] = {section: {name: "sk-verysecret"}} if section else {name: "sk-verysecret"}
        (tmp_path / "settings.json").write_text(json.dumps(given_), "utf-8")
        with pytest.raises(ValidationError, match=name) as refused:
            Settings.load(home=tmp_path)
        assert "sk-verysecret" not in str(refused.value)
        said = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
        assert said.exit_code == 2 and name in said.output and "sk-verysecret" not in said.output


@given(text=json_texts(json_values))
def test_cursors_summaries_releases_and_erasures_are_read_or_refused(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    assert isinstance(Memory.of(text), Memory)
    with TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("summary.json", "erasures.json", "releases/state.json", "releases/r1/release.json"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(data)
        with pytest.raises(ValueError):
            Summary.read(home)
        with pytest.raises(ErasuresDamagedError):
            Erasures.read(home)
        releases = Releases.of(home)
        assert releases.all() == [] and releases.served() is None
        assert releases.state() is not None


def test_the_doctor_lives_with_a_damaged_summary(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"success": "perh', "utf-8")
    said = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
    assert said.exception is None or isinstance(said.exception, SystemExit)
    assert "damaged" in said.output


@given(state=st.text(max_size=5), since=st.floats(allow_nan=False, allow_infinity=False), asked=texts)
def test_a_cursor_is_read_back(state: str, since: float, asked: str) -> None:
    try:
        said = Memory(state=state, since=since, asked=asked).model_dump_json()
    except ValueError:
        return
    assert Memory.of(said) == Memory(state=state, since=since, asked=asked)


@given(pairs=st.lists(st.tuples(any_texts, st.text("0123456789abcdef", max_size=8)), max_size=4))
def test_different_lists_of_files_have_different_digests(pairs: list[tuple[str, str]]) -> None:
    try:
        found = combined_digest(pairs)
    except UnicodeEncodeError:
        # A lone surrogate that no file name decodes to.
        assert any("\ud800" <= char <= "\udfff" for name, _ in pairs for char in name)
        return
    assert found == combined_digest(list(pairs))
    assert pairs == [] or combined_digest(pairs[:-1]) != found
    assert digest([list(pair) for pair in pairs]) == digest(json.loads(json.dumps([list(pair) for pair in pairs])))


@given(names=st.lists(st.text(string.ascii_letters + "é红 '\".-", min_size=1, max_size=6), min_size=1, max_size=3))
def test_a_folder_has_the_digest_of_what_is_in_it(names: list[str]) -> None:
    with TemporaryDirectory() as folder:
        for name in names:
            Path(folder, f"f{name}").write_text(name, "utf-8")
        before = path_digest(Path(folder))
        assert before == path_digest(Path(folder))
        Path(folder, f"f{names[0]}").write_text("other" + names[0], "utf-8")
        assert path_digest(Path(folder)) != before


@examples(0.3)
@given(words=st.lists(texts, min_size=1, max_size=3), command=st.sampled_from(["similar", "recommend", "run", "ask"]))
@example(words=["--select", LIVE[0]], command="check")
def test_any_argument_is_understood_or_refused_without_a_traceback(words: list[str], command: str) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder, "home")
        options = ["--home", str(home), "--source", "no-such-source"] if command == "run" else ["--home", str(home)]
        found = CliRunner().invoke(app, [command, *options, *(["--unknown"] if command == "run" else []), *words])
    assert found.exit_code in (0, 1, 2)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    assert "Traceback" not in found.output and "\x1b" not in found.output and "\x07" not in found.output


@given(text=any_texts)
@example(text="\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe")
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not any(char in shown for char in "\x1b\x07\x08\x9b\r\u202e\u2066")
    assert visible(shown) == shown
    with console.capture() as captured:
        from rich.markup import escape
        from rich.table import Table

        console.print(f"[bold]{escape(text)}[/]")
        table = Table(title=escape(text))
        table.add_column(escape(text))
        table.add_row(escape(text))
        console.print(table)
    # A test's console has no colours: every escape character would be the text's.
    assert not any(char in captured.get() for char in "\x1b\x07\x9b\u202e")

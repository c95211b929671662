"""Secrets: from the environment alone, and never in a file of the home, a log, an error or on the terminal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashionrec_assets.catalog import assets as catalog_assets
from fashionrec_assets.cli.app import console
from fashionrec_assets.definitions import build_definitions
from fashionrec_assets.resources import notifications
from fashionrec_assets.resources.notifications import Failure, Notice, tell
from fashionrec_assets.resources.redaction import BLOT, harmless, install, is_secret_name, redacted
from fashionrec_assets.resources.runs import instance_of, run_job
from fashionrec_assets_tests.catalog.shop import RawShop
from fashionrec_assets_tests.end_to_end.place import Place
from fashionrec_assets_tests.security.hostile import texts

KEY = "sk-4f0c-no+one/may=read-this"
PASSWORD = "pw-7f3a-unseen"
HOOK = "T00/B00/xoxb-hooked"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("FASHIONREC_WEBHOOK_URL", f"https://hooks.example/{HOOK}")


@contextmanager
def parrot(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers every call with the caller's own key: in the body, in a header, and in a redirect."""
    asked: list[str] = []
    left = list(statuses)

    class Parrot(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}", "code": "{KEY}"}}}}'.encode()
            status = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            if status < 400:
                self.send_header("Location", f"http://127.0.0.1:9/v1?api_key={KEY}")
            self.send_header("X-Request-Id", KEY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def files_with(folder: Path, *secrets: str) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    shop = RawShop(tmp_path)
    shop.write("catalog.csv", "item_id,title\na,red dress\nb,blue boots\n")
    shop.write("UserBehavior.csv", "u1,a,c,pv,1709510400\nu1,b,c,buy,1709610400\nu2,a,c,pv,1709710400\n")
    return Place(shop.raw, tmp_path / "home")


def test_secrets_that_come_back_are_nowhere_in_the_home_the_logs_or_the_terminal(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One run on an instance that is kept: a model's server repeats the key, and a step fails with secrets in hand."""

    def read(*_: object, **__: object) -> None:
        try:
            raise ValueError(f"Authorization: Bearer {KEY}")
        except ValueError as cause:
            raise RuntimeError(f"cannot reach https://hooks.example/{HOOK} with {KEY}") from cause

    monkeypatch.setattr(catalog_assets, "read_interactions", read)
    llm = {"provider": "openai", "model": "m", "backoff_s": 0.001, "max_attempts": 2, "batch_api": "never"}
    assets = ("items", "grounded_crops", "clarified_descriptions", "interactions")
    caplog.set_level(logging.DEBUG)
    with parrot(302, 401) as (address, asked), instance_of(place.home) as instance:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        definitions = build_definitions(place.settings(descriptions=llm))
        select = " or ".join(f'key:"{name}"' for name in assets)
        result = run_job(definitions, instance, "daily_refresh", select)
    assert asked, "the model was never asked"
    assert result.assets["clarified_descriptions"].new == 2
    ((step, message),) = result.errors
    assert step == "interactions" and BLOT in message
    console.print(message)
    said = capfd.readouterr()
    told = [said.out, said.err, caplog.text, str(result), *(record.getMessage() for record in caplog.records)]
    assert [text for text in told for secret in (KEY, PASSWORD, HOOK) if secret in text] == []
    assert files_with(place.home, BLOT) != [], "what went wrong is kept nowhere"
    assert files_with(place.home, KEY, PASSWORD, HOOK) == []


@pytest.mark.parametrize("status", [500, 307])
def test_a_dead_webhook_is_told_without_its_address(
    place: Place, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifications, "BACKOFF_S", 0.0)
    notice = Notice(job="j", run_id="r", home="h", success=False, failed_steps=(Failure(name="s", message="m"),))
    caplog.set_level(logging.DEBUG)
    with parrot(status) as (address, asked):
        monkeypatch.setenv("FASHIONREC_WEBHOOK_URL", f"{address}/{HOOK}")
        assert not tell(notice, place.settings(automation={"notify": "webhook"}))
    assert asked and caplog.records
    assert not any(secret in caplog.text for secret in (KEY, PASSWORD, HOOK))


@given(before=texts, after=texts)
def test_a_secret_is_blotted_out_wherever_it_stands_and_nothing_else_is(before: str, after: str) -> None:
    from urllib.parse import quote, quote_plus

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        for spelling in (KEY, quote(KEY, safe=""), quote_plus(KEY), repr(KEY)):
            said = redacted(before + spelling + after)
            assert spelling.strip("'") not in said and BLOT in said
        assert redacted(redacted(before)) == redacted(before)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abcdefgh and more", "and more"),
        ("{'authorization': 'Basic dXNlcjpwYXNz', 'x': 1}", "'x': 1"),
        ("GET https://user:hunter2@example.org/path", "example.org/path"),
        ("redirected to https://example.org/v1?api_key=abcdef&page=2", "page=2"),
        ("https://example.org/?X-Amz-Signature=0123abcd&x=1", "x=1"),
        (f"the path /{HOOK} was not found", "was not found"),
    ],
)
def test_what_is_secret_by_its_form_is_blotted_out(text: str, kept: str) -> None:
    said = redacted(text)
    assert BLOT in said and kept in said
    assert not any(word in said for word in ("abcdef", "dXNl", "hunter2", "0123abcd", "xoxb"))


@pytest.mark.parametrize(
    "text", ["3 tokens of 20 used", "key:clip_model failed", "a monkey=banana", "see https://example.org/a@b?page=2"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("FASHIONREC_WEBHOOK_URL", True),
        ("HF_TOKEN", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("PGPASSWORD", False),
        ("DB_PASSWORD", True),
        ("FASHIONREC_DESCRIPTIONS__TOKEN_CAP", False),
        ("FASHIONREC_DESCRIPTIONS__MAX_OUTPUT_TOKENS", False),
        ("OPENAI_BASE_URL", False),
        ("MONKEY", False),
    ],
)
def test_a_variable_is_secret_by_its_name(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_no_log_record_holds_a_secret_whoever_makes_it() -> None:
    class Kept(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.lines: list[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.lines.append(logging.Formatter("%(message)s").format(record))

    before = logging.getLogRecordFactory()
    handler, log = Kept(), logging.getLogger("somebody.elses.module")
    log.addHandler(handler)
    log.propagate = False
    try:
        install()
        install()
        log.error("called with %s", KEY)
        log.error("nothing %d", 5)
        log.error({"Authorization": f"Bearer {KEY}"})
        try:
            raise RuntimeError(f"no {KEY}")
        except RuntimeError:
            log.exception("oh")
    finally:
        logging.setLogRecordFactory(before)
        log.removeHandler(handler)
    assert len(handler.lines) == 4 and handler.lines[1] == "nothing 5"
    assert "RuntimeError" in handler.lines[3] and not any(KEY in line for line in handler.lines)


def test_an_error_that_will_not_change_its_words_is_replaced() -> None:
    class StubbornError(Exception):
        def __str__(self) -> str:
            return f"always {KEY}"

    told = harmless(StubbornError())
    assert isinstance(told, RuntimeError) and KEY not in str(told) and "StubbornError" in str(told)
    outer = ValueError("fine")
    outer.__cause__ = StubbornError()
    assert harmless(outer) is outer and outer.__cause__ is None
    noted = KeyError(KEY)
    noted.add_note(f"with {KEY}")
    found = harmless(noted)
    assert found is noted and KEY not in str(found) and KEY not in found.__notes__[0]


@given(text=st.text(max_size=30))
def test_ordinary_text_passes_through_a_harmless_error(text: str) -> None:
    error = ValueError(text)
    assert harmless(error) is error
    assert error.args == (redacted(text),)

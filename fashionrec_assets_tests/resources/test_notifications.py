from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from fashionrec_assets.cli import app
from fashionrec_assets.resources import notifications
from fashionrec_assets.resources.notifications import (
    WEBHOOK_URL,
    Failure,
    Notice,
    notice_of_log,
    notice_of_result,
    tell,
)
from fashionrec_assets.resources.runs import RunResult, run_job
from fashionrec_assets.settings import Settings
from fashionrec_assets.storage.ledger import Counts

SECRET = "T0PSECRETPATH"
FAILED = Notice(
    job="daily_refresh",
    run_id="r1",
    home="shop",
    success=False,
    failed_steps=(Failure(name="items", message="catalog.csv: required column missing"),),
)

heard: list[Notice] = []


def listener(notice: Notice) -> None:
    heard.append(notice)


def deaf(notice: Notice) -> None:
    raise RuntimeError(f"no ears for {SECRET}")


class Hook:
    """A web server on the loopback interface that answers with the statuses it is given, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.statuses.pop(0) if hook.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    made = Hook()
    monkeypatch.setenv(WEBHOOK_URL, made.url)
    monkeypatch.setattr(notifications, "BACKOFF_S", 0.001)
    yield made
    made.close()


def settings(tmp_path: Path, way: str) -> Settings:
    return Settings.load(home=tmp_path, automation={"notify": way})


def test_a_webhook_gets_the_failures_in_fields_and_in_words(hook: Hook, tmp_path: Path) -> None:
    assert tell(FAILED, settings(tmp_path, "webhook"))
    (body,) = hook.bodies
    assert body["job"] == "daily_refresh" and body["home"] == "shop" and not body["success"]
    assert body["failed_steps"] == [{"name": "items", "message": "catalog.csv: required column missing"}]
    assert body["text"].splitlines()[0] == "daily_refresh of shop failed (run r1)"


def test_a_server_that_stumbles_is_tried_again(hook: Hook, tmp_path: Path) -> None:
    hook.statuses = [500, 429]
    assert tell(FAILED, settings(tmp_path, "webhook"))
    assert len(hook.bodies) == 3


@pytest.mark.parametrize(("statuses", "asked"), [([500] * 9, notifications.ATTEMPTS), ([404], 1)])
def test_a_server_that_refuses_is_logged_without_its_address(
    hook: Hook, tmp_path: Path, caplog: pytest.LogCaptureFixture, statuses: list[int], asked: int
) -> None:
    hook.statuses = statuses
    with caplog.at_level(logging.DEBUG):
        assert not tell(FAILED, settings(tmp_path, "webhook"))
    assert len(hook.bodies) == asked
    assert "daily_refresh of shop failed" in caplog.text and SECRET not in caplog.text


def test_a_dead_or_absent_webhook_raises_nothing(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(WEBHOOK_URL, "http://127.0.0.1:9/" + SECRET)
    assert not tell(FAILED, settings(tmp_path, "webhook"))
    monkeypatch.delenv(WEBHOOK_URL)
    assert not tell(FAILED, settings(tmp_path, "webhook"))
    assert caplog.text.count("nobody was told") == 2 and SECRET not in caplog.text


def test_nobody_hears_of_a_run_that_went_well(hook: Hook, tmp_path: Path) -> None:
    assert not tell(Notice(job="daily_refresh", run_id="r", home="h", success=True), settings(tmp_path, "webhook"))
    assert hook.bodies == []


def test_a_function_of_ones_own_is_called_and_may_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard.clear()
    assert tell(FAILED, settings(tmp_path, f"{__name__}:listener"))
    assert heard == [FAILED]
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    assert not tell(FAILED, settings(tmp_path, f"{__name__}:deaf"))
    assert "no ears" in caplog.text and SECRET not in caplog.text
    assert not tell(FAILED, settings(tmp_path, "no.such.module:at_all"))


def test_the_log_is_the_way_of_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert tell(FAILED, Settings.load(home=tmp_path))
    assert "step items: catalog.csv" in caplog.text


def test_what_is_told_is_short_and_says_how_much_was_left_out() -> None:
    many = FAILED.model_copy(update={"failed_steps": tuple(Failure(name=str(n), message="m") for n in range(30))})
    assert len(json.loads(many.payload())["failed_steps"]) == notifications.MOST_NAMED
    assert many.text().endswith("- and 10 more")


@dg.asset
def broken() -> None:
    raise ValueError("the cause is " + SECRET + " " + "x" * 2000)


@dg.asset
def fine() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"unit": "item", **Counts(new=1).as_dict(), "seconds": 0.1})


@dg.asset_check(asset=fine)
def blocked() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="not promoted: worse by 0.02")


@dg.asset_check(asset=fine)
def doubtful() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)


def test_the_notice_of_a_run_is_the_same_from_its_log_and_from_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    jobs = [dg.define_asset_job("all_of_it"), dg.define_asset_job("the_fine_one", selection=["fine"])]
    definitions = dg.Definitions(assets=[broken, fine], asset_checks=[blocked, doubtful], jobs=jobs)
    with dg.DagsterInstance.ephemeral() as instance:
        notices = []
        for job in ("all_of_it", "the_fine_one"):
            result: RunResult = run_job(definitions, instance, job)
            run = instance.get_run_by_id(result.run_id)
            assert run is not None
            notice = notice_of_log(instance, run, tmp_path)
            assert notice == notice_of_result(job, result, tmp_path)
            notices.append(notice)
    failed, went_through = notices
    (step,) = failed.failed_steps
    assert step.name == "broken" and "the cause is" in step.message
    assert SECRET not in step.message and len(step.message) == notifications.LONGEST_MESSAGE
    assert went_through.success and went_through.is_news()
    assert went_through.failed_checks == (Failure(name="fine:blocked", message="not promoted: worse by 0.02"),)
    assert went_through.home == tmp_path.name and str(tmp_path) not in went_through.text()


def test_the_command_run_tells_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHIONREC_AUTOMATION__NOTIFY", f"{__name__}:listener")
    heard.clear()
    words = ["run", "--raw", str(tmp_path / "nowhere"), "--home", str(tmp_path / "home"), "--select", 'key:"items"']
    assert CliRunner().invoke(app, words).exit_code == 1
    (notice,) = heard
    assert notice.job == "daily_refresh" and notice.home == "home" and not notice.success
    assert notice.failed_steps[0].name == "items" and "no such folder" in notice.failed_steps[0].message

"""Who hears of a run that failed, or of an ERROR check that did.

Belongs here: what is told of a run, in which form, and the three ways of telling it. Does not belong here: when to
tell (`automation.py`, and the command `run`).

`automation.notify` chooses the way: `log`; `webhook`, a POST of JSON to the address in the environment variable
FASHIONREC_WEBHOOK_URL, which is a secret and is never logged; or `package.module:function`, called with a `Notice`.
Telling never fails a run or a sensor: a dead webhook is logged, and the run is as it was.

The JSON is `Notice` by its fields, and `text`, the same in words, which is what Slack and Mattermost show.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import httpx
from pydantic import BaseModel, ConfigDict
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from fashionrec_assets.resources.redaction import redacted
from fashionrec_assets.resources.runs import RunResult, message_of
from fashionrec_assets.settings import Settings

WEBHOOK_URL = "FASHIONREC_WEBHOOK_URL"
ATTEMPTS = 4
BACKOFF_S = 0.5
TIMEOUT_S = 10.0
LONGEST_MESSAGE = 500
MOST_NAMED = 20

_log = logging.getLogger(__name__)


class Failure(BaseModel):
    """A step, or a check as `asset:check`, and what it says of itself."""

    model_config = ConfigDict(frozen=True)

    name: str
    message: str


class Notice(BaseModel):
    """What there is to tell of a run. `home` is the name of the folder, not its path."""

    model_config = ConfigDict(frozen=True)

    job: str
    run_id: str
    home: str
    success: bool
    failed_steps: tuple[Failure, ...] = ()
    failed_checks: tuple[Failure, ...] = ()

    def is_news(self) -> bool:
        """Whether anybody needs to hear of it."""
        return not self.success or bool(self.failed_checks)

    def text(self) -> str:
        """All of it in words, a line for each failure."""
        how = "failed" if not self.success else f"succeeded, with {len(self.failed_checks)} failed checks"
        lines = [f"{self.job} of {self.home} {how} (run {self.run_id})"]
        for kind, failures in (("step", self.failed_steps), ("check", self.failed_checks)):
            lines += [f"- {kind} {one.name}: {one.message}" for one in failures[:MOST_NAMED]]
            if len(failures) > MOST_NAMED:
                lines.append(f"- and {len(failures) - MOST_NAMED} more")
        return "\n".join(lines)

    def payload(self) -> bytes:
        """The JSON a webhook gets."""
        named = {"failed_steps": self.failed_steps[:MOST_NAMED], "failed_checks": self.failed_checks[:MOST_NAMED]}
        document = {"text": self.text(), **self.model_copy(update=named).model_dump(mode="json")}
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def notice_of_log(instance: dg.DagsterInstance, run: dg.DagsterRun, home: Path) -> Notice:
    """The notice of a finished run, from what its log tells."""
    steps: list[Failure] = []
    checks: list[Failure] = []
    wanted = {
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    }
    general = ""
    for entry in instance.all_logs(run.run_id, of_type=wanted):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            steps.append(_failure(event.step_key or "", message_of(event)))
        elif event.event_type == dg.DagsterEventType.RUN_FAILURE:
            general = event.message or ""
        else:
            told = event.asset_check_evaluation_data
            if not told.passed and told.severity == dg.AssetCheckSeverity.ERROR:
                name = f"{told.asset_key.to_user_string()}:{told.check_name}"
                checks.append(_failure(name, told.description or ""))
    if general and not steps and not checks:
        steps.append(_failure("run", general))
    return Notice(
        job=run.job_name,
        run_id=run.run_id,
        home=home.resolve().name,
        success=run.status == dg.DagsterRunStatus.SUCCESS,
        failed_steps=tuple(steps),
        failed_checks=tuple(checks),
    )


def notice_of_result(job: str, result: RunResult, home: Path) -> Notice:
    """The notice of a run this process did."""
    return Notice(
        job=job,
        run_id=result.run_id,
        home=home.resolve().name,
        success=result.success,
        failed_steps=tuple(_failure(step, message) for step, message in result.errors),
        failed_checks=tuple(
            _failure(one.name, one.description) for one in result.checks.results if one.status == "failed"
        ),
    )


def tell(notice: Notice, settings: Settings) -> bool:
    """Tell a notice that is news, the way `automation.notify` says; whether it was told. Raises nothing."""
    if not notice.is_news():
        return False
    way = settings.automation.notify
    try:
        if way == "webhook":
            _post(notice)
        elif way == "log":
            _log.error("%s", notice.text())
        else:
            _call(way, notice)
    except Exception as error:
        # The words of httpx name the address, which is a secret.
        said = type(error).__name__ if way == "webhook" else redacted(f"{type(error).__name__}: {error}")
        _log.error("nobody was told by %s (%s): %s", way, said, notice.text())
        return False
    return True


def _failure(name: str, message: str) -> Failure:
    short = " ".join(redacted(message).split())
    return Failure(name=name, message=short if len(short) <= LONGEST_MESSAGE else short[: LONGEST_MESSAGE - 1] + "…")


def _call(target: str, notice: Notice) -> None:
    module, _, name = target.partition(":")
    getattr(importlib.import_module(module), name)(notice)


def _post(notice: Notice) -> None:
    """POST the notice; connection errors, 429 and 5xx are tried again. Raises if it did not get through."""
    address = os.environ.get(WEBHOOK_URL, "").strip()
    if urlsplit(address).scheme not in ("http", "https"):
        raise LookupError(f"{WEBHOOK_URL} has no address that starts with http:// or https://")
    attempts = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=wait_random_exponential(multiplier=BACKOFF_S, max=30.0),
        stop=stop_after_attempt(ATTEMPTS),
    )
    try:
        with _address_unlogged(), httpx.Client(timeout=TIMEOUT_S) as client:
            for attempt in attempts:
                with attempt:
                    answer = client.post(
                        address, content=notice.payload(), headers={"Content-Type": "application/json; charset=utf-8"}
                    )
                    answer.raise_for_status()
    except RetryError as error:
        raise error.last_attempt.exception() or error from None


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


@contextmanager
def _address_unlogged() -> Generator[None]:
    """httpx logs every address it calls; this one is a secret."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""The language model behind any endpoint that speaks OpenAI's chat completions protocol.

Belongs here: the requests and answers of the protocol (single calls and the Batch API), retries, timeouts, and turning
every failure into one of a closed set of words. Does not belong here: what is asked (`descriptions.prompts`), what an
answer is worth (`descriptions.evaluator`), what it may cost (`spending.py`).

The key comes from OPENAI_API_KEY and the address from OPENAI_BASE_URL, and both stay in this module. Nothing of a
provider's error text leaves it either: such texts quote prompts, accounts and sometimes keys. `openai` is imported
when the first client is made.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import json
import logging
import math
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from fashionrec_assets.resources.spending import Meter, OverBudgetError, Use
from fashionrec_assets.settings import ModelCallSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

_T = TypeVar("_T")

KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
_OFFICIAL = "https://api.openai.com/v1"
_TOKENS_AROUND = 64
"""Tokens a server adds around the messages of a call, at the most."""
_CHATTY = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_BATCH_TAG = "fashionrec_batch"
_UPLOAD_TIMEOUT_S = 600.0


class Failure(StrEnum):
    """Why there is no answer. An item that met one of these is tried again by the next run."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    UNREADABLE = "unreadable_answer"
    BAD_REQUEST = "bad_request"
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "unknown_model_or_path"
    QUOTA = "quota_exhausted"
    OVER_BUDGET = "over_budget"
    BATCH_PENDING = "batch_pending"
    BATCH_LOST = "batch_lost"


_WORTH_ANOTHER = frozenset(
    {Failure.RATE_LIMITED, Failure.SERVER_ERROR, Failure.TIMEOUT, Failure.CONNECTION, Failure.UNREADABLE}
)
_HOPELESS = frozenset({Failure.UNAUTHORISED, Failure.NOT_FOUND, Failure.QUOTA})


class CallFailedError(Exception):
    """There is no answer. `sent` tells whether the call may have been charged, `retry_after` what the server asked."""

    def __init__(self, failure: Failure, *, sent: bool = False, retry_after: float | None = None) -> None:
        super().__init__(failure.value)
        self.failure = failure
        self.sent = sent
        self.retry_after = retry_after


class NoEndpointError(RuntimeError):
    """Neither a key nor an address is set."""


@dataclass(frozen=True)
class Question:
    """One call: the two messages, the JSON schema of the answer, and a JPEG for a model that takes images."""

    system: str
    user: str
    answer_format: Mapping[str, Any]
    jpeg: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What came back. `use` is None if the server did not say."""

    text: str
    refused: bool
    cut_short: bool
    use: Use | None


@dataclass(frozen=True)
class CallSettings:
    """How calls are made; times in seconds."""

    model: str
    max_output_tokens: int
    temperature: float | None = None
    output_limit_name: str = "max_completion_tokens"
    image_tokens: int = 3_000
    call_timeout_s: float = 60.0
    max_attempts: int = 5
    backoff_s: float = 1.0
    longest_wait_s: float = 120.0
    give_up_after: int = 20

    @classmethod
    def of(cls, settings: ModelCallSettings, *, model: str | None = None, image_tokens: int = 3_000) -> CallSettings:
        """The calls of a section of the settings, to its model or to another one."""
        return cls(
            model=model or settings.model or "",
            max_output_tokens=settings.max_output_tokens,
            temperature=settings.temperature,
            output_limit_name=settings.output_limit_name,
            image_tokens=image_tokens,
            call_timeout_s=settings.call_timeout_s,
            max_attempts=settings.max_attempts,
            backoff_s=settings.backoff_s,
            longest_wait_s=settings.longest_wait_s,
            give_up_after=settings.give_up_after,
        )


@dataclass(frozen=True)
class BatchState:
    """A batch as the server tells it: `done` once nothing more will come; its files may be absent.

    `files` hold the answers, `sent` the questions.
    """

    batch_id: str
    done: bool
    files: tuple[str, ...] = ()
    sent: str | None = None


@dataclass(frozen=True)
class BatchLine:
    """One line of a batch's files: the answer, or why there is none."""

    custom_id: str
    answer: Answer | None
    failure: Failure | None = None


def endpoint_host() -> str:
    """The host that calls go to, without path, user or key: for people to see what is in force."""
    return urlsplit(os.environ.get(BASE_URL) or _OFFICIAL).hostname or "unknown"


def endpoint_is_set() -> bool:
    """Whether the environment names a key, or an address that may need none."""
    return bool(os.environ.get(KEY) or os.environ.get(BASE_URL))


@contextmanager
def quiet() -> Generator[None]:
    """Keep the client's own log lines out of the log: they quote requests, addresses and answers."""
    before = {name: logging.getLogger(name).level for name in _CHATTY}
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class ChatModel:
    """Calls one model, as `settings` say, within what `meter` allows.

    Asynchronous calls belong to one event loop; between `opened` and its end they share their connections.
    """

    def __init__(self, settings: CallSettings, meter: Meter) -> None:
        if not endpoint_is_set():
            raise NoEndpointError(
                f"descriptions.provider is openai, but neither {KEY} nor {BASE_URL} is set. Set {KEY} (and {BASE_URL} "
                "for another endpoint than OpenAI's), or set FASHIONREC_DESCRIPTIONS__PROVIDER=deterministic."
            )
        address = urlsplit(os.environ.get(BASE_URL) or _OFFICIAL)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise NoEndpointError(f"{BASE_URL} is not an address that starts with http:// or https://.")
        self.settings = settings
        self.meter = meter
        self.closed: Failure | None = None
        """Why no further call is made in this run."""
        self._failed_in_a_row = 0
        self._not_before = 0.0
        self._client: AsyncOpenAI | None = None

    def most(self, question: Question) -> Use:
        """The most tokens a call can use: a token has at least one byte, and for images the settings say.

        A server that counted more than that in this run is believed from then on.
        """
        text = len(question.system.encode()) + len(question.user.encode()) + len(json.dumps(question.answer_format))
        image = self.settings.image_tokens if question.jpeg is not None else 0
        factor = self.meter.underestimated
        return Use(
            math.ceil(factor * (text + image + _TOKENS_AROUND)), math.ceil(factor * self.settings.max_output_tokens)
        )

    def body(self, question: Question) -> dict[str, Any]:
        """The request as JSON."""
        user: Any = question.user
        if question.jpeg is not None:
            url = "data:image/jpeg;base64," + base64.b64encode(question.jpeg).decode("ascii")
            user = [{"type": "text", "text": user}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [{"role": "system", "content": question.system}, {"role": "user", "content": user}],
            "response_format": dict(question.answer_format),
            self.settings.output_limit_name: self.settings.max_output_tokens,
        }
        if self.settings.temperature is not None:
            body["temperature"] = self.settings.temperature
        return body

    async def open(self) -> None:
        """Make the client. Call inside the event loop that asks."""
        from openai import AsyncOpenAI

        self._client = AsyncOpenAI(**self._client_arguments(self.settings.call_timeout_s))
        # Loads the modules of the protocol now rather than in the time of the first call.
        _ = self._client.chat.completions.with_raw_response

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ask(self, question: Question) -> Answer:
        """The answer, after as many attempts as the settings allow.

        Raises CallFailedError with the last failure. A failure that every call would meet (a refused key, an unknown
        model, an exhausted quota or budget, a wait longer than `longest_wait_s`, `give_up_after` failed calls in a row)
        closes the model: all later calls of the run fail at once with the same word.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception(self._worth_another),
            wait=self._wait,
            stop=stop_after_attempt(self.settings.max_attempts),
            before_sleep=self._count_retry,
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    answer = await self._attempt(question)
                    self._failed_in_a_row = 0
                    return answer
        except CallFailedError as failed:
            self._note(failed)
            raise
        raise AssertionError("a retry loop ends by returning or raising")

    async def _attempt(self, question: Question) -> Answer:
        while (pause := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        if self.closed is not None:
            raise CallFailedError(self.closed)
        most = self.most(question)
        try:
            await self.meter.reserve(most)
        except OverBudgetError:
            self.closed = Failure.OVER_BUDGET
            raise CallFailedError(Failure.OVER_BUDGET) from None
        used: Use | None = None
        sent = True
        try:
            answer = await self._send(self.body(question))
            used = answer.use
            return answer
        except CallFailedError as failed:
            sent = failed.sent
            if failed.retry_after is not None:
                self._not_before = max(self._not_before, time.monotonic() + self._bounded(failed.retry_after))
            raise
        finally:
            self.meter.settle(most, used, sent=sent)

    async def _send(self, body: dict[str, Any]) -> Answer:
        assert self._client is not None, "call open() first"
        try:
            with _translated():
                async with asyncio.timeout(self.settings.call_timeout_s):
                    response = await self._client.chat.completions.with_raw_response.create(**body)
            return read_answer(response.content)
        except _FilteredError:
            return _FILTERED_ANSWER
        except TimeoutError:
            raise CallFailedError(Failure.TIMEOUT, sent=True) from None

    def _worth_another(self, error: BaseException) -> bool:
        if not isinstance(error, CallFailedError) or error.failure not in _WORTH_ANOTHER or self.closed is not None:
            return False
        return error.retry_after is None or error.retry_after <= self.settings.longest_wait_s

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallFailedError) else None
        jittered = wait_random_exponential(multiplier=self.settings.backoff_s, max=self.settings.longest_wait_s)(state)
        # A little jitter on top of what the server asked, lest all callers come back at once.
        return jittered if asked is None else asked + min(jittered, 0.1 * asked)

    def _bounded(self, seconds: float) -> float:
        return min(seconds, self.settings.longest_wait_s)

    def _count_retry(self, _: RetryCallState) -> None:
        self.meter.retries += 1

    def _note(self, failed: CallFailedError) -> None:
        if self.closed is not None:
            return
        self._failed_in_a_row += 1
        too_long = failed.retry_after is not None and failed.retry_after > self.settings.longest_wait_s
        if failed.failure in _HOPELESS or too_long or self._failed_in_a_row >= self.settings.give_up_after:
            self.closed = failed.failure

    # The Batch API: rare calls with large files, made one after the other.

    @cached_property
    def _blocking(self) -> OpenAI:
        from openai import OpenAI

        return OpenAI(**self._client_arguments(_UPLOAD_TIMEOUT_S))

    def _client_arguments(self, timeout: float) -> dict[str, Any]:
        # Endpoints of one's own often want no key, but the client insists on a word.
        return {"api_key": os.environ.get(KEY) or "none", "timeout": timeout, "max_retries": 0}

    def submit_batch(self, requests: Path, fingerprint: str) -> str:
        """Upload a file of requests and start a batch of it, tagged with `fingerprint`; the batch's id.

        Starting is tried once: whether a lost answer started a batch is for `find_batch` to tell. Raises
        CallFailedError.
        """
        client = self._blocking
        uploaded = self._patiently(
            lambda: _File.model_validate_json(
                client.files.with_raw_response.create(file=requests, purpose="batch").content
            )
        )
        with _translated():
            started = client.batches.with_raw_response.create(
                input_file_id=uploaded.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_BATCH_TAG: fingerprint},
            )
            return _Batch.model_validate_json(started.content).id

    def find_batch(self, fingerprint: str, not_before: float) -> str | None:
        """The id of the batch tagged with `fingerprint`, started after `not_before` (Unix time), or None.

        Raises CallFailedError.
        """
        last: str | None = None
        while True:
            page = self._patiently(lambda last=last: self._page(last))
            for batch in page.data:
                if (batch.metadata or {}).get(_BATCH_TAG) == fingerprint:
                    return batch.id
            if not page.has_more or not page.data or page.data[-1].created_at < not_before:
                return None
            last = page.data[-1].id

    def _page(self, after: str | None) -> _Batches:
        further: dict[str, Any] = {} if after is None else {"after": after}
        return _Batches.model_validate_json(self._blocking.batches.with_raw_response.list(limit=100, **further).content)

    def batch_state(self, batch_id: str) -> BatchState:
        """How a batch stands; one that the server no longer knows is done, without files. Raises CallFailedError."""
        try:
            batch = self._patiently(
                lambda: _Batch.model_validate_json(self._blocking.batches.with_raw_response.retrieve(batch_id).content)
            )
        except CallFailedError as failed:
            if failed.failure is Failure.NOT_FOUND:
                return BatchState(batch_id, done=True)
            raise
        done = batch.status in ("completed", "failed", "expired", "cancelled")
        files = tuple(one for one in (batch.output_file_id, batch.error_file_id) if one)
        return BatchState(batch_id, done, files if done else (), batch.input_file_id)

    def batch_lines(self, state: BatchState) -> Iterator[BatchLine]:
        """The answers of a finished batch, in any order; lines that cannot be read are left out.

        Raises CallFailedError.
        """
        files = self._blocking.files.with_raw_response
        for file_id in state.files:
            content = self._patiently(lambda file_id=file_id: files.content(file_id).content)
            for line in content.splitlines():
                read = _read_line(line)
                if read is not None:
                    yield read

    def delete_files(self, state: BatchState) -> None:
        """Delete a collected batch's questions and answers at the server; what it does not delete stays there."""
        for file_id in (*state.files, state.sent):
            if file_id is not None:
                with suppress(CallFailedError), _translated():
                    self._blocking.files.with_raw_response.delete(file_id)

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """`call`, tried again as a single question is; for calls that cost nothing."""

        def once() -> _T:
            with _translated():
                return call()

        attempts = Retrying(
            retry=retry_if_exception(self._worth_another),
            wait=self._wait,
            stop=stop_after_attempt(self.settings.max_attempts),
            before_sleep=self._count_retry,
            reraise=True,
        )
        return attempts(once)


# The protocol: only what is read is declared, and everything else is ignored.


class _Usage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class _File(BaseModel):
    id: str


class _Batch(BaseModel):
    id: str
    status: str = ""
    created_at: float = 0.0
    metadata: dict[str, str] | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


class _Batches(BaseModel):
    data: list[_Batch]
    has_more: bool = False


class _LineResponse(BaseModel):
    status_code: int = 0
    body: Any = None


class _Line(BaseModel):
    custom_id: str
    response: _LineResponse | None = None


def read_answer(content: bytes) -> Answer:
    """A chat completion. Raises CallFailedError (`unreadable_answer`) if it is none."""
    try:
        completion = _Completion.model_validate_json(content)
    except ValidationError:
        raise CallFailedError(Failure.UNREADABLE, sent=True) from None
    choice, usage = completion.choices[0], completion.usage
    return Answer(
        choice.message.content or "",
        refused=bool(choice.message.refusal) or choice.finish_reason == "content_filter",
        cut_short=choice.finish_reason == "length",
        use=None if usage is None else Use(usage.prompt_tokens, usage.completion_tokens),
    )


def _read_line(line: bytes) -> BatchLine | None:
    try:
        read = _Line.model_validate_json(line)
    except ValidationError:
        return None
    if read.response is None:
        return BatchLine(read.custom_id, None, Failure.BATCH_LOST)
    if read.response.status_code != 200:
        error = read.response.body.get("error") if isinstance(read.response.body, dict) else None
        if isinstance(error, dict) and _is_filtered(error.get("code")):
            return BatchLine(read.custom_id, _FILTERED_ANSWER)
        return BatchLine(read.custom_id, None, _by_status(read.response.status_code))
    try:
        return BatchLine(read.custom_id, read_answer(json.dumps(read.response.body).encode()))
    except CallFailedError as failed:
        return BatchLine(read.custom_id, None, failed.failure)


_FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_FILTERED_ANSWER = Answer("", refused=True, cut_short=False, use=Use())
_STATUS = {
    400: Failure.BAD_REQUEST,
    401: Failure.UNAUTHORISED,
    403: Failure.UNAUTHORISED,
    404: Failure.NOT_FOUND,
    408: Failure.TIMEOUT,
    413: Failure.BAD_REQUEST,
    422: Failure.BAD_REQUEST,
    429: Failure.RATE_LIMITED,
}


def _is_filtered(code: object) -> bool:
    return isinstance(code, str) and code in _FILTERED


def _by_status(status: int) -> Failure:
    return _STATUS.get(status, Failure.SERVER_ERROR if status >= 500 else Failure.BAD_REQUEST)


class _FilteredError(CallFailedError):
    """The server's own filter refused the question."""

    def __init__(self) -> None:
        super().__init__(Failure.BAD_REQUEST)


@contextmanager
def _translated() -> Generator[None]:
    """Turn what the client raises into CallFailedError, without its text and without its traceback."""
    import openai

    try:
        yield
    except openai.APITimeoutError:
        raise CallFailedError(Failure.TIMEOUT, sent=True) from None
    except openai.APIConnectionError as error:
        # Refused before anything was sent, as the client's transport names it: not charged.
        unsent = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout", "PoolTimeout")
        raise CallFailedError(Failure.CONNECTION, sent=not unsent) from None
    except openai.APIStatusError as error:
        if _is_filtered(error.code):
            raise _FilteredError from None
        failure = Failure.QUOTA if error.code == "insufficient_quota" else _by_status(error.status_code)
        raise CallFailedError(failure, retry_after=_retry_after(error.response.headers)) from None
    except (openai.OpenAIError, ValidationError):
        raise CallFailedError(Failure.UNREADABLE, sent=True) from None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number, or the seconds until an HTTP date; None if it asks nothing."""
    milliseconds, text = headers.get("retry-after-ms"), headers.get("retry-after")
    for value, unit in ((milliseconds, 0.001), (text, 1.0)):
        try:
            seconds = float(value or "") * unit
        except ValueError:
            continue
        return seconds if 0 <= seconds < 1e9 else None
    try:
        return max(email.utils.parsedate_to_datetime(text or "").timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None

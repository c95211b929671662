"""Another attempt at an asset, where one can help.

Belongs here: which errors pass by themselves, and how long to wait for that. Does not belong here: retries inside one
call, such as of a language model (`llm.py`) or of opening the warehouse (`storage/warehouse.py`): what comes here has
outlasted those.

An error passes by itself when its cause lies outside the asset and outside its data: another process held the
warehouse or the home for too long, the operating system said "try again", a connection broke. An error of the data
(ContractError), of the code, of the settings, of a full or closed disk would come again, and trying again would only
delay the notice and cost the work twice: those fail at once. Retries of whole runs are for workers that died
(`dagster.yaml`), never for assets that failed.
"""

from __future__ import annotations

import errno
import random
import sys
from collections.abc import Callable

import dagster as dg

from fashionrec_assets.resources.lease import RunBusyError
from fashionrec_assets.settings import AutomationSettings
from fashionrec_assets.storage.warehouse import WarehouseBusyError

_TRANSIENT = (WarehouseBusyError, RunBusyError, ConnectionError, TimeoutError)
_PASSING_ERRNO = frozenset(
    getattr(errno, name)
    for name in ("EAGAIN", "EINTR", "EBUSY", "ESTALE", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH", "ENETRESET")
    if hasattr(errno, name)
)
_OF_LIBRARIES = (("httpx", "TransportError"), ("openai", "APIConnectionError"))


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed in a while though nobody changes anything."""
    if isinstance(error, _TRANSIENT + _library_errors()):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_ERRNO


def wait_before(attempt: int, settings: AutomationSettings, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait before further attempt number `attempt`, from 0.

    The longest wait doubles with each attempt, up to the cap. The wait is drawn from its upper half, so that two
    processes that were in each other's way do not meet again.
    """
    longest = min(settings.retry_wait_s * 2.0 ** min(attempt, 60), settings.longest_retry_wait_s)
    return longest * (0.5 + 0.5 * chance())


def retry_of(
    settings: AutomationSettings, instance: dg.DagsterInstance | None, run_id: str | None
) -> Callable[[Exception, str], Exception | None]:
    """What `Shop` asks when a stage failed: the request for another attempt, or None if one would not help.

    The attempts so far are those the run's log tells of: with the multiprocess executor each is a process of its own.
    """

    def retry(error: Exception, stage: str) -> Exception | None:
        if not settings.max_retries or instance is None or run_id is None or not is_transient(error):
            return None
        waits = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
        before = sum(event.step_key == stage for event in waits)
        return dg.RetryRequested(settings.max_retries, seconds_to_wait=wait_before(before, settings))

    return retry


def _library_errors() -> tuple[type[BaseException], ...]:
    # A library that was never imported raised nothing.
    return tuple(getattr(sys.modules[module], name) for module, name in _OF_LIBRARIES if module in sys.modules)

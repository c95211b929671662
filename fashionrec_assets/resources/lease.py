"""One run at a time in a home.

Belongs here: who is at work in a home, waiting for them, and saying so. Does not belong here: the single transaction
(`storage/warehouse.py`, which lets readers and a run in between each other), or what a run does.

A run takes the lease before its first stage and gives it back after its last; commands that change a home outside a
run take it as well. Reading needs no lease.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from fashionrec_assets.settings import Settings, StorageSettings
from fashionrec_assets.storage.files import write_text

if TYPE_CHECKING:
    import dagster as dg

_log = logging.getLogger(__name__)

OBSERVING = "observe_raw"
"""The job that changes nothing a run works with."""

POLL_S = 0.5
REMIND_S = 60.0
"""Who waits is told again after so long."""
_SAME_START_S = 2.0
_DEFAULTS = StorageSettings()

_held: set[tuple[Path, int]] = set()
"""(home, thread) of the leases of this process: a block inside a block of one thread must not wait for itself."""


class RunBusyError(RuntimeError):
    """Another run was at work in the home for longer than `storage.run_wait_s`."""


class Holder(BaseModel):
    """A process that works in a home. Its start is kept twice, in seconds: a clock that is set changes one of them."""

    model_config = ConfigDict(frozen=True)

    token: str
    pid: int
    started: float
    started_after_boot: float
    host: str
    worker: bool = False
    """Whether it is the parent of a run's steps, which has no block of its own: it ends by its death."""

    @classmethod
    def of(cls, pid: int, *, worker: bool = False) -> Holder:
        """The running process `pid`. Raises psutil.NoSuchProcess."""
        started = psutil.Process(pid).create_time()
        return cls(
            token=f"worker-{pid}" if worker else uuid.uuid4().hex,
            pid=pid,
            started=started,
            started_after_boot=started - psutil.boot_time(),
            host=_host(),
            worker=worker,
        )

    @property
    def is_elsewhere(self) -> bool:
        """Whether it runs where this process cannot look: on another host, or in another container."""
        return self.host != _host()

    def is_alive(self) -> bool:
        """Whether that very process still runs; only for one that is not elsewhere."""
        try:
            process = psutil.Process(self.pid)
            started, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False
        after_boot = started - psutil.boot_time()
        same = min(abs(started - self.started), abs(after_boot - self.started_after_boot)) < _SAME_START_S
        return same and not ended


class Owner(BaseModel):
    """What `<home>/run.json` says: the run at work, and the processes that do it."""

    run_id: str
    what: str
    since: str
    holders: tuple[Holder, ...]

    def told(self) -> str:
        """The run, for people who wait for it."""
        where = ", ".join(
            f"process {holder.pid}" + (f" on {holder.host.split()[0]}" if holder.is_elsewhere else "")
            for holder in self.holders
        )
        return f"{self.what} ({where}, since {self.since})"


@contextmanager
def run_lease(
    home: Path,
    run_id: str,
    *,
    what: str | None = None,
    wait_s: float = _DEFAULTS.run_wait_s,
    say: Callable[[str], None] = _log.warning,
    silent_s: float = _DEFAULTS.lease_timeout_s,
    joins: bool = False,
    worker: int | None = None,
    is_over: Callable[[str], bool] = lambda run_id: False,
) -> Generator[None]:
    """Be the only run at work in `home` until the block ends, waiting for the one that is.

    `what` names the run to those who wait (default: its id), `say` is told once who is at work and again every minute.
    Processes that died do not count, whatever they left behind; one on another host, which cannot be looked at, counts
    until it has given no sign for `silent_s` seconds of waiting. With `joins`, the processes of one run (same `run_id`)
    share the lease; `worker` is then the pid of their parent, which keeps it between them until it has died or
    `is_over(run_id)`. A block inside a block of the same thread shares it too.

    Raises RunBusyError after `wait_s` seconds.
    """
    home = home.resolve()
    place = (home, threading.get_ident())
    if place in _held:
        yield
        return
    desk = _Desk(home / "run.json", silent_s, is_over)
    holder = Holder.of(os.getpid())
    holders = [holder]
    if worker is not None:
        with suppress(psutil.NoSuchProcess):
            holders.insert(0, Holder.of(worker, worker=True))
    mine = Owner(
        run_id=run_id,
        what=what or run_id,
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        holders=tuple(holders),
    )
    _wait(desk, mine, joins, wait_s, say)
    _held.add(place)
    try:
        with _signs_of_life(desk.path, silent_s / 10):
            yield
    finally:
        _held.discard(place)
        desk.leave(holder)


def lease_of_run(context: dg.InitResourceContext, settings: Settings) -> AbstractContextManager[None]:
    """The lease for the Dagster run that a resource is made for; who waits is told in the run's log.

    None is needed outside a run, and by the job that only looks at the raw files.
    """
    run, instance = context.run, context.instance
    if run is None or run.job_name == OBSERVING:
        return nullcontext()

    def is_over(run_id: str) -> bool:
        known = None if instance is None else instance.get_run_by_id(run_id)
        return known is not None and known.is_finished

    # Only then are steps processes of their own; else the parent is a server or a shell that outlives the run.
    parent = multiprocessing.parent_process() if settings.automation.executor == "multiprocess" else None
    job = "a run of chosen assets" if run.job_name.startswith("__") else f"the run of {run.job_name}"
    return run_lease(
        settings.home,
        run.run_id,
        what=f"{job} {run.run_id[:8]}",
        wait_s=settings.storage.run_wait_s,
        say=(context.log or _log).warning,
        silent_s=settings.storage.lease_timeout_s,
        joins=True,
        worker=None if parent is None else parent.pid,
        is_over=is_over,
    )


def owner_of(home: Path, silent_s: float = _DEFAULTS.lease_timeout_s) -> Owner | None:
    """The run at work in `home`, or None; one whose processes have all died does not count.

    A look, not a wait: of a run on another host the clocks tell whether its last sign of life is `silent_s` old.
    """
    path = home / "run.json"
    with suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime >= silent_s:
            silent_s = 0.0
    return _Desk(path, silent_s, lambda run_id: False).owner()


def _wait(desk: _Desk, mine: Owner, joins: bool, wait_s: float, say: Callable[[str], None]) -> None:
    # The monotonic clock: the other one may be set while somebody waits.
    started, told = time.monotonic(), -REMIND_S
    while (other := desk.take(mine, joins)) is not None:
        waited = time.monotonic() - started
        if waited >= wait_s:
            raise RunBusyError(
                f"{other.told()} is still at work in {desk.path.parent} after {waited:.0f} s. Wait for it to finish, "
                "or stop it (Ctrl-C, or Terminate in the UI), and run again; storage.run_wait_s says how long to wait."
            )
        if waited - told >= REMIND_S:
            so_far = f" ({waited:.0f} s so far)" if told >= 0 else ""
            say(f"Waiting{so_far} for another run in {desk.path.parent} to finish: {other.told()}.")
            told = waited
        time.sleep(min(POLL_S, wait_s - waited))
    if told >= 0:
        say(f"Waited {time.monotonic() - started:.0f} s for another run; now it is this one's turn.")


class _Desk:
    """`run.json`, looked at and changed by one process at a time."""

    def __init__(self, path: Path, silent_s: float, is_over: Callable[[str], bool]) -> None:
        self.path = path
        self._silent_s = silent_s
        self._is_over = is_over
        self._sign: int | None = None
        self._signed = time.monotonic()
        self._lock = FileLock(f"{path}.lock", timeout=POLL_S)

    def take(self, mine: Owner, joins: bool) -> Owner | None:
        """Become (or join) the owner; the one that is in the way, if there is one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._lock:
                there = self.owner()
                if there is not None and not (joins and there.run_id == mine.run_id):
                    return there
                if there is not None:
                    tokens = {holder.token for holder in mine.holders}
                    others = tuple(holder for holder in there.holders if holder.token not in tokens)
                    mine = there.model_copy(update={"holders": (*others, *mine.holders)})
                write_text(self.path, mine.model_dump_json(indent=2) + "\n")
                return None
        except Timeout:
            return self.owner() or Owner(run_id="", what="a run that is just starting", since="now", holders=())

    def leave(self, holder: Holder) -> None:
        """Take `holder` off the file; the last one takes the file away."""
        # Without a time limit: what is not given back here would look like a run at work for as long as we live.
        with self._lock.acquire(timeout=-1):
            there = self._read()
            if there is None or holder not in there.holders:
                return
            rest = tuple(one for one in there.holders if one != holder)
            if rest:
                write_text(self.path, there.model_copy(update={"holders": rest}).model_dump_json(indent=2) + "\n")
            else:
                self.path.unlink(missing_ok=True)

    def owner(self) -> Owner | None:
        """The owner with those of its holders that count."""
        there = self._read()
        if there is None:
            return None
        silent = self._silent_for() >= self._silent_s
        over = any(holder.worker for holder in there.holders) and self._is_over(there.run_id)
        alive = tuple(
            holder
            for holder in there.holders
            if (not silent if holder.is_elsewhere else holder.is_alive()) and not (holder.worker and over)
        )
        return there.model_copy(update={"holders": alive}) if alive else None

    def _read(self) -> Owner | None:
        try:
            return Owner.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            # It is written whole or not at all: a file that cannot be read was no run's, and must not stop every run.
            _log.warning("%s cannot be read and is ignored", self.path)
            return None

    def _silent_for(self) -> float:
        """Seconds, of this process's watching, in which no holder gave a sign of life."""
        with suppress(FileNotFoundError):
            sign = self.path.stat().st_mtime_ns
            if sign != self._sign:
                self._sign, self._signed = sign, time.monotonic()
        return time.monotonic() - self._signed


@contextmanager
def _signs_of_life(path: Path, every_s: float) -> Generator[None]:
    """Touch `path` now and then: the only sign that a waiting process on another host can see."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(every_s):
            with suppress(FileNotFoundError):
                os.utime(path)

    thread = threading.Thread(target=touch, name="run-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _host() -> str:
    """The host and, on Linux, the process namespace: pids of another container mean nothing here."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()

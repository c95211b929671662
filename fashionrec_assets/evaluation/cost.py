"""What a piece of work costs: seconds, and by how much the process grew.

Belongs here: that. Does not belong here: deciding what is measured.

The growth of the resident set is an honest but coarse figure. Memory that an earlier step left free is used again
without growth, libraries loaded on the way count, and so does whatever else the process does at that moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import psutil

R = TypeVar("R")
_EVERY_S = 0.02


@dataclass(frozen=True)
class Cost(Generic[R]):
    """What came out, wall-clock `seconds`, and `growth`: bytes the resident set grew by at its peak, at least 0."""

    result: R
    seconds: float
    growth: int


def costing(work: Callable[[], R]) -> Cost[R]:
    """Does `work` while another thread looks at the resident set fifty times a second."""
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_EVERY_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, name="resident-set", daemon=True)
    started = time.perf_counter()
    watcher.start()
    try:
        result = work()
    finally:
        seconds = time.perf_counter() - started
        done.set()
        watcher.join()
    peak = max(peak, process.memory_info().rss)
    return Cost(result, seconds, peak - before)

"""Small works for the workers of the test's cluster, which import this module."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fashionrec_assets.resources.compute import Work


@dataclass(frozen=True)
class Doubled(Work[int, tuple[int, int]]):
    """(twice the number, the worker's process). At `dies_at` the process is killed, as often as `deaths` says."""

    notes: Path = Path()
    dies_at: int = -1
    deaths: int = 0

    def start(self) -> Callable[[int], tuple[int, int]]:
        def make(number: int) -> tuple[int, int]:
            died = len(list(self.notes.glob("died-*")))
            if number == self.dies_at and died < self.deaths:
                (self.notes / f"died-{died}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return 2 * number, os.getpid()

        return make


class RefusedError(ValueError):
    """An error whose constructor wants more than a message: written and not read back, as many of libraries are."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{number} is refused: {reason}")


@dataclass(frozen=True)
class Meeting(Work[int, int]):
    """The worker's process; its first batch takes until `workers` are at work, or raises TimeoutError."""

    notes: Path = Path()
    workers: int = 1

    def start(self) -> Callable[[int], int]:
        def make(number: int) -> int:
            (self.notes / f"at-work-{os.getpid()}").touch()
            patience = time.monotonic() + 120
            while len(list(self.notes.glob("at-work-*"))) < self.workers:
                if time.monotonic() > patience:
                    raise TimeoutError("the others never came")
                time.sleep(0.01)
            return os.getpid()

        return make


@dataclass(frozen=True)
class Failing(Work[int, int]):
    """The number; 2 raises LookupError."""

    def start(self) -> Callable[[int], int]:
        def make(number: int) -> int:
            if number == 2:
                raise LookupError("two is missing")
            return number

        return make


@dataclass(frozen=True)
class ReadsModel(Work[str, str]):
    """What stands in a file of the artifact `model`, and where the worker found it."""

    models = ("model",)

    def start(self) -> Callable[[str], str]:
        return lambda file: (self.shop.current("model") / file).read_text("utf-8")

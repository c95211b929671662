"""The points of a write at which a test may make it fail, or end the process.

Belongs here: naming a point and telling whoever listens. Does not belong here: any fault; tests bring their own.
Where nobody listens, `reached` does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

Handler = Callable[[str, str], None]
"""Is given the point and its subject: the path of what is written, or the name of a stage."""

POINTS = (
    "stage started",
    "stage done",
    "before write",
    "mid write",
    "before rename",
    "after rename",
    "before transaction",
    "in transaction",
    "before commit",
    "after commit",
    "before prune",
    "after prune",
)
"""Every point there is: in `mid write` half of the bytes are in the draft."""

_handler: Handler | None = None


def reached(point: str, subject: object = "") -> None:
    """Say that the program is at `point`; what the listener raises is raised there."""
    if _handler is not None:
        _handler(point, str(subject))


@contextmanager
def listening(handler: Handler) -> Generator[None]:
    """Have `handler` told of every point that this process reaches within the block."""
    global _handler
    before, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = before

"""Where the batches of a stage are computed: in this process, or by the workers of a Ray cluster.

Belongs here: what a stage says of its work (`Work`), which keys are worked on together (`pieces`), what comes of them
(`Made`), and computing in this process.
Does not belong here: the work of any stage (the rooms' `work.py`), Ray (`ray_compute.py`, imported only where the
settings name it), reading and writing: the process that runs a stage does both itself, in the order of the batches, so
that its files, ledger and tables do not tell where the work was done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from fashionrec_assets.settings import ComputeSettings
from fashionrec_assets.storage.ledger import batches

if TYPE_CHECKING:
    from fashionrec_assets.resources.shop import Shop

Task = TypeVar("Task")
Batch = TypeVar("Batch")
Result = TypeVar("Result")
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class Made:
    """What the work on a batch gave: rows for the store, the `output_fp` of each key, and rows for the stage's table.

    A key that is not in `outputs` failed: it has no output and stays to be done by the next run.
    """

    rows: pa.Table
    outputs: Mapping[str, str]
    table_rows: pa.Table | None = None

    @classmethod
    def joined(cls, parts: Sequence[Made]) -> Made:
        """The parts of one piece, in order, as if they had been made at once."""
        if len(parts) == 1:
            return parts[0]
        tables = [part.table_rows for part in parts if part.table_rows is not None]
        return cls(
            pa.concat_tables([part.rows for part in parts]),
            {key: output for part in parts for key, output in part.outputs.items()},
            pa.concat_tables(tables) if tables else None,
        )


@dataclass(frozen=True)
class Work(ABC, Generic[Batch, Result]):
    """What a stage does to a batch, wherever that is: its fields travel to the worker, and nothing else does.

    They travel once, however many batches there are, so that what all batches read may be one of them. Workers of one
    machine read the same copy of their arrays: nothing may be written into one.

    What a batch gives depends on the batch and the fields alone. In a worker `shop` has the settings and the artifacts
    named in `models`; the warehouse and the stores are read before, by the process that sends the batches.
    """

    shop: Shop
    models: ClassVar[tuple[str, ...]] = ()
    """Artifacts that a worker needs."""
    at_once: ClassVar[int] = 1_024
    """The most keys of a batch: what is in memory, and sent to a worker, at a time."""

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU makes it faster."""
        return False

    @abstractmethod
    def start(self) -> Callable[[Batch], Result]:
        """Load what every batch needs, once in each process; returns what computes one batch."""


def pieces(buckets: Iterable[Sequence[str]], at_once: int) -> Iterator[list[list[str]]]:
    """The keys of `buckets` in pieces that are written together, each as its batches of at most `at_once` sorted keys.

    Buckets that follow each other share a piece of one batch where it holds them all; a bucket larger than a batch is a
    piece of several. No bucket lies in two pieces, and what is left once the first pieces are done falls into the
    same pieces again.
    """
    together: list[str] = []
    for keys in buckets:
        if together and len(together) + len(keys) > at_once:
            yield list(batches(sorted(together), at_once))
            together = []
        together.extend(keys)
    if together:
        yield list(batches(sorted(together), at_once))


class Compute(Protocol):
    """Computes the batches of a stage, and its trainings."""

    def map(self, work: Work[Batch, Result], tasks: Sequence[Task], read: Callable[[Task], Batch]) -> Generator[Result]:
        """What `work` makes of the batch that `read` gives for each of `tasks`, in their order.

        `read` is called in this process, in order, and only a bounded number of batches ahead of what the caller has
        taken. An error of `read` or of the work is raised at its batch's turn, after the results before it. A caller
        that stops early closes the generator.
        """
        ...

    def train(self, fit: Callable[[Progress], Result], progress: Progress) -> Result:
        """What `fit` returns, which tells `progress` (epochs done, of how many) of itself; what it raises is raised.

        Elsewhere, `fit` travels with all it refers to: data, not the shop.
        """
        ...


class Local:
    """Batch by batch in this process."""

    def map(self, work: Work[Batch, Result], tasks: Sequence[Task], read: Callable[[Task], Batch]) -> Generator[Result]:
        """See `Compute.map`: a batch is read when its turn has come."""
        make: Callable[[Batch], Result] | None = None
        for task in tasks:
            batch = read(task)
            make = make or work.start()
            yield make(batch)

    def train(self, fit: Callable[[Progress], Result], progress: Progress) -> Result:
        """See `Compute.train`."""
        return fit(progress)


def compute_of(settings: ComputeSettings, connect: Callable[[], object] | None = None) -> Compute:
    """What the settings name. `connect` joins a Ray cluster in place of what the settings say of its address.

    Nothing is started or joined before there is a batch to compute. Raises RuntimeError, with the remedy, if Ray is
    wanted and not installed.
    """
    if settings.engine == "local":
        return Local()
    from fashionrec_assets.resources.ray_compute import Ray

    return Ray(settings, connect)

"""Batches computed by the workers of a Ray cluster, through Ray Data.

Belongs here: joining or starting a cluster, sending batches and taking results in order. Does not belong here: who
gets which batch (`ray_desk.py`), the shop that a worker sees (`far_shop.py`), what is computed (the rooms' `work.py`),
training (`ray_training.py`). Importing this module does not import Ray; using it does.

Ray Data runs a pool of actors over as many tickets as there are batches, in any order; each actor loads the model once
and fetches a batch for each ticket from a desk. The process that runs the stage lays batches there as it takes results,
which bounds how many there are at a time, whatever Ray Data would like to start. A batch whose worker died is given to
the next one that asks. What the work itself raises travels back as a value and is raised here, at its turn.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fashionrec_assets.resources.compute import Batch, Progress, Result, Task, Work
from fashionrec_assets.resources.far_shop import FarShop
from fashionrec_assets.resources.ray_desk import Desk
from fashionrec_assets.settings import ComputeSettings

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

REMEDY = "pip install 'fashionrec_assets[ray]', or leave FASHIONREC_COMPUTE__ENGINE at local"

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A worker without a GPU of its own must not take part of another's.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # Ray's C++ part tells on standard error of actors with arguments at every start of a pool.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Ray Train's second generation is what Ray 2.5x and later have; before, it has to be asked for.
    "RAY_TRAIN_V2_ENABLED": "1",
}
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Set to 0, nodes know each other by 127.0.0.1 and nothing listens elsewhere: Ray's default on a laptop."""


_LOST = (
    "the Ray workers of this stage died again and again. What was done before is kept, and the next run goes on there. "
    "If it happens at the same place, a worker has too little memory for it: set FASHIONREC_COMPUTE__WORKERS lower, or "
    "give the nodes more"
)


_AT_ONCE = 4
"""Batches that an actor is given, of which it computes one after the other: with one, Ray Data 2.60 leaves all actors
but one idle."""
_LOOK_S, _PATIENCE = 1.0, 30
"""How often it is looked whether all workers are idle, and how often in a row that may be before more is laid for them:
the result of a batch may be lost with its node, and the ticket for making it again stand behind theirs."""


class WorkerLostError(RuntimeError):
    """A batch's workers died, again and again, or the cluster did; the message says what to do."""


def installed() -> bool:
    """Whether Ray can be imported."""
    return importlib.util.find_spec("ray") is not None


def join(settings: ComputeSettings, connect: Callable[[], object] | None = None) -> Any:
    """The module `ray`, connected: to what is there already, by `connect`, or as the settings say.

    Raises RuntimeError if Ray is not installed, ConnectionError (worth another attempt) if no cluster answers.
    """
    if not installed():
        raise RuntimeError(f"compute.engine is ray, but Ray is not installed: {REMEDY}")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if settings.address is None:
        os.environ.setdefault(_LOOPBACK, "0")
    import ray

    if ray.is_initialized():
        return ray
    if connect is not None:
        connect()
    else:
        ray.init(**init_options(settings), address=settings.address or "local")
    return ray


def init_options(settings: ComputeSettings) -> dict[str, Any]:
    """Arguments of `ray.init` beside the address: sizes are said only of a cluster that is started here."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.address is not None:
        return options
    if settings.workers is not None:
        options["num_cpus"] = max(os.cpu_count() or 1, round(settings.workers * settings.cpus_per_worker))
    if settings.object_store_mb is not None:
        options["object_store_memory"] = settings.object_store_mb * 2**20
    return {**options, "include_dashboard": False}


class Ray:
    """Computes batches on the workers of a Ray cluster; see `Compute`."""

    def __init__(self, settings: ComputeSettings, connect: Callable[[], object] | None = None) -> None:
        self._settings = settings
        self._connect = connect

    def map(self, work: Work[Batch, Result], tasks: Sequence[Task], read: Callable[[Task], Batch]) -> Generator[Result]:
        """See `Compute.map`; the batches ahead are at most `compute.in_flight`."""
        if not tasks:
            return
        ray = join(self._settings, self._connect)
        workers = min(self.workers(ray, on_gpu=work.on_gpu), len(tasks))
        ahead = min(self._settings.in_flight or _AT_ONCE * workers, len(tasks))
        desk = beside_the_driver(ray, Desk, self._settings.retries + 1)
        far = replace(work, shop=FarShop.of(work.shop, work.models, ray.put if self._settings.address else None))
        laid = taken = 0
        unread: Exception | None = None
        early: dict[int, Answer] = {}

        def lay_until(wanted: int) -> None:
            nonlocal laid, unread
            while laid < min(wanted, len(tasks)) and unread is None:
                try:
                    batch = read(tasks[laid])
                except Exception as error:
                    unread = error
                    return
                # In a list: Ray would wait for the batch, and send it, where it stands alone.
                ray.get(desk.lay.remote(laid, [ray.put(batch)]))
                laid += 1

        def feed() -> None:
            idle = 0
            while not ended.wait(_LOOK_S):
                idle = idle + 1 if waiting.is_set() and ray.get(desk.idle.remote()) else 0
                if idle > _PATIENCE:
                    with laying:
                        lay_until(min(laid + workers, taken + ahead + workers * _AT_ONCE))

        laying, waiting, ended = threading.Lock(), threading.Event(), threading.Event()
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            with closing(self._answers(ray, far, desk, len(tasks), workers)) as answers:
                for taken in range(len(tasks)):
                    with laying:
                        lay_until(taken + ahead)
                    if unread is not None and taken == laid:
                        raise unread
                    waiting.set()
                    while taken not in early:
                        found = next(answers)
                        early[found.number] = found
                    waiting.clear()
                    answer = early.pop(taken)
                    ray.get(desk.clear.remote(taken))
                    if answer.error is not None:
                        raise answer.error
                    yield answer.result
        finally:
            ended.set()
            feeder.join()
            ray.kill(desk)

    def train(self, fit: Callable[[Progress], Result], progress: Progress) -> Result:
        """See `Compute.train`: by one worker of Ray Train; its progress is told when it is done."""
        from fashionrec_assets.resources.ray_training import train

        ray = join(self._settings, self._connect)
        return train(ray, self._settings, fit, progress, gpus=self.gpus(ray, on_gpu=True))

    def workers(self, ray: Any, *, on_gpu: bool) -> int:
        """Workers of a stage: as set, else as many as the cluster has cores for, and GPUs where they need one."""
        if self._settings.workers is not None:
            return self._settings.workers
        found = ray.cluster_resources()
        room = [found.get("CPU", 1) / self._settings.cpus_per_worker]
        gpus = self.gpus(ray, on_gpu=on_gpu)
        return max(1, int(min([*room, found.get("GPU", 0) / gpus] if gpus else room)))

    def gpus(self, ray: Any, *, on_gpu: bool) -> float:
        """GPUs of one worker."""
        if not on_gpu:
            return 0.0
        if self._settings.gpus_per_worker is not None:
            return self._settings.gpus_per_worker
        return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0

    def _answers(
        self, ray: Any, work: Work[Any, Any], desk: ActorHandle[Any], count: int, workers: int
    ) -> Generator[Answer]:
        import ray.data as data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        settings = self._settings
        needs: dict[str, Any] = {"num_cpus": settings.cpus_per_worker}
        if gpus := self.gpus(ray, on_gpu=work.on_gpu):
            needs["num_gpus"] = gpus
        if settings.worker_memory_mb is not None:
            needs["memory"] = settings.worker_memory_mb * 2**20
        with _unordered(data):
            tickets = data.from_items([{"ticket": ticket} for ticket in range(count)], override_num_blocks=count)
            answers = tickets.map_batches(
                _Worker,
                fn_constructor_args=([ray.put(work)], desk, max(1, int(settings.cpus_per_worker))),
                batch_size=1,
                compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=_AT_ONCE),
                **needs,
            )
        # No batch is looked at before its turn: looking ahead would wait for one that is not laid yet.
        found = iter(answers.iter_batches(batch_size=1, batch_format="numpy", prefetch_batches=0))
        try:
            for _ in range(count):
                with _explained(ray):
                    batch: Any = next(found)
                yield batch["answer"][0]
        finally:
            # The pool ends with its iterator.
            del found


@dataclass(frozen=True)
class Answer:
    """What came of the batch `number`: `result`, or the `error` that the work raised."""

    number: int
    result: Any
    error: Exception | None


class _Worker:
    """One actor of the pool."""

    def __init__(self, work: list[ObjectRef[Any]], desk: ActorHandle[Any], threads: int) -> None:
        self._work = work
        self._desk = desk
        self._threads = threads
        self._make: Callable[[Any], Any] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        import numpy as np

        answer = np.empty(1, dtype=object)
        answer[0] = self._answer(int(batch["ticket"][0]))
        return {"answer": answer}

    def _answer(self, ticket: int) -> Answer:
        import ray
        from ray.exceptions import RayError

        # That of a worker which Ray starts again is the same.
        name = ray.get_runtime_context().get_actor_id()
        number, laid = ray.get(self._desk.take.remote(name, ticket))
        try:
            if laid is None:
                raise WorkerLostError(_LOST)
            if self._make is None:
                limit_threads(self._threads)
                work: Work[Any, Any] = ray.get(self._work[0])
                self._make = work.start()
            answer = Answer(number, self._make(ray.get(laid[0])), None)
        except RayError:
            # The cluster's, not the work's: Ray tries again.
            raise
        except Exception as error:
            answer = Answer(number, None, portable(error))
        ray.get(self._desk.made.remote(name))
        return answer


def limit_threads(threads: int) -> None:
    """As many threads as cores: what other number there is would be another order of sums, and other last bits."""
    import sys

    from threadpoolctl import threadpool_limits

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def portable(error: Exception) -> Exception:
    """The error if it can travel, else one that says the same."""
    import ray

    try:
        # An error whose constructor wants more than a message is written and cannot be read.
        ray.get(ray.put(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def beside_the_driver(ray: Any, kind: type[Any], *arguments: Any) -> ActorHandle[Any]:
    """An actor on the node of this process, so that it lives as long, and for which no core is reckoned."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, max_concurrency=1000, scheduling_strategy=here)(kind).remote(*arguments)


@contextmanager
def _unordered(data: Any) -> Iterator[None]:
    """Ray Data's settings for what is declared meanwhile: results as they come, in silence; the caller's are put back.

    They are set one by one: to copy them all makes Ray warn of its own deprecated ones.
    """
    context = data.DataContext.get_current()
    wanted = (
        (context.execution_options, "preserve_order", False),
        (context, "enable_progress_bars", False),
        (context, "print_on_execution_start", False),
    )
    before = [getattr(owner, name) for owner, name, _ in wanted]
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(wanted, before, strict=True):
            setattr(owner, name, value)


@contextmanager
def _explained(ray: Any) -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        raise WorkerLostError(f"{_LOST} ({type(error).__name__})") from error

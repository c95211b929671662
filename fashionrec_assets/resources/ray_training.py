"""A training as a worker of Ray Train.

Belongs here: starting the worker, starting another where it dies, and bringing back what it made. Does not belong here:
any training: the function is the one that runs without Ray, and one worker runs it, so that on a processor with as many
threads the model has the same bytes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from typing import Any

from fashionrec_assets.resources.compute import Progress, Result
from fashionrec_assets.resources.ray_compute import (
    Answer,
    WorkerLostError,
    beside_the_driver,
    limit_threads,
    portable,
)
from fashionrec_assets.settings import ComputeSettings


class _Mailbox:
    """What came of the training: not the worker's own object, for the worker may be gone when it is read."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._epochs: tuple[int, int] = (0, 0)

    def advanced(self, done: int, total: int) -> None:
        self._epochs = (done, total)

    def put(self, answer: Answer) -> None:
        self._answer = answer

    def take(self) -> tuple[Answer | None, tuple[int, int]]:
        return self._answer, self._epochs


def train(
    ray: Any, settings: ComputeSettings, fit: Callable[[Progress], Result], progress: Progress, *, gpus: float
) -> Result:
    """What `fit` returns in a worker; see `Compute.train`.

    A worker that died is followed by another, `settings.retries` times, which goes on from the checkpoints of `fit`
    where it sees them. Raises what `fit` raises, and WorkerLostError.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    mailbox = beside_the_driver(ray, _Mailbox)
    # As an object and not with the function: Ray refuses to export functions of more than 100 MB.
    sent, threads = [ray.put(fit)], max(1, int(settings.cpus_per_worker))

    def loop() -> None:
        limit_threads(threads)
        function: Any = ray.get(sent[0])
        # A training is the only batch of its kind.
        try:
            answer = Answer(0, function(lambda done, total: ray.get(mailbox.advanced.remote(done, total))), None)
        except Exception as error:
            answer = Answer(0, None, portable(error))
        ray.get(mailbox.put.remote(answer))

    with tempfile.TemporaryDirectory(prefix="fashionrec-") as folder:
        trainer = TorchTrainer(
            loop,
            scaling_config=ScalingConfig(
                num_workers=1,
                use_gpu=gpus > 0,
                resources_per_worker={"CPU": settings.cpus_per_worker, **({"GPU": gpus} if gpus else {})},
            ),
            run_config=RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=settings.retries)),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise WorkerLostError(f"the training's Ray worker died again and again: {error}") from error
    answer, (done, total) = ray.get(mailbox.take.remote())
    ray.kill(mailbox)
    if answer is None:
        raise WorkerLostError("the training's Ray worker ended without a result: run again")
    if answer.error is not None:
        raise answer.error
    progress(done, total)
    return answer.result

"""Training a CLIP model on a catalog's own (crop, description) pairs: the loop.

Belongs here: epochs, the schedule, early stopping, the curve, going on after a kill. Does not belong here: which models
can be trained and how they are saved (`trainees.py`), the pairs (`clip_data.py`), the losses (`clip_losses.py`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.divergence import finite
from fashionrec_assets.embeddings.checkpoints import (
    Checkpoint,
    optimiser_tensors,
    prefixed,
    restore_optimiser,
    under,
)
from fashionrec_assets.embeddings.clip_data import Pairs, augment, numbered, shuffled_batches
from fashionrec_assets.embeddings.clip_losses import contrastive_loss, retrieval, sigmoid_loss
from fashionrec_assets.embeddings.clip_split import FamilySplit
from fashionrec_assets.embeddings.sentences import no_progress
from fashionrec_assets.resources.models import compiling_pays
from fashionrec_assets.settings import ClipSettings

if TYPE_CHECKING:
    from torch import Tensor

    from fashionrec_assets.embeddings.trainees import Trainee

CURVE = "curve.json"
WARM_UP = 0.1
SHORTEST_EPOCH = 16
HIGHEST_SCALE = math.log(100.0)
CHECKPOINT_SECONDS = 20.0
"""Between two checkpoints: writing one takes as long as a tenth of an epoch on a small catalog."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; the validation figures are None where too few families exist to keep any for it.

    `recall_at_10` and `mrr` are text to image among the validation pairs; only the own image counts as right.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    recall_at_10: float | None
    mrr: float | None


@dataclass(frozen=True)
class TrainingReport:
    """What a training run did. `best_epoch` is the one whose weights were kept; `seconds` is wall time.

    `pairs` were trained on, `validation` chose the epoch.
    """

    pairs: int
    validation: int
    best_epoch: int
    curve: tuple[EpochRecord, ...]
    seconds: float
    stopped: str
    """"epochs", "patience" or "time"."""

    @property
    def best(self) -> EpochRecord:
        return self.curve[self.best_epoch - 1]


def epochs_for(settings: ClipSettings, pairs: int, *, warm: bool) -> int:
    """Epochs for `pairs` training pairs; from scratch `least_presented` counts, a `warm` start takes its share only."""
    full = settings.epochs
    if settings.model is None:
        full = max(full, math.ceil(settings.least_presented / max(1, pairs)))
    return max(1, round(full * settings.warm_start)) if warm else full


def train(
    trainee: Trainee,
    pairs: Pairs,
    split: FamilySplit,
    settings: ClipSettings,
    *,
    seed: int,
    epochs: int,
    folder: Path,
    checkpoint: Checkpoint,
    progress: Callable[[int, int], None] = no_progress,
) -> TrainingReport:
    """Train, and write the model, `split.json` and `curve.json` into `folder`.

    On a processor the weights depend only on the arguments and the number of torch threads, unless `max_train_seconds`
    cuts the run short. A run that was killed goes on to the same weights from `checkpoint`, which is written at the end
    of an epoch, once in `CHECKPOINT_SECONDS` at the most, and of the last; it is for the caller to clear that once they
    are safe. `progress` counts epochs. Rows of the test part are not looked at, if `pairs` has any. ValueError if the
    training rows carry fewer than two different texts, for there is nothing to tell apart, and if the loss is no longer
    a number.
    """
    import torch

    parts = split.parts(pairs.families)
    if len({pairs.texts[int(row)] for row in np.flatnonzero(parts == "train")}) < 2:
        raise ValueError("a contrastive model needs at least two different descriptions with photos")
    run = _Run(trainee, pairs, parts, settings, epochs)
    devices = [torch.cuda.current_device()] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        run.generator.manual_seed(seed)
        run.restore(checkpoint)
        while not run.stopped:
            run.one_epoch()
            run.save(checkpoint)
            progress(len(run.curve), epochs)
    trainee.model.load_state_dict(run.best_state)
    trainee.save(folder)
    split.save(folder)
    report = TrainingReport(
        len(run.train_rows),
        len(run.validation_rows),
        run.best_epoch,
        tuple(run.curve),
        round(run.seconds, 1),
        run.stopped,
    )
    (folder / CURVE).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


class _Run:
    """A training run under way: everything that a checkpoint has to hold is an attribute."""

    def __init__(
        self, trainee: Trainee, pairs: Pairs, parts: NDArray[np.str_], settings: ClipSettings, epochs: int
    ) -> None:
        import torch

        self.trainee, self.pairs, self.settings, self.epochs = trainee, pairs, settings, epochs
        self.device = trainee.device
        self.train_rows = np.flatnonzero(parts == "train")
        self.validation_rows = np.flatnonzero(parts == "validation")
        self.text_ids, self.kinds = numbered(pairs.texts), numbered(pairs.kinds)
        # A small catalog is cut into sixteen steps an epoch at the least: fewer updates do not train anything.
        self.batch = min(settings.batch_size, max(2, len(self.train_rows) // SHORTEST_EPOCH))
        self.steps = max(1, len(self.train_rows) // self.batch) * epochs
        if compiling_pays(str(self.device), self.steps):
            # The image tower only: nearly all of a step is spent there.
            trainee.model.visual.compile()
        self.optimiser = torch.optim.AdamW(trainee.groups, fused=True)
        self.generator = torch.Generator()
        self.curve: list[EpochRecord] = []
        self.best_score, self.best_epoch = (-math.inf, 0.0), 0
        self.best_state: dict[str, Tensor] = {}
        self.step, self.seconds, self.stopped = 0, 0.0, ""
        self.saved = time.monotonic()

    def one_epoch(self) -> None:
        """Train for an epoch, judge it, and decide whether it was the last."""
        started = time.monotonic()
        limit = self.settings.max_train_seconds
        model = self.trainee.model
        model.train()
        losses: list[float] = []
        for rows in shuffled_batches(
            self.train_rows, self.kinds, self.batch, self.settings.hard_negatives, self.generator
        ):
            losses.append(self._one_step(rows))
            if limit and self.seconds + time.monotonic() - started > limit:
                self.stopped = "time"
                break
        self._judge(float(np.mean(losses)))
        self.seconds += time.monotonic() - started
        if not self.stopped and len(self.curve) >= self.epochs:
            self.stopped = "epochs"
        if not self.stopped and len(self.curve) - self.best_epoch >= self.settings.patience:
            self.stopped = "patience"

    def _one_step(self, rows: NDArray[np.int64]) -> float:
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * rate(self.step, self.steps)
        model = self.trainee.model
        pixels = augment(self.trainee.pixels(self.pairs.images, rows), self.generator)
        ids = torch.from_numpy(self.text_ids[rows]).to(self.device)
        with self.trainee.autocast():
            image = model.encode_image(pixels.contiguous(memory_format=torch.channels_last), normalize=True)
            text = model.encode_text(self.trainee.texts(rows).to(self.device), normalize=True)
        loss = self._loss(image.float(), text.float(), ids)
        value = self._finite(float(loss.detach()))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            model.logit_scale.clamp_(0, HIGHEST_SCALE)
        return value

    def _loss(self, image: Tensor, text: Tensor, ids: Tensor) -> Tensor:
        model = self.trainee.model
        scale = model.logit_scale.exp()
        if self.settings.loss == "sigmoid":
            return sigmoid_loss(image, text, scale, model.logit_bias, ids)
        return contrastive_loss(image, text, scale, ids)

    def _finite(self, loss: float) -> float:
        return finite(
            loss,
            model="clip_model",
            epoch=len(self.curve) + 1,
            step=self.step + 1,
            remedy="lower clip.learning_rate or clip.tune_learning_rate",
        )

    def _judge(self, loss: float) -> None:
        """Append the epoch's record; keep the weights if they are the best so far."""
        import torch

        epoch, rows, model = len(self.curve) + 1, self.validation_rows, self.trainee.model
        record, score = EpochRecord(epoch, loss, None, None, None), (float(epoch), 0.0)
        if len(rows):
            model.eval()
            portions = [rows[start : start + 64] for start in range(0, len(rows), 64)]
            with torch.inference_mode(), self.trainee.autocast():
                images = [
                    model.encode_image(self.trainee.pixels(self.pairs.images, part), normalize=True).float()
                    for part in portions
                ]
                texts = [
                    model.encode_text(self.trainee.texts(part).to(self.device), normalize=True).float()
                    for part in portions
                ]
                image, text = torch.cat(images), torch.cat(texts)
                unseen = self._finite(
                    float(self._loss(image, text, torch.from_numpy(self.text_ids[rows]).to(self.device)))
                )
            recall, mrr = retrieval(text.cpu().numpy(), image.cpu().numpy())
            record, score = EpochRecord(epoch, loss, unseen, recall, mrr), (mrr, -unseen)
        self.curve.append(record)
        if score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            self.best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the state, if the last one is old enough or nothing more is to come."""
        import torch

        if not self.stopped and time.monotonic() - self.saved < CHECKPOINT_SECONDS:
            return
        tensors = {
            **prefixed("model.", self.trainee.model.state_dict()),
            **prefixed("best.", self.best_state),
            **prefixed("optimiser.", optimiser_tensors(self.optimiser)),
            "generator": self.generator.get_state(),
            "global_generator": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            tensors["device_generator"] = torch.cuda.get_rng_state()
        facts: dict[str, Any] = {
            "curve": [asdict(record) for record in self.curve],
            "best_score": list(self.best_score),
            "best_epoch": self.best_epoch,
            "step": self.step,
            "seconds": self.seconds,
            "stopped": self.stopped,
        }
        checkpoint.save(tensors, facts)
        self.saved = time.monotonic()

    def restore(self, checkpoint: Checkpoint) -> None:
        import torch

        found = checkpoint.load()
        if found is None:
            return
        tensors, facts = found
        self.trainee.model.load_state_dict(under("model.", tensors))
        self.best_state = {name: value.to(self.device) for name, value in under("best.", tensors).items()}
        restore_optimiser(self.optimiser, under("optimiser.", tensors))
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["global_generator"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["device_generator"])
        self.curve = [EpochRecord(**record) for record in facts["curve"]]
        first, second = facts["best_score"]
        self.best_score, self.best_epoch = (first, second), facts["best_epoch"]
        self.step, self.seconds, self.stopped = facts["step"], facts["seconds"], facts["stopped"]


def rate(step: int, total: int) -> float:
    """Linear warm-up over a tenth of the steps, then half a cosine down to a fiftieth."""
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))

"""Training the compact CLIP model on a catalog's own (crop, description) pairs.

Belongs here: the split by family, augmentation, the loss, the loop with early stopping, the curve. Does not belong
here: the model (`compact_clip.py`), which pairs there are (the asset).

Symmetric InfoNCE (Radford et al. 2021) through open_clip's `ClipLoss`, with one change: pairs of one batch that carry
the same description are not each other's negatives but share the target (as in UniCL, Yang et al. 2022).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.embeddings.sentences import SentenceEncoder, no_progress
from fashionrec_assets.settings import ClipSettings

if TYPE_CHECKING:
    from torch import Tensor

CURVE = "curve.json"
HELD_OUT_SHARE = 0.1
HELD_OUT_MOST = 2000
HELD_OUT_LEAST = 8
WARM_UP = 0.1
SHORTEST_EPOCH = 16
HIGHEST_SCALE = math.log(100.0)


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; the held-out figures are None where too few families exist to hold any out.

    `recall_at_10` and `mrr` are text to image among the held-out pairs; the image of any pair with the same
    description counts as right.
    """

    epoch: int
    loss: float
    held_out_loss: float | None
    recall_at_10: float | None
    mrr: float | None


@dataclass(frozen=True)
class TrainingReport:
    """What a training run did. `best_epoch` is the one whose weights were kept; `seconds` is wall time."""

    pairs: int
    held_out: int
    best_epoch: int
    curve: tuple[EpochRecord, ...]
    seconds: float
    stopped: str
    """"epochs", "patience" or "time"."""

    @property
    def best(self) -> EpochRecord:
        return self.curve[self.best_epoch - 1]


def held_out_families(families: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Which rows are held out: about a tenth, whole families at a time, chosen by a stable hash of family and seed.

    A family keeps its side when the catalog grows. None are held out if fewer than 8 rows would be.
    """

    def draw(family: str) -> float:
        return int.from_bytes(hashlib.sha256(f"{seed}\0{family}".encode()).digest()[:8], "big") / 2**64

    cut = {family: draw(family) for family in set(families)}
    share = min(HELD_OUT_SHARE, HELD_OUT_MOST / max(1, len(families)))
    chosen = np.array([cut[family] < share for family in families], dtype=np.bool_)
    return chosen if chosen.sum() >= HELD_OUT_LEAST else np.zeros(len(families), dtype=np.bool_)


def train_clip(
    images: NDArray[np.uint8],
    texts: Sequence[str],
    families: Sequence[str],
    sentences: SentenceEncoder,
    settings: ClipSettings,
    *,
    seed: int,
    folder: Path,
    fingerprint: str,
    progress: Callable[[int, int], None] = no_progress,
) -> TrainingReport:
    """Train from scratch and write `model.safetensors`, `config.json` and `curve.json` into `folder`.

    `images` are (n, image_height, image_width, 3) bytes from `prepare_images`; `families` name the design each row is
    a variant of. The weights depend only on the arguments and the number of torch threads, unless `max_train_seconds`
    cuts the run short. `fingerprint` becomes part of the model's id. `progress` counts epochs. ValueError if there
    are fewer than two different descriptions: there is nothing to tell apart.
    """
    if not len(images) == len(texts) == len(families):
        raise ValueError(f"{len(images)} images, {len(texts)} texts and {len(families)} families do not pair up")
    if images.shape[1:] != (settings.image_height, settings.image_width, 3):
        raise ValueError(f"images are {images.shape[1:]}, settings say {settings.image_height}x{settings.image_width}")
    if len(set(texts)) < 2:
        raise ValueError("a contrastive model needs at least two different descriptions with photos")
    vectors = sentences.encode(texts)
    numbers = {text: number for number, text in enumerate(sorted(set(texts)))}
    text_ids = np.array([numbers[text] for text in texts], dtype=np.int64)
    held = held_out_families(families, seed)
    if len(set(text_ids[~held].tolist())) < 2:
        held = np.zeros(len(texts), dtype=np.bool_)
    config = configuration(settings, text_dim=sentences.dim, text_model=sentences.model_id, fingerprint=fingerprint)
    return _fit(images, vectors, text_ids, held, config, settings, seed, folder, progress)


def configuration(settings: ClipSettings, *, text_dim: int, text_model: str, fingerprint: str) -> dict[str, Any]:
    """The content of `config.json`: open_clip's `model_cfg` and `preprocess_cfg`, and where the text comes from."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    from fashionrec_assets.embeddings import compact_clip
    from fashionrec_assets.embeddings.images import FILL

    size = [settings.image_height, settings.image_width]
    return {
        "format": compact_clip.FORMAT,
        "fingerprint": fingerprint,
        "model_cfg": {
            "embed_dim": settings.embed_dim,
            "vision_cfg": {
                "image_size": size,
                "timm_model_name": compact_clip.TOWER,
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
            },
            "text_cfg": {"locked_model": text_model, "locked_dim": text_dim},
        },
        "preprocess_cfg": {
            "size": size,
            "mode": "RGB",
            "mean": list(OPENAI_DATASET_MEAN),
            "std": list(OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "longest",
            "fill_color": FILL,
        },
    }


def _fit(
    images: NDArray[np.uint8],
    vectors: NDArray[np.float32],
    text_ids: NDArray[np.int64],
    held: NDArray[np.bool_],
    config: dict[str, Any],
    settings: ClipSettings,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None],
) -> TrainingReport:
    import torch

    from fashionrec_assets.embeddings import compact_clip

    started = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = compact_clip.build(config)
    assert isinstance(model.text, compact_clip.LockedText)
    model.text.centre.copy_(torch.from_numpy(vectors[train].mean(axis=0)))
    model = model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    generator = torch.Generator().manual_seed(seed)
    normalise = Normaliser(config["preprocess_cfg"], device)
    epochs = max(settings.epochs, math.ceil(settings.least_presented / len(train)))
    # A small catalog is cut into sixteen steps an epoch at the least: fewer updates do not train anything.
    batch = min(settings.batch_size, max(2, len(train) // SHORTEST_EPOCH))
    steps = max(1, len(train) // batch)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps * epochs))
    curve: list[EpochRecord] = []
    best_score, best_epoch, best_state = (-math.inf, 0.0), 0, dict[str, "Tensor"]()
    stopped = "epochs"
    for epoch in range(1, epochs + 1):
        model.train()
        order = train[torch.randperm(len(train), generator=generator).numpy()]
        total, seen = 0.0, 0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            pixels = normalise(torch.from_numpy(images[rows]).to(device))
            pixels = augment(pixels, generator).contiguous(memory_format=torch.channels_last)
            seen_by_image = model.encode_image(pixels, normalize=True)
            seen_by_text = model.encode_text(torch.from_numpy(vectors[rows]).to(device), normalize=True)
            ids = torch.from_numpy(text_ids[rows]).to(device)
            loss = contrastive_loss(seen_by_image, seen_by_text, model.logit_scale.exp(), ids)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, HIGHEST_SCALE)
            total, seen = total + float(loss.detach()), seen + 1
            if settings.max_train_seconds and time.monotonic() - started > settings.max_train_seconds:
                stopped = "time"
                break
        record = _judge(epoch, total / seen, model, images[test], vectors[test], text_ids[test], normalise)
        curve.append(record)
        score = (float(epoch), 0.0)
        if record.mrr is not None and record.held_out_loss is not None:
            score = (record.mrr, -record.held_out_loss)
        if score > best_score:
            best_score, best_epoch = score, epoch
            best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        progress(epoch, epochs)
        if stopped == "time":
            break
        if epoch - best_epoch >= settings.patience:
            stopped = "patience"
            break
    model.load_state_dict(best_state)
    compact_clip.save(model, config, folder)
    seconds = round(time.monotonic() - started, 1)
    report = TrainingReport(len(train), len(test), best_epoch, tuple(curve), seconds, stopped)
    (folder / CURVE).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


def _rate(step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    warm = max(1, round(WARM_UP * total))
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))


class Normaliser:
    """Bytes (n, h, w, 3) to what the image tower reads (n, 3, h, w), by the configuration's mean and deviation."""

    def __init__(self, preprocess: dict[str, Any], device: Any) -> None:
        import torch

        self._mean = torch.tensor(preprocess["mean"], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocess["std"], device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        return (pixels.permute(0, 3, 1, 2).float() / 255.0 - self._mean) / self._std


def augment(pixels: Tensor, generator: Any) -> Tensor:
    """Each image flipped at random and seen through a random window of 75 to 100 % of each side.

    Colour is left alone: it is what descriptions talk about most.
    """
    import torch

    count = len(pixels)
    draw = torch.rand(count, 5, generator=generator).to(pixels.device)
    flip = torch.where(draw[:, 0] < 0.5, -1.0, 1.0)
    scale = 0.75 + 0.25 * draw[:, 1:3]
    shift = (2 * draw[:, 3:5] - 1) * (1 - scale)
    affine = torch.zeros(count, 2, 3, device=pixels.device)
    affine[:, 0, 0], affine[:, 1, 1] = flip * scale[:, 0], scale[:, 1]
    affine[:, :, 2] = shift
    grid = torch.nn.functional.affine_grid(affine, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, text_ids: Tensor) -> Tensor:
    """Symmetric InfoNCE over unit vectors (n, d); rows of equal `text_ids` share the target evenly."""
    import torch
    from open_clip import ClipLoss

    same = (text_ids[:, None] == text_ids[None, :]).float()
    if bool((same.sum(dim=1) == 1).all()):
        return ClipLoss()(image, text, scale)
    by_image, by_text = ClipLoss().get_logits(image, text, scale)
    target = same / same.sum(dim=1, keepdim=True)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(by_image, target) + cross_entropy(by_text, target)) / 2


def retrieval(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], labels: NDArray[np.int64], k: int = 10
) -> tuple[float, float]:
    """Recall@k and mean reciprocal rank of unit `queries` (n, d) against `gallery` (n, d).

    Row i of the gallery answers query i, and so does every row with the same label; the best placed one counts.
    """
    scores = queries @ gallery.T
    right = np.where(labels[:, None] == labels[None, :], scores, -np.inf).max(axis=1)
    rank = 1 + ((scores > right[:, None]) & (labels[:, None] != labels[None, :])).sum(axis=1)
    return float((rank <= k).mean()), float((1.0 / rank).mean())


def _judge(
    epoch: int,
    loss: float,
    model: Any,
    images: NDArray[np.uint8],
    vectors: NDArray[np.float32],
    text_ids: NDArray[np.int64],
    normalise: Normaliser,
) -> EpochRecord:
    import torch

    if len(images) == 0:
        return EpochRecord(epoch, loss, None, None, None)
    model.eval()
    device = model.logit_scale.device
    with torch.inference_mode():
        seen = [
            model.encode_image(normalise(torch.from_numpy(images[start : start + 64]).to(device)), normalize=True)
            for start in range(0, len(images), 64)
        ]
        by_image = torch.cat(seen)
        by_text = model.encode_text(torch.from_numpy(vectors).to(device), normalize=True)
        ids = torch.from_numpy(text_ids).to(device)
        held_out = float(contrastive_loss(by_image, by_text, model.logit_scale.exp(), ids))
    recall, mrr = retrieval(by_text.cpu().numpy(), by_image.cpu().numpy(), text_ids)
    return EpochRecord(epoch, loss, held_out, recall, mrr)

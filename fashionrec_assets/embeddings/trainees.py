"""The CLIP models that can be trained: the compact one from scratch, and any open_clip model from its weights.

Belongs here: what is trainable in each, at which learning rate, what its towers read, and how it is saved. Does not
belong here: the loop (`clip_training.py`), the compact model's modules (`compact_clip.py`). Imports torch at the top:
import this module inside functions only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from fashionrec_assets.embeddings import compact_clip
from fashionrec_assets.embeddings.clip import OPEN_CLIP_CONFIG, OpenClip
from fashionrec_assets.embeddings.clip_data import Normaliser
from fashionrec_assets.embeddings.images import FILL
from fashionrec_assets.embeddings.precision import autocast
from fashionrec_assets.embeddings.words import WordWeights
from fashionrec_assets.resources.models import best_device, multiplies_bfloat16
from fashionrec_assets.settings import ClipSettings

if TYPE_CHECKING:
    from fashionrec_assets.embeddings.sentences import SentenceEncoder

OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
BLOCK = re.compile(r"(?:resblocks|blocks|layers|layer|stages)\.(\d+)\.")
FOOT = re.compile(r"embed|conv1|ln_pre|norm_pre|patch|stem|class_token|cls_token")
SIGMOID_SCALE, SIGMOID_BIAS = math.log(10.0), -10.0
"""Where the scale (its logarithm) and the bias of the sigmoid loss start (Zhai et al. 2023, section 3.2)."""


@dataclass(frozen=True)
class Trainee:
    """A model to train.

    `model` has open_clip's `encode_image`, `encode_text`, `logit_scale` and, for the sigmoid loss, `logit_bias`.
    `groups` are the optimiser's parameter groups, each with its `base_lr`. `texts` gives what `encode_text` reads for
    rows of the pairs, (n, …). `save` writes the model in force into a folder that `ClipEncoder` loads.
    """

    model: Any
    groups: list[dict[str, Any]]
    texts: Callable[[NDArray[np.int64]], Tensor]
    normalise: Normaliser
    save: Callable[[Path], None]
    device: torch.device
    precision: str = "float32"

    def pixels(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
        """What the image tower reads for `rows` of bytes (n, h, w, 3)."""
        return self.normalise(torch.from_numpy(np.ascontiguousarray(images[rows])).to(self.device))

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the forward pass."""
        return autocast(self.device, self.precision)


def training_precision(settings: ClipSettings, device: torch.device) -> str:
    """What `settings.training_precision` means on `device`: "float32" or "bfloat16"."""
    if settings.training_precision != "auto":
        return settings.training_precision
    return "bfloat16" if multiplies_bfloat16(str(device)) else "float32"


def image_size(settings: ClipSettings, original: OpenClip | None) -> tuple[int, int]:
    """(height, width) in pixels of the pictures to prepare for a trainee: the original's own, or the settings'."""
    if original is None:
        return settings.image_height, settings.image_width
    size = original.model.visual.image_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def compact_trainee(
    texts: Sequence[str],
    trained: NDArray[np.bool_],
    sentences: SentenceEncoder,
    settings: ClipSettings,
    *,
    seed: int,
    fingerprint: str,
    start: Path | None = None,
) -> Trainee:
    """The compact model: a small image tower from scratch, or from the folder `start`, against locked sentence vectors.

    `texts` are those of all rows; only those in `trained` bool (n,) shape the vocabulary and the centre.
    """
    device = torch.device(best_device())
    vectors = sentences.encode(texts)
    if start is not None:
        model, config = compact_clip.load(start)
        config = {**config, "fingerprint": fingerprint}
    else:
        words = WordWeights.fit([text for text, used in zip(texts, trained.tolist(), strict=True) if used])
        config = configuration(
            settings, words, text_dim=sentences.dim, text_model=sentences.model_id, fingerprint=fingerprint
        )
        with _seeded(seed):
            model = compact_clip.build(config)
        _centre(model, vectors[trained])
    return _locked(model, config, texts, vectors, settings, device, settings.learning_rate, None)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """New weights drawn inside follow from `seed`, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _centre(model: Any, vectors: NDArray[np.float32]) -> None:
    cast(compact_clip.LockedText, model.text).centre.copy_(torch.from_numpy(vectors.mean(axis=0)))


def configuration(
    settings: ClipSettings, words: WordWeights, *, text_dim: int, text_model: str, fingerprint: str
) -> dict[str, Any]:
    """The content of a compact model's `config.json`: open_clip's `model_cfg` and `preprocess_cfg`, and the text's."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    size = [settings.image_height, settings.image_width]
    vision = {
        "image_size": size,
        "timm_model_name": compact_clip.TOWER,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
    }
    return _locked_config(
        settings.embed_dim,
        vision,
        _preprocess(size, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD),
        words,
        text_dim=text_dim,
        text_model=text_model,
        fingerprint=fingerprint,
        sigmoid=settings.loss == "sigmoid",
    )


def pretrained_trainee(
    original: OpenClip,
    texts: Sequence[str],
    trained: NDArray[np.bool_],
    sentences: SentenceEncoder | None,
    settings: ClipSettings,
    *,
    seed: int,
    fingerprint: str,
    start: Path | None = None,
) -> Trainee:
    """`original` (changed in place) with what the settings leave trainable.

    With `text_tower` "sentences" its text tower is replaced by a projection of the vectors of `sentences`, which then
    must be given; training goes on from the folder `start` if there is one. A `lora_rank` above 0 trains adapters (Hu
    et al. 2022) in the blocks and merges them when saving.
    """
    device = torch.device(best_device())
    size = list(image_size(settings, original))
    visual = original.model.visual
    preprocess = _preprocess(size, visual.image_mean, visual.image_std)
    if settings.text_tower == "sentences":
        if sentences is None:
            raise ValueError("clip.text_tower is `sentences`, but no sentence encoder was given")
        vectors = sentences.encode(texts)
        if start is not None:
            model, config = compact_clip.load(start)
            config = {**config, "fingerprint": fingerprint}
        else:
            config = _locked_config(
                original.config["embed_dim"],
                {**original.config["vision_cfg"], "timm_model_pretrained": False},
                preprocess,
                WordWeights.fit([text for text, used in zip(texts, trained.tolist(), strict=True) if used]),
                text_dim=sentences.dim,
                text_model=sentences.model_id,
                fingerprint=fingerprint,
                sigmoid=settings.loss == "sigmoid",
                quick_gelu=bool(original.config.get("quick_gelu")),
            )
            with _seeded(seed):
                model = compact_clip.build(config)
            model.visual.load_state_dict(visual.state_dict())
            _centre(model, vectors[trained])
        with _seeded(seed):
            adapter = _make_trainable(model.visual, settings)
        return _locked(model, config, texts, vectors, settings, device, settings.tune_learning_rate, adapter)
    model = original.model
    if settings.loss == "sigmoid" and model.logit_bias is None:
        model.logit_bias = nn.Parameter(torch.ones([]) * SIGMOID_BIAS)
        original.config["init_logit_bias"] = SIGMOID_BIAS
    text_modules = [model.text] if hasattr(model, "text") else [model.transformer]
    if settings.text_tower == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("visual.", "logit_")))
    towers = [model.visual] if settings.text_tower == "frozen" else [model.visual, *text_modules]
    with _seeded(seed):
        adapters = [_make_trainable(tower, settings) for tower in towers]
    # CLIP's older layout keeps the text tower's embeddings and projection beside its transformer.
    if settings.lora_rank or settings.trainable_blocks is not None:
        for name in ("token_embedding.weight", "positional_embedding"):
            if name in dict(model.named_parameters()):
                model.get_parameter(name).requires_grad_(False)
    tokens = torch.as_tensor(original.tokenize(list(texts)))
    model = model.to(device)

    def save(folder: Path) -> None:
        for adapter in adapters:
            if adapter is not None:
                adapter.merge_and_unload()
        _save_open_clip(original, preprocess, folder)

    return Trainee(
        model,
        parameter_groups(model, settings.tune_learning_rate, settings.layer_decay, settings),
        lambda rows: tokens[torch.from_numpy(rows)],
        Normaliser(preprocess, device),
        save,
        device,
        training_precision(settings, device),
    )


def parameter_groups(model: nn.Module, rate: float, layer_decay: float, settings: ClipSettings) -> list[dict[str, Any]]:
    """What is trainable in `model`, by learning rate and weight decay.

    The rate falls by the factor `layer_decay` from each block to the one below it ("discriminative fine-tuning", Howard
    and Ruder 2018), in each tower by itself; vectors and scalars are not decayed.
    """
    top: dict[str, int] = {}
    for name, _ in model.named_parameters():
        found = BLOCK.search(name)
        if found:
            top[name[: found.start()]] = max(top.get(name[: found.start()], 0), int(found.group(1)) + 1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        speed = rate * layer_decay ** _depth(name, top)
        decay = settings.weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((speed, decay), []).append(parameter)
    return [group for (speed, decay), found in groups.items() for group in _group(found, speed, decay)]


def _group(parameters: list[nn.Parameter], rate: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    return [{"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": weight_decay}]


def _depth(name: str, top: dict[str, int]) -> int:
    """How many blocks lie above a parameter in its tower: 0 for a head, all and one more for the embeddings."""
    found = BLOCK.search(name)
    if found:
        return top[name[: found.start()]] - int(found.group(1))
    if not FOOT.search(name):
        return 0
    # CLIP's older layout keeps the text tower's embeddings beside its transformer; a tower by itself has no prefix.
    visual = name.startswith("visual.")
    return 1 + max((count for prefix, count in top.items() if prefix.startswith("visual.") == visual), default=0)


def _make_trainable(tower: nn.Module, settings: ClipSettings) -> Any:
    """Freeze what the settings say in a tower; returns peft's adapter model if adapters were put in, else None."""
    blocks = [int(found.group(1)) for name, _ in tower.named_parameters() if (found := BLOCK.search(name))]
    if not blocks and (settings.lora_rank or settings.trainable_blocks is not None):
        raise ValueError(
            "clip.lora_rank and clip.trainable_blocks need a model made of blocks: leave them out for this one"
        )
    first = 0 if settings.trainable_blocks is None else max(blocks, default=-1) + 1 - settings.trainable_blocks
    if settings.trainable_blocks is not None:
        for name, parameter in tower.named_parameters():
            found = BLOCK.search(name)
            parameter.requires_grad_(int(found.group(1)) >= first if found else not FOOT.search(name))
    if not settings.lora_rank:
        return None
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    targets = list(_adapted(tower, first))
    if not targets:
        raise ValueError(
            "clip.lora_rank finds no linear layer in the blocks that clip.trainable_blocks leaves: set one to 0"
        )
    # A head is small and decides the space: it is trained as it is.
    heads = [parameter for name, parameter in tower.named_parameters() if _is_head(name)]
    config = LoraConfig(r=settings.lora_rank, lora_alpha=2 * settings.lora_rank, target_modules=targets)
    adapter = LoraModel(tower, {"default": config}, "default")
    for parameter in heads:
        parameter.requires_grad_(True)
    return adapter


def _is_head(name: str) -> bool:
    return not BLOCK.search(name) and not FOOT.search(name)


def _adapted(tower: nn.Module, first: int) -> Iterable[str]:
    """Names of the modules of blocks `first` and above that take an adapter."""
    inside: set[str] = set()
    for name, module in tower.named_modules():
        found = BLOCK.search(name + ".")
        if found is None or int(found.group(1)) < first:
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside.add(name)
            yield name
        elif isinstance(module, nn.Linear) and name.rpartition(".")[0] not in inside:
            yield name


def _locked(
    model: Any,
    config: dict[str, Any],
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    settings: ClipSettings,
    device: torch.device,
    image_rate: float,
    adapter: Any,
) -> Trainee:
    precision = training_precision(settings, device)
    # Towers that read channels last are about a third faster on a processor.
    model = model.to(device).to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, compact_clip.PatchResNet):
            module.lay_out(precision)
    words = WordWeights(config["model_cfg"]["text_cfg"]["words"])

    def text_rows(rows: NDArray[np.int64]) -> Tensor:
        weights = words(cast(list[str], [texts[int(row)] for row in rows]))
        return torch.from_numpy(np.concatenate([vectors[rows], weights], axis=1))

    # The projections are new, whatever the image tower was.
    groups = [
        *parameter_groups(model.visual, image_rate, settings.layer_decay if settings.model else 1.0, settings),
        *parameter_groups(model.text, settings.learning_rate, 1.0, settings),
        *_group([model.logit_scale, *([] if model.logit_bias is None else [model.logit_bias])], settings.learning_rate),
    ]

    def save(folder: Path) -> None:
        if adapter is not None:
            adapter.merge_and_unload()
        compact_clip.save(model, config, folder)

    return Trainee(
        model,
        groups,
        text_rows,
        Normaliser(config["preprocess_cfg"], device),
        save,
        device,
        precision,
    )


def _locked_config(
    embed_dim: int,
    vision: dict[str, Any],
    preprocess: dict[str, Any],
    words: WordWeights,
    *,
    text_dim: int,
    text_model: str,
    fingerprint: str,
    sigmoid: bool,
    quick_gelu: bool = False,
) -> dict[str, Any]:
    return {
        "format": compact_clip.FORMAT,
        "fingerprint": fingerprint,
        "model_cfg": {
            "embed_dim": embed_dim,
            "vision_cfg": vision,
            "text_cfg": {"locked_model": text_model, "locked_dim": text_dim, "words": words.idf},
            "quick_gelu": quick_gelu,
            **({"init_logit_scale": SIGMOID_SCALE, "init_logit_bias": SIGMOID_BIAS} if sigmoid else {}),
        },
        "preprocess_cfg": preprocess,
    }


def _preprocess(size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """How a crop becomes a picture of one size: fitted in on white, for a garment cut off at its hem is another one."""
    return {
        "size": list(size),
        "mode": "RGB",
        "mean": list(mean),
        "std": list(std),
        "interpolation": "bicubic",
        "resize_mode": "longest",
        "fill_color": FILL,
    }


def _save_open_clip(original: OpenClip, preprocess: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in original.model.state_dict().items()}
    save_file(weights, folder / OPEN_CLIP_WEIGHTS)
    save_tokenizer = getattr(original.tokenize, "save_pretrained", None)
    if save_tokenizer is not None:
        save_tokenizer(folder)
    config = {"model_cfg": original.config, "preprocess_cfg": preprocess}
    (folder / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""The compact CLIP model: an open_clip `CustomTextCLIP` with a small convolutional image tower and locked text.

Belongs here: the modules, building them from a configuration, saving and loading the folder. Does not belong here: the
training loop (`clip_training.py`), encoding crops (`clip.py`). Imports torch, timm and open_clip at the top: import
this module inside functions only.

Locked text (Zhai et al. 2022, "LiT: Zero-Shot Transfer with Locked-image text Tuning", turned round): a shop of a
thousand products cannot teach a text transformer English, so the sentence encoder's vectors are taken as they are and
only a projection of them is trained, together with the image tower.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from safetensors.torch import load_file, save_file
from timm.models import register_model
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
FORMAT = "fashionrec-locked-text/3"
TOWER = "fashionrec_patch_resnet"


class SmallMapConv(nn.Conv2d):
    """A 3x3 convolution of maps of a few pixels, which in bfloat16 on a processor is one product of two matrices.

    There a convolution takes three times as long for such maps; in float32, and on GPUs, it is as fast.
    """

    @classmethod
    def like(cls, layer: nn.Conv2d) -> SmallMapConv:
        """Takes the weights of `layer` over: 3x3, padded by one pixel, without a bias."""
        # Weights of its own would be drawn from the generator that the next layers draw from.
        with torch.device("meta"):
            made = cls(layer.in_channels, layer.out_channels, 3, cast(tuple[int, int], layer.stride), 1, bias=False)
        made.weight = layer.weight
        return made

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.bfloat16 or input.device.type != "cpu":
            return super().forward(input)
        step = self.stride[0]
        padded = nn.functional.pad(input.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        high, wide = padded.shape[1] - 2, padded.shape[2] - 2
        taps = [padded[:, y : y + high : step, x : x + wide : step] for y in range(3) for x in range(3)]
        seen = torch.cat(taps, dim=3)
        found = seen.flatten(0, 2) @ self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return found.view(*seen.shape[:3], -1).permute(0, 3, 1, 2)


class PatchResNet(nn.Module):
    """Four residual blocks of 48, 96, 192 and 384 channels on overlapping 8x8 patches, averaged over a 3x2 grid.

    The grid keeps where on the garment something is: a crop is upright and fills its frame, and one average over all of
    it would not tell trousers from a hoodie.

    A stem that takes patches at once spares the convolutions at full size, which cost most of a small network's time
    on a processor and, measured, gain nothing here.
    """

    grid = (3, 2)
    num_features = 384 * 6

    def __init__(self, widths: tuple[int, ...] = (48, 96, 192, 384)) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, widths[0], kernel_size=8, stride=4, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        before = widths[0]
        for number, width in enumerate(widths):
            shortcut = None
            if number:
                shortcut = nn.Sequential(
                    nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
                )
            layers.append(BasicBlock(before, width, stride=2 if number else 1, downsample=shortcut))
            before = width
        last = cast(BasicBlock, layers[-1])
        last.conv1, last.conv2 = SmallMapConv.like(last.conv1), SmallMapConv.like(last.conv2)
        self.layers = nn.Sequential(*layers)
        # open_clip reads the shape of the last feature map from here; only its attention pooling would use the numbers.
        self.default_cfg = {"pool_size": (1, 1)}

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        """What open_clip asks of a timm network: there is no classifier here, and the pooling is fixed."""
        del num_classes
        if global_pool != "avg":
            raise ValueError(f"the pooling is fixed, {global_pool!r} is not possible")

    def forward(self, pixels: Tensor) -> Tensor:
        return self._averaged(pixels).flatten(1)

    def forward_intermediates(self, pixels: Tensor, **options: Any) -> list[Tensor]:
        """What open_clip asks of a timm network for states of patches: here the averages over the grid, (n, 384, 3, 2).

        NotImplementedError if more than they alone is asked for.
        """
        if not options.get("intermediates_only"):
            raise NotImplementedError("only intermediates_only=True is possible")
        return [self._averaged(pixels)]

    def _averaged(self, pixels: Tensor) -> Tensor:
        found = pixels
        for layer in self.layers[:-1]:
            found = layer(found)
        found = found if found.dtype == torch.bfloat16 else found.contiguous()
        return nn.functional.adaptive_avg_pool2d(self.layers[-1](found), self.grid)

    def lay_out(self, precision: str) -> None:
        """Lay the weights out in memory as they are fastest to train with on a processor, in "float32" or "bfloat16".

        Convolutions of large maps read channels last. The last block's maps are of six pixels: in float32 channels last
        take half as long again there.
        """
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if precision == "float32":
            self.layers[-1].to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


@register_model
def fashionrec_patch_resnet(pretrained: bool = False, **options: Any) -> PatchResNet:
    """`PatchResNet` in timm's registry, so that open_clip can name it in a configuration."""
    del pretrained, options
    return PatchResNet()


class LockedText(nn.Module):
    """A text tower that reads sentence vectors and words, (n, text_dim + words), and gives (n, embed_dim).

    The vectors of a narrow domain lie close together; `centre` (their mean over the training texts) is subtracted so
    that the projection sees what tells them apart. `words` are the texts' TF-IDF weights over the catalog's own
    vocabulary (`WordWeights`): a sentence vector blurs "burgundy" into "red", a weight of its own does not. A share of
    the words is hidden in training, so that the tower does not lean on single ones.
    """

    centre: Tensor

    def __init__(self, text_dim: int, embed_dim: int, words: int = 0, word_dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(text_dim))
        self.proj = nn.Linear(text_dim, embed_dim, bias=False)
        self.words = nn.Linear(words, embed_dim, bias=False) if words else None
        self.hide = nn.Dropout(word_dropout)
        # What open_clip asks every text tower for; there are no tokens here.
        self.context_length = 0
        self.vocab_size = 0

    def forward(self, rows: Tensor) -> Tensor:
        dim = len(self.centre)
        seen = cast(Tensor, self.proj(nn.functional.normalize(rows[:, :dim] - self.centre, dim=-1)))
        return seen if self.words is None else seen + self.words(self.hide(rows[:, dim:]))


def build(config: Mapping[str, Any]) -> open_clip.CustomTextCLIP:
    """The model that `config` (the content of `config.json`) describes, with fresh weights from the global generator.

    ValueError if the configuration is of another format.
    """
    if config.get("format") != FORMAT:
        raise ValueError(f"this is not a compact CLIP configuration: format is {config.get('format')!r}")
    model = config["model_cfg"]
    vision, text = model["vision_cfg"], model["text_cfg"]
    # open_clip insists on building a text tower of its own; the smallest one is replaced at once.
    placeholder = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
    clip = open_clip.CustomTextCLIP(
        embed_dim=model["embed_dim"],
        vision_cfg=cast(open_clip.CLIPVisionCfg, vision),
        text_cfg=cast(open_clip.CLIPTextCfg, placeholder),
        **{name: model[name] for name in ("quick_gelu", "init_logit_scale", "init_logit_bias") if name in model},
    )
    clip.text = LockedText(text["locked_dim"], model["embed_dim"], len(text["words"]))  # pyright: ignore[reportAttributeAccessIssue]
    clip.context_length, clip.vocab_size = 0, 0
    return clip


def save(model: open_clip.CustomTextCLIP, config: Mapping[str, Any], folder: Path) -> None:
    """Weights and configuration into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[open_clip.CustomTextCLIP, dict[str, Any]]:
    """The model that `save` wrote, in evaluation mode, and its configuration.

    FileNotFoundError if the folder holds no model, ValueError if its configuration is of another format or does not
    fit its weights.
    """
    config = cast(dict[str, Any], json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    with torch.random.fork_rng(devices=[]):
        model = build(config)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise ValueError(f"the weights in {folder} do not fit its {CONFIG}: train the model again") from error
    model.eval()
    return model, config


def is_compact(folder: Path) -> bool:
    """Whether `folder` holds a model of this module."""
    path = folder / CONFIG
    if not path.is_file():
        return False
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT

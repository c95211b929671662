"""Tiny models of the real classes, made on the spot with random weights and saved as their libraries save them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WORDS = ("a", "dress", "hat", "red", "blue", "green", "black", "white", "striped", "cotton", "with", "shoe", "coat")


def sentence_model(folder: Path, *, seed: int = 0, dim: int = 32) -> Path:
    """A sentence-transformers folder with a one-layer BERT."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        from sentence_transformers.models import Pooling, Transformer

    plain = folder / "bert"
    plain.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    (plain / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(str(plain / "vocab.txt")).save_pretrained(plain)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=dim,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(plain)
    transformer = Transformer(str(plain))
    model = SentenceTransformer(modules=[transformer, Pooling(dim)], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


def vit_model(folder: Path, *, seed: int = 0, size: int = 32, patch: int = 8, dim: int = 16) -> Path:
    """A transformers folder with a one-layer ViT and its image processor."""
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    config = ViTConfig(
        hidden_size=dim,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        image_size=size,
        patch_size=patch,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ViTModel(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": size, "width": size}).save_pretrained(folder)
    return folder


def clip_model(folder: Path, *, seed: int = 0, layers: int = 1) -> Path:
    """An open_clip folder: `open_clip_config.json` and weights of a ViT and a text transformer of `layers` blocks."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": layers, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": layers},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    folder.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}), encoding="utf-8"
    )
    return folder


class ColourWords:
    """Stands in for a sentence encoder: the words of a small vocabulary, as unit vectors."""

    model_id = "colour-words"
    dim = len(WORDS)

    def encode(self, texts: list[str], **_: object) -> NDArray[np.float32]:
        rows = np.array([[float(word in text.lower().split()) for word in WORDS] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-6)


def colour_world(count: int, seed: int, height: int = 32, width: int = 24) -> tuple[NDArray[np.uint8], list[str]]:
    """Pictures of a coloured shape on white, and sentences that name the colour and the shape."""
    rng = np.random.default_rng(seed)
    colours = {"red": (200, 30, 30), "blue": (30, 60, 200), "green": (30, 160, 60), "black": (20, 20, 20)}
    images = np.full((count, height, width, 3), 255, np.uint8)
    texts: list[str] = []
    for number in range(count):
        name = list(colours)[rng.integers(4)]
        shape = ["dress", "hat", "shoe"][rng.integers(3)]
        top, left = rng.integers(2, 8, 2)
        rows, columns = {"dress": (22, 8), "hat": (8, 8), "shoe": (8, 14)}[shape]
        noise = rng.normal(0, 12, (rows, columns, 3))
        patch = (np.array(colours[name]) + noise).clip(0, 255).astype(np.uint8)
        images[number, top : top + rows, left : left + columns] = patch
        texts.append(f"a {name} {shape}")
    return images, texts

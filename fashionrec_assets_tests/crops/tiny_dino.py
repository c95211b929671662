"""A tiny Grounding DINO of the real classes, with random weights, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path

from fashionrec_assets.resources.models import quiet_transformers

SIDE = 64
"""Shortest side, in pixels, to which the tiny model's processor scales a photo."""

WORDS = """
dress gown shirt blouse t-shirt tee top trousers pants jeans coat jacket sweater jumper skirt shorts shoes boots
sneakers bag hat scarf clothing garment accessory upper lower full body t
"""


def grounding_dino(folder: Path, *, seed: int = 0) -> Path:
    """A folder that `AutoModelForZeroShotObjectDetection` and `AutoProcessor` load; returns `folder`.

    The weights are random, so the boxes mean nothing, but they are spread in size and place, depend on the photo and on
    the prompt, and their scores lie around one half: a threshold of 0.01 always finds boxes, one of 0.99 never does.
    """
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(_vocabulary()) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    images = GroundingDinoImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=SIDE,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(_vocabulary()),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=256,
        ),
        d_model=32,
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GroundingDinoForObjectDetection(config)
        # As initialised, every box is a small cell of the grid, and every score next to 0 or 1.
        for name, parameter in model.named_parameters():
            if "bbox_embed" in name:
                parameter.data.normal_(std=0.2)
            if name.endswith("bbox_embed.0.layers.2.bias"):
                parameter.data[2:] += 1.5
            if name == "model.decoder.layer_norm.weight":
                parameter.data.fill_(0.2)
        with quiet_transformers():
            model.save_pretrained(folder)
    return folder


def _vocabulary() -> list[str]:
    """The words at any place, and the special tokens at those places that Grounding DINO takes for granted."""
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?", 1011: "-"}
    words = iter(
        [*dict.fromkeys(WORDS.split()), *"abcdefghijklmnopqrsuvwxyz", *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz")]
    )
    return [fixed[number] if number in fixed else next(words, f"[unused{number}]") for number in range(1030)]

"""What encoding crops costs beyond the model: `ClipEncoder` and the whole stage beside a bare loop over the model.

`python -m fashionrec_assets_tests.benchmarks.encoding [--model ViT-B-32] [--items 256] [--repeats 5]`. Weights are
random: they do not change the time. `--model compact` takes the compact model, whose forward pass is about as short as
decoding a crop.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from rich.console import Console
from rich.table import Table

from fashionrec_assets.crops.assets import CROP_COLUMNS
from fashionrec_assets.crops.grounding import encode_jpeg
from fashionrec_assets.embeddings.assets import encode_bucket
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.settings import ClipSettings
from fashionrec_assets.storage.buckets import VECTOR_COLUMNS, BucketStore

BATCH = 64


def model_folder(name: str, folder: Path) -> Path:
    """A folder with the model `name` and random weights."""
    import json

    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    if name == "compact":
        from fashionrec_assets.embeddings import compact_clip
        from fashionrec_assets.embeddings.trainees import configuration
        from fashionrec_assets.embeddings.words import WordWeights

        config = configuration(ClipSettings(), WordWeights({}), text_dim=8, text_model="none", fingerprint="random")
        compact_clip.save(compact_clip.build(config), config, folder)
        return folder
    torch.manual_seed(0)
    model: Any = open_clip.create_model(name)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--model", default="ViT-B-32", help="an open_clip model name, or compact")
    asked.add_argument("--items", type=int, default=256)
    asked.add_argument("--repeats", type=int, default=5)
    options = asked.parse_args()
    import torch

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        encoder = ClipEncoder(model_folder(options.model, folder / "model"), batch_size=BATCH)
        draw = np.random.default_rng(0)
        keys = [f"{number:06d}" for number in range(options.items)]
        crops = [
            Image.fromarray(draw.integers(0, 255, (40, 30, 3), np.uint8)).resize((150, 200))
            for _ in range(options.items)
        ]
        jpegs = [encode_jpeg(crop, 90) for crop in crops]
        store = BucketStore(folder / "crops", 4, CROP_COLUMNS)
        store.put(pa.table({"item_id": keys, "jpeg": jpegs}))
        vectors = BucketStore(folder / "vectors", 4, VECTOR_COLUMNS)
        buckets = [bucket for _, bucket in store.group(keys)]
        model, prepare, device = encoder._model, encoder._prepare, encoder._device

        def bare() -> None:
            with torch.inference_mode():
                for start in range(0, len(crops), BATCH):
                    model.encode_image(prepare(crops[start : start + BATCH]).to(device), normalize=True).cpu()

        def ours() -> None:
            encoder.encode_images(crops)

        def bare_stage() -> None:
            with torch.inference_mode():
                for bucket in buckets:
                    rows = [jpegs[int(key)] for key in bucket]
                    decoded = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in rows]
                    for start in range(0, len(decoded), BATCH):
                        model.encode_image(prepare(decoded[start : start + BATCH]).to(device), normalize=True).cpu()

        def our_stage() -> None:
            for bucket in buckets:
                vectors.put(encode_bucket(store, encoder, bucket).rows)

        table = Table(
            title=f"{options.model}, {options.items} crops, batches of {BATCH}, {torch.get_num_threads()} threads"
        )
        for head in ("what", "bare loop s", "ours s", "overhead"):
            table.add_column(head)
        for name, first, second in (
            ("encoding crops in memory", bare, ours),
            ("reading, decoding, encoding, writing", bare_stage, our_stage),
        ):
            one, other = side_by_side(first, second, options.repeats)
            table.add_row(name, f"{one:.3f}", f"{other:.3f}", f"{other / one - 1:+.1%}")
        Console().print(table)


def side_by_side(first: Callable[[], None], second: Callable[[], None], repeats: int) -> tuple[float, float]:
    """The shortest of `repeats` runs of each, in seconds, run in turns after one round to warm up."""
    best = [float("inf"), float("inf")]
    for number in range(repeats + 1):
        for place, run in enumerate((first, second)):
            started = time.perf_counter()
            run()
            if number:
                best[place] = min(best[place], time.perf_counter() - started)
    return best[0], best[1]


if __name__ == "__main__":
    main()

"""What encoding costs beyond the models: ours beside the bare loops that their documentation shows.

`python -m fashionrec_assets_tests.benchmarks.encoding [--quick]`. open_clip's weights are random: they do not change
the time. On a GPU also ViT-B-16-SigLIP, in pictures a second.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from fashionrec_assets.crops.grounding import encode_jpeg
from fashionrec_assets.crops.work import CROP_COLUMNS
from fashionrec_assets.definitions import open_shop
from fashionrec_assets.descriptions.tables import DESCRIPTIONS
from fashionrec_assets.embeddings import compact_clip
from fashionrec_assets.embeddings.assets import TEXTS
from fashionrec_assets.embeddings.clip import ClipEncoder
from fashionrec_assets.embeddings.clip_data import Normaliser
from fashionrec_assets.embeddings.encoders import Encoders
from fashionrec_assets.embeddings.images import prepare_images
from fashionrec_assets.embeddings.reading import TEXT_STORE
from fashionrec_assets.embeddings.sentences import SentenceEncoder, packaged_model
from fashionrec_assets.embeddings.trainees import configuration
from fashionrec_assets.embeddings.words import WordWeights
from fashionrec_assets.embeddings.work import Texts, TextVectors, vectors_made
from fashionrec_assets.resources.models import best_device
from fashionrec_assets.settings import ClipSettings, Settings
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS
from fashionrec_assets.storage.warehouse import insert_rows
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, command, in_turns

BATCH = 64
BAR = 1.05
NEAR = 1e-5
"""Vectors count as equal that differ by float noise: a batch's shape decides the order of additions."""

Vectors = NDArray[np.float32]
Prepare = Callable[[list[Image.Image]], torch.Tensor]


def open_clip_folder(name: str, folder: Path) -> Path:
    """A folder with the open_clip model `name` and random weights; its text tower reads CLIP's own tokens."""
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir()
    found: Any = open_clip.get_model_config(name)
    text = {key: value for key, value in found["text_cfg"].items() if not key.startswith(("hf_", "tokenizer"))}
    config = {**found, "text_cfg": {**text, "vocab_size": 49408}}
    sized = {"size": config["vision_cfg"]["image_size"]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": sized}))
    torch.manual_seed(0)
    architecture: Any = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    weights = architecture(**config).state_dict()
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "open_clip_model.safetensors")
    return folder


def compact_folder(folder: Path) -> Path:
    """A folder with the compact model and random weights."""
    config = configuration(ClipSettings(), WordWeights({}), text_dim=8, text_model="none", fingerprint="random")
    torch.manual_seed(0)
    compact_clip.save(compact_clip.build(config), config, folder)
    return folder


def bare_open_clip(folder: Path, device: str) -> tuple[Any, Prepare, Callable[[list[str]], Any]]:
    """The model, what prepares pictures for it and its tokenizer, as open_clip's documentation loads them."""
    import open_clip

    loaded: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}", device=device)
    model, _, preprocess = loaded
    model.eval()

    def prepare(images: list[Image.Image]) -> torch.Tensor:
        return torch.stack([preprocess(image) for image in images])

    return model, prepare, open_clip.get_tokenizer(f"local-dir:{folder}")


def bare_compact(folder: Path, device: str) -> tuple[Any, Prepare]:
    """The compact model, and what prepares pictures for it."""
    model, config = compact_clip.load(folder)
    height, width = config["preprocess_cfg"]["size"]
    normalise = Normaliser(config["preprocess_cfg"], torch.device("cpu"))
    return model.to(device), lambda images: normalise(torch.from_numpy(prepare_images(images, height, width)))


def crops(count: int) -> list[Image.Image]:
    """Pictures of the size of crops, with some structure."""
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 255, (40, 30, 3), np.uint8)).resize((150, 200)) for _ in range(count)]


def descriptions(count: int) -> list[str]:
    """Texts like descriptions, all different."""
    draw = np.random.default_rng(0)
    colours, cuts = ("navy", "red", "off white", "dark green", "mustard"), ("slim", "loose", "regular", "cropped")
    kinds = ("dress", "shirt", "pair of trousers", "coat", "pair of boots", "bag")
    extras = ("with long sleeves", "with a round neck and buttons", "for women, in cotton", "with stripes, by Nordholm")
    return [
        f"A {draw.choice(colours)} {draw.choice(cuts)} {draw.choice(kinds)} {' '.join(draw.permutation(extras)[:3])}, "
        f"model {number}."
        for number in range(count)
    ]


def in_memory(what: str, encoder: ClipEncoder, model: Any, prepare: Prepare, rounds: int, count: int) -> Comparison:
    """Pictures in memory to vectors."""
    images, device = crops(count), best_device()

    def bare() -> Vectors:
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                vectors = model.encode_image(prepare(images[start : start + BATCH]).to(device))
                found.append((vectors / vectors.norm(dim=-1, keepdim=True)).cpu())
        return torch.cat(found).numpy()

    equal = same(encoder.encode_images(images), bare())
    times = in_turns(lambda: encoder.encode_images(images), bare, rounds)
    return comparison(f"{what}: {count} crops in memory to vectors", "bare loop", times, equal, count)


def from_store(
    what: str, encoder: ClipEncoder, model: Any, prepare: Prepare, rounds: int, count: int, folder: Path
) -> Comparison:
    """Crops on disk to vectors on disk: a store of buckets beside a folder of files and one array."""
    device, keys = best_device(), [f"{number:06d}" for number in range(count)]
    folder.mkdir()
    jpegs = [encode_jpeg(crop, 90) for crop in crops(count)]
    for key, jpeg in zip(keys, jpegs, strict=True):
        (folder / f"{key}.jpg").write_bytes(jpeg)
    store = BucketStore(folder / "crops", max(1, count // BATCH), CROP_COLUMNS)
    store.put(pa.table({"item_id": keys, "jpeg": jpegs}))
    vectors = BucketStore(folder / "vectors", max(1, count // BATCH), VECTOR_COLUMNS)
    buckets = [bucket for _, bucket in store.group(keys)]

    def ours() -> None:
        for bucket in buckets:
            table = store.take(bucket)
            found = encoder.encode_images(table.column("jpeg").to_pylist())
            vectors.put(vectors_made(table.column("item_id").to_pylist(), found).rows)

    def bare() -> None:
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                read = [Image.open(folder / f"{key}.jpg").convert("RGB") for key in keys[start : start + BATCH]]
                some = model.encode_image(prepare(read).to(device))
                found.append((some / some.norm(dim=-1, keepdim=True)).cpu())
        np.save(folder / "vectors.npy", torch.cat(found).numpy())

    ours()
    bare()
    stored = np.array(vectors.scan().column("vector").to_pylist(), dtype=np.float32)
    equal = same(stored, np.load(folder / "vectors.npy"))
    times = in_turns(ours, bare, rounds)
    return comparison(
        f"{what}: {count} stored JPEG crops to stored vectors", "bare loop over files, np.save", times, equal, count
    )


def open_clip_texts(
    encoder: ClipEncoder, model: Any, tokenize: Callable[[list[str]], Any], rounds: int, count: int
) -> Comparison:
    """Texts to vectors by an open_clip model's own text tower."""
    texts, device = descriptions(count), best_device()

    def bare() -> Vectors:
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, count, BATCH):
                vectors = model.encode_text(tokenize(texts[start : start + BATCH]).to(device))
                found.append((vectors / vectors.norm(dim=-1, keepdim=True)).cpu())
        return torch.cat(found).numpy()

    equal = same(encoder.encode_texts(texts), bare())
    times = in_turns(lambda: encoder.encode_texts(texts), bare, rounds)
    return comparison(f"open_clip ViT-B-32: {count} texts to vectors", "bare loop", times, equal, count)


def sentences(rounds: int, count: int) -> Comparison:
    """Texts to vectors by MiniLM; nothing is remembered from one round to the next."""
    from sentence_transformers import SentenceTransformer

    texts, device = descriptions(count), best_device()
    encoder = SentenceEncoder(device=device, batch_size=BATCH)
    model = SentenceTransformer(str(packaged_model()), device=device, local_files_only=True)

    def ours() -> Vectors:
        encoder.forget()
        return encoder.encode(texts)

    def bare() -> Vectors:
        return np.asarray(model.encode(texts, batch_size=BATCH))

    equal = same(ours(), bare())
    return comparison(
        f"MiniLM: {count} texts to vectors", "sentence-transformers encode", in_turns(ours, bare, rounds), equal, count
    )


def text_stage(rounds: int, count: int, folder: Path) -> Comparison:
    """The whole stage, as in a shop of 4,096 items (64 in a bucket) and a part of its size: plan, descriptions out of
    the warehouse, vectors, store, ledger; beside a file of lines in and an array out."""
    from sentence_transformers import SentenceTransformer

    folder.mkdir()
    texts, keys = descriptions(count), [f"{number:06d}" for number in range(count)]
    lines = folder / "descriptions.jsonl"
    lines.write_text("".join(json.dumps([key, text]) + "\n" for key, text in zip(keys, texts, strict=True)), "utf-8")
    rows = pa.table(
        {
            "item_id": keys,
            "text": texts,
            "attributes": pa.array([[]] * count, pa.list_(pa.null())),
            "flags": pa.array([[]] * count, pa.list_(pa.string())),
            "provider": ["benchmark"] * count,
        }
    )
    model = SentenceTransformer(str(packaged_model()), device=best_device(), local_files_only=True)
    made: list[Vectors] = []

    def ours() -> float:
        home = Path(tempfile.mkdtemp(dir=folder))
        shop = open_shop(Settings.load(home=home, raw=folder, storage={"buckets": max(1, count // BATCH)}))
        with shop.warehouse.writer() as connection:
            insert_rows(connection, DESCRIPTIONS, rows)
        encoders, store = Encoders(shop), shop.store(TEXT_STORE, VECTOR_COLUMNS)
        _ = encoders.sentences

        def read(some: list[str]) -> Texts:
            with shop.warehouse.reader() as connection:
                found = connection.execute(
                    "SELECT item_id, text FROM descriptions WHERE item_id IN (SELECT unnest(?)) ORDER BY 1", [some]
                ).fetchall()
            return Texts([row[0] for row in found], [row[1] for row in found])

        began = time.perf_counter()
        with shop.stage(TEXTS) as run:
            plan = run.plan(present=store.keys(), encoder=encoders.text_id)
            run.by_bucket(plan, store, TextVectors(shop), read)
        spent = time.perf_counter() - began
        made.append(np.array(store.scan().column("vector").to_pylist(), dtype=np.float32))
        return spent

    def bare() -> Vectors:
        read = [json.loads(line)[1] for line in lines.read_text("utf-8").splitlines()]
        vectors = np.asarray(model.encode(read, batch_size=BATCH))
        np.save(folder / "vectors.npy", vectors)
        return vectors

    times = in_turns(ours, bare, rounds)
    equal = same(made[-1], bare())
    return comparison(
        f"stage text_embeddings: {count} descriptions in the warehouse to vectors in the store and their ledger",
        "lines in, sentence-transformers encode, np.save",
        times,
        equal,
        count,
    )


def same(ours: Vectors, theirs: Vectors) -> str:
    """What was found equal; AssertionError if it was not."""
    apart = float(np.abs(ours - theirs).max())
    assert apart < NEAR, f"vectors differ by {apart}"
    return f"every vector, to {NEAR:g}"


def comparison(
    what: str, alternative: str, times: tuple[list[float], list[float]], equal: str, count: int
) -> Comparison:
    where = torch.cuda.get_device_name() if best_device() == "cuda" else f"{torch.get_num_threads()} threads"
    speeds = [count / statistics.median(seconds) for seconds in times]
    note = f"batches of {BATCH}, float32, {where}; {speeds[0]:,.0f} a second, alternative {speeds[1]:,.0f}"
    return Comparison(what, alternative, *times, bar=BAR, equal=equal, note=note)


def measure(quick: bool) -> list[Comparison]:
    """All rows; `quick`: a few pictures and texts, the smaller of the models where that is possible."""
    large, small, texts, staged, rounds = (8, 16, 16, 16, 1) if quick else (192, 1_024, 512, 1_536, 5)
    few, device, results = min(rounds, 3), best_device(), list[Comparison]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = ["ViT-B-32", *(["ViT-B-16-SigLIP"] if device == "cuda" else [])]
        for name in names:
            at = open_clip_folder(name, folder / name)
            encoder = ClipEncoder(at, batch_size=BATCH, device=device)
            model, prepare, tokenize = bare_open_clip(at, device)
            count = 4_096 if device == "cuda" and not quick else large
            results.append(in_memory(f"open_clip {name}", encoder, model, prepare, few, count))
            results.append(
                from_store(f"open_clip {name}", encoder, model, prepare, few, count, folder / f"files-{name}")
            )
            if name == names[0]:
                results.append(open_clip_texts(encoder, model, tokenize, few, count))
        at = compact_folder(folder / "compact")
        encoder, (model, prepare) = ClipEncoder(at, batch_size=BATCH, device=device), bare_compact(at, device)
        results.append(in_memory("compact CLIP", encoder, model, prepare, rounds, small))
        results.append(from_store("compact CLIP", encoder, model, prepare, rounds, small, folder / "files-compact"))
        results.append(sentences(rounds, texts))
        results.append(text_stage(few, staged, folder / "stage"))
    return results


if __name__ == "__main__":
    command("encoding", measure, __doc__)

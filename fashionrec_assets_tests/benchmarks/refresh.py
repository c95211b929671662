"""A large shop refreshed: everything, nothing, and one per cent of it changed.

`python -m fashionrec_assets_tests.benchmarks.refresh FOLDER [--items 100000] [--rendered 12000]` makes the shop in
`FOLDER/raw`, then runs the nightly refresh, each time in a process of its own: on an empty home (first the item stages
and what they need, then all else), with nothing changed, after a change of `--share` of the items (a third of them
titles, a third photos, a third prices, a tenth as many new and as many deleted), and with nothing changed again.
Results go to `FOLDER/refresh.json` and `FOLDER/refresh.md`. A step that is done is not done again: delete
`refresh.json` to measure anew.

The catalog, its texts and the log are those of the sample shop's generator. Drawing a photo takes longer than all else
there, so only `--rendered` photos are drawn; the other items get one of those, of their own product type where there is
one, with a comment segment of their own. Their files and digests are distinct, as are all texts; many crops are not.
Nothing in the lineage makes use of that: each item is decoded, cropped and encoded for itself.

With `--light` an item costs little: photos are small and not segmented, and descriptions are encoded by a model
with few, random weights (`LIGHT`). What is left of a stage is then bookkeeping for the most part, so that a share
measured is too high rather than too low. Trainings are short and the studies are off (`SETTINGS`) either way: what is
measured is the work on items.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fashionrec_assets.embeddings.sentences import packaged_model
from fashionrec_assets.sample.attributes import draw_wardrobe
from fashionrec_assets.sample.photos import draw_photo, encode_jpeg
from fashionrec_assets.sample.shop import generate_shop
from fashionrec_assets_tests.benchmarks.nightly import ITEM_STAGES, Night, disk_use, markdown, refresh

STEPS = ("items", "rest", "unchanged", "changed", "unchanged_again")
ITEMS_AND_ABOVE = " or ".join(f"+key:{name}" for name in ITEM_STAGES)

SETTINGS: dict[str, Any] = {
    "preset": "quick",
    "clip": {"epochs": 1, "least_presented": 0, "max_pairs": 4_000, "ablations": False},
    "tokens": {"text_tokens": 8, "image_side": 2},
    "two_tower": {"epochs": 1, "dim": 32},
    "synthesis": {"degree": 0.5, "epochs": 1, "least_steps": 50, "most_rows": 5_000},
    "ncf": {"epochs": 1, "dim": 16, "token_dim": 16, "sweep_degrees": [0.5], "sweep_events": 2_000, "sweep_epochs": 1},
    "ranking": {"epochs": 2, "folds": 2, "windows": 1},
    "recommendations": {"homepage_size": 8, "shelf_size": 4},
    "outfits": {"enough_baskets": 20, "train_baskets": 500, "negatives": 10, "evaluated_baskets": 200},
    "styles": {"count": 20, "report_users": 50},
    "assistant": {"report_queries": 20, "report_users": 20},
    "feedback": {"rows": 60, "counterfactual_rows": 8, "counterfactual_draws": 1},
    "evaluation": {
        "bootstrap": 50,
        "seeds": 1,
        "ablations": "off",
        "ncf_experiments": [],
        "max_users": 300,
        "max_cold_users": 50,
    },
}


LIGHT: dict[str, Any] = {
    "crops": {"provider": "whole_image"},
    "clip": {**SETTINGS["clip"], "max_pairs": 1_000, "image_height": 32, "image_width": 24, "embed_dim": 32},
    "tokens": {"text_tokens": 4, "image_side": 1},
    "two_tower": {"epochs": 1, "dim": 16, "batch_size": 512, "negatives": 128, "history": 10},
}
LIGHT_PHOTO = (96, 128)
"""Width and height of photos with `--light`, in pixels."""


def make_shop(
    raw: Path, *, items: int, users: int, events: int, rendered: int, seed: int, size: tuple[int, int] | None = None
) -> None:
    """The shop described in this module's docstring, in `raw`. The same arguments, the same bytes.

    `size`: width and height of the photos in pixels; None: as the generator draws them.
    """
    generate_shop(raw, items=items, users=users, events=events, seed=seed, photos=False)
    wardrobe = draw_wardrobe(items, np.random.default_rng(np.random.SeedSequence(seed).spawn(6)[0]))
    types = np.asarray(wardrobe.types)
    drawn = [resized(encode_jpeg(draw_photo(wardrobe, row, seed).image), size) for row in range(min(rendered, items))]
    alike = {kind: np.flatnonzero(types[: len(drawn)] == kind) for kind in np.unique(types)}
    draw = np.random.default_rng(seed)

    def photo(row: int, item_id: str) -> bytes:
        if row < len(drawn):
            return drawn[row]
        same = alike[types[row]]
        return with_comment(drawn[int(draw.choice(same) if len(same) else draw.integers(len(drawn)))], item_id)

    references: dict[str, str] = {}
    for row, item_id in enumerate(wardrobe.item_ids):
        references[item_id] = reference = photo_path(item_id)
        path = raw / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(row, item_id))

    def with_photos(rows: list[list[str]]) -> list[list[str]]:
        at = rows[0].index("image")
        for row in rows[1:]:
            if len(row) == len(rows[0]) and row[0] in references:
                row[at] = references[row[0]]
        return rows

    edit_catalog(raw, with_photos)


def small_encoder(folder: Path, *, dim: int = 64, layers: int = 2) -> Path:
    """A sentence encoder with MiniLM's vocabulary and few, random weights, below `folder`; an earlier one is kept."""
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:
        from sentence_transformers.models import Pooling, Transformer  # pyright: ignore[reportMissingImports]
    from transformers import AutoTokenizer, BertConfig, BertModel

    model = folder / "model"
    if not model.exists():
        plain = folder / "bert"
        tokenizer = AutoTokenizer.from_pretrained(packaged_model())
        tokenizer.save_pretrained(plain)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=dim,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=2 * dim,
            max_position_embeddings=128,
        )
        torch.manual_seed(0)
        BertModel(config).save_pretrained(plain)
        SentenceTransformer(modules=[Transformer(str(plain), max_seq_length=128), Pooling(dim)], device="cpu").save(
            str(model)
        )
    return model


def change_shop(raw: Path, *, share: float, seed: int) -> dict[str, int]:
    """Change the shop as this module's docstring says; how many items of each kind."""
    draw = np.random.default_rng([seed, 1])
    done: dict[str, int] = {}

    def change(rows: list[list[str]]) -> list[list[str]]:
        header, good = rows[0], [row for row in rows[1:] if len(row) == len(rows[0]) and row[0]]
        title, price, image = (header.index(name) for name in ("title", "price", "image"))
        part = max(1, round(len(good) * share / 3))
        extra = max(1, round(len(good) * share / 10))
        chosen = [good[int(at)] for at in draw.permutation(len(good))[: 3 * part + 2 * extra]]
        for row in chosen[:part]:
            row[title] = f"{row[title]} limited edition"
        for row in chosen[part : 2 * part]:
            path = raw / row[image]
            data = encode_jpeg(darker(path.read_bytes()))
            path.write_bytes(data)
        for row in chosen[2 * part : 3 * part]:
            row[price] = f"{float(row[price] or 20) * 0.9:.2f}" if _is_number(row[price]) else "19.90"
        gone = {id(row) for row in chosen[3 * part : 3 * part + extra]}
        added = []
        for number, row in enumerate(chosen[3 * part + extra :]):
            item_id = f"N{number:07d}"
            copy = [*row]
            copy[0], copy[image] = item_id, photo_path(item_id)
            target = raw / copy[image]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(with_comment((raw / row[image]).read_bytes(), item_id))
            added.append(copy)
        done.update(titles=part, photos=part, prices=part, deleted=len(gone), new=len(added))
        return [header, *(row for row in rows[1:] if id(row) not in gone), *added]

    edit_catalog(raw, change)
    return done


def photo_path(item_id: str) -> str:
    return f"images/{item_id[-2:]}/{item_id}.jpg"


def resized(jpeg: bytes, size: tuple[int, int] | None) -> bytes:
    """The picture of a JPEG at `size`, width and height in pixels; as it is if that is None."""
    if size is None:
        return jpeg
    return encode_jpeg(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB").resize(size)))


def darker(jpeg: bytes) -> NDArray[np.uint8]:
    """The picture of a JPEG, a fifth darker: (height, width, 3) uint8."""
    return (np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), np.float32) * 0.8).astype(np.uint8)


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture in a file of other bytes: a comment segment behind the start marker."""
    comment = text.encode("utf-8")
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def edit_catalog(raw: Path, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    """Rewrite the catalog through `change`, which gets and gives all rows, the header first."""
    path = raw / "catalog.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(change(rows))
    draft.replace(path)


def _is_number(text: str) -> bool:
    try:
        return float(text or 20) > 0
    except ValueError:
        return False


def report(results: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    runs = [name for name in STEPS if name in results]
    text = f"# {results['size']:,} items\n\n"
    text += markdown(
        ("run", "wall s", "CPU s", "peak MiB", "item stages CPU s", "exit", "failed checks"),
        [
            (
                name,
                results[name]["seconds"],
                results[name]["cpu_seconds"],
                results[name]["peak_mib"],
                round(Night(**results[name]).item_seconds(), 1),
                results[name]["returncode"],
                "; ".join(results[name]["failed"]) or "-",
            )
            for name in runs
        ],
    )
    if "changed" in results:
        text += f"\nChanged: {results['changes']}\n\n"
        full = {**results.get("rest", {}).get("assets", {}), **results["items"]["assets"]}
        changed = results["changed"]["assets"]
        rows = []
        for name in (*ITEM_STAGES, *(name for name in full if name not in ITEM_STAGES)):
            if name in full and name in changed:
                one, other = full[name]["cpu_seconds"], changed[name]["cpu_seconds"]
                counts = ", ".join(f"{changed[name][kind]} {kind}" for kind in ("new", "stale", "orphaned", "reused"))
                rows.append((name, f"{one:.2f}", f"{other:.2f}", f"{other / max(one, 1e-9):.1%}", counts))
        text += markdown(("stage", "full CPU s", "changed CPU s", "share", "counts"), rows)
    for name, sizes in results.get("disk", {}).items():
        text += f"\nDisk after {name}: " + ", ".join(f"{part} {size / 2**20:.0f} MiB" for part, size in sizes.items())
    return text + "\n"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--items", type=int, default=100_000)
    asked.add_argument("--users", type=int, default=5_000)
    asked.add_argument("--events", type=int, default=200_000)
    asked.add_argument("--rendered", type=int, default=12_000)
    asked.add_argument("--light", action="store_true", help="little work an item: see above")
    asked.add_argument("--share", type=float, default=0.01)
    asked.add_argument("--seed", type=int, default=17)
    asked.add_argument("--items-only", action="store_true", help="the item stages and what they need, and no more")
    asked.add_argument("--until", choices=("shop", *STEPS), help="stop after this step")
    options = asked.parse_args()
    folder: Path = options.folder
    raw, home, kept = folder / "raw", folder / "home", folder / "refresh.json"
    results: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {"size": options.items}

    def keep() -> None:
        kept.write_text(json.dumps(results, indent=1), "utf-8")
        kept.with_suffix(".md").write_text(report(results), "utf-8")

    if "shop" not in results:
        for stale in (raw, home):
            shutil.rmtree(stale, ignore_errors=True)
        make_shop(
            raw,
            items=options.items,
            users=options.users,
            events=options.events,
            rendered=options.rendered,
            seed=options.seed,
            size=LIGHT_PHOTO if options.light else None,
        )
        home.mkdir(parents=True)
        chosen = dict(SETTINGS)
        if options.light:
            chosen |= LIGHT | {"text": {"model": str(small_encoder(folder / "encoder").resolve())}}
        (home / "settings.json").write_text(json.dumps(chosen), "utf-8")
        results["shop"] = True
        keep()
    for name in STEPS:
        if options.until == "shop":
            break
        if name == "rest" and options.items_only:
            continue
        if name == "changed" and "changes" not in results:
            results["changes"] = change_shop(raw, share=options.share, seed=options.seed)
            keep()
        if name not in results:
            select = ITEMS_AND_ABOVE if name == "items" or options.items_only else None
            results[name] = refresh(raw, home, folder / f"{name}.log", select=select).as_dict()
            results.setdefault("disk", {})[name] = disk_use(home)
            keep()
        if options.until == name:
            break
    print(report(results))


if __name__ == "__main__":
    main()

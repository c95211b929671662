"""Writes a sample shop: catalog, log, users, photos, and the truth beside it.

Belongs here: file formats, which fields are left blank, and the order of the steps. Does not belong here: what is
drawn, written or simulated.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashionrec_assets.sample import behaviour, flaws, taste, titles
from fashionrec_assets.sample.attributes import (
    BRANDS,
    COLOURS,
    GENDERS,
    LENGTHS,
    NECKLINES,
    NONE,
    PATTERNS,
    PERIOD_END,
    PERIOD_START,
    PRODUCT_TYPES,
    SLEEVES,
    STYLES,
    TEST_START,
    VALIDATION_START,
    Wardrobe,
    draw_wardrobe,
    unique_numbers,
)
from fashionrec_assets.sample.truth import Truth, save_truth

VERSION = 1
"""Raise it when the same parameters give another shop."""
MARKER = "sample_shop.json"
CATALOG_HEADER = [
    "item_id", "title", "description", "category", "product_type", "family_id", "brand", "colour", "pattern", "section",
    "gender", "price", "launched_at", "image",
]  # fmt: skip
MIN_ITEMS, MIN_USERS = 40, 20
_CITIES = ("Shanghai", "Hangzhou", "Chengdu", "Berlin", "Madrid", "Lagos", "São Paulo", "Osaka", "Leeds", "Pune")
_CATEGORY_CODES = {name: str(4001 + n) for n, name in enumerate(dict.fromkeys(t.category for t in PRODUCT_TYPES))}
# Share of the rows on which an optional field is left blank.
_BLANK = {
    "category": 0.03, "product_type": 0.05, "brand": 0.2, "colour": 0.3, "pattern": 0.6, "section": 0.25, "gender": 0.2,
    "price": 0.04, "launched_at": 0.05, "image": 0.01,
}  # fmt: skip


@dataclass(frozen=True)
class ShopSummary:
    """Counts of a generated shop. Rows of the files are `items` or `events` plus the malformed ones."""

    out: Path
    truth: Path
    items: int
    users: int
    events: int
    bots: int
    bot_events: int
    photos: int
    malformed: dict[str, int]
    scenes: dict[str, int]
    cold_test_item_share: float
    """Of the distinct items people interact with in the test period, the share without an earlier event."""
    cold_test_event_share: float
    new_test_user_share: float
    """Of the people active in the test period, the share without an earlier event."""


def default_truth(out: Path) -> Path:
    """Where the truth of the shop in `out` goes unless another folder is named: beside it."""
    return out.parent / f"{out.name}_truth"


def _parameters(items: int, users: int, events: int, seed: int, photos: bool) -> dict[str, Any]:
    return {"version": VERSION, "items": items, "users": users, "events": events, "seed": seed, "photos": photos}


def shop_is_current(
    out: Path, *, items: int = 1200, users: int = 3000, events: int = 120_000, seed: int = 17, photos: bool = True,
    truth: Path | None = None,
) -> bool:  # fmt: skip
    """Whether `out` was generated with these parameters by this version; its files may have been edited since."""
    if not (truth or default_truth(out)).joinpath("truth.json").is_file() or not (out / MARKER).is_file():
        return False
    marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    return marker == _parameters(items, users, events, seed, photos)


def generate_shop(
    out: Path,
    *,
    items: int = 1200,
    users: int = 3000,
    events: int = 120_000,
    seed: int = 17,
    truth: Path | None = None,
    photos: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShopSummary:
    """Generate the shop into `out` and its truth into `truth` (default: `<out>_truth`). The same seed, the same bytes.

    The folders are complete or absent: files are written beside them and renamed at the end. `progress` is called
    with hundredths of the whole. Raises ValueError for too small a shop, FileExistsError if `out` holds anything but
    an earlier sample shop.
    """
    if items < MIN_ITEMS or users < MIN_USERS or events < 5 * users:
        raise ValueError(
            f"a sample shop needs at least {MIN_ITEMS} items, {MIN_USERS} users and five events a user; "
            f"asked for {items}, {users} and {events}"
        )
    out = Path(out)
    truth_folder = Path(truth) if truth is not None else default_truth(out)
    for folder, marker in ((out, MARKER), (truth_folder, "truth.json")):
        if folder.exists() and any(folder.iterdir()) and not (folder / marker).is_file():
            raise FileExistsError(f"{folder} is not empty and no sample shop: choose another folder or empty it")

    def report(begin: float, end: float) -> Callable[[int, int], None]:
        return lambda done, total: progress(int(begin + (end - begin) * done / max(total, 1)), 100)

    # Streams of their own, so that more users do not redraw the garments.
    wardrobe_rng, taste_rng, log_rng, text_rng, flaw_rng, people_rng = (
        np.random.default_rng(sequence) for sequence in np.random.SeedSequence(seed).spawn(6)
    )
    wardrobe = draw_wardrobe(items, wardrobe_rng)
    tastes = taste.draw_taste(wardrobe, users, taste_rng)
    log = behaviour.simulate(tastes, events, log_rng, progress=report(0, 35 if photos else 90))
    user_ids = unique_numbers(users, 7 if users <= 1_000_000 else 10, people_rng)

    part, truth_part = _fresh(out), _fresh(truth_folder)
    photo_flaws = flaws.flawed_photos(np.flatnonzero(wardrobe.drop_days < 0), flaw_rng)
    rows = _catalog_rows(wardrobe, photo_flaws, text_rng, photos)
    catalog, malformed = flaws.spoil_catalog(CATALOG_HEADER, rows, flaw_rng)
    _write_csv(part / "catalog.csv", CATALOG_HEADER, catalog)
    malformed = {f"catalog.{kind}": count for kind, count in malformed.items()}

    codes = [_CATEGORY_CODES[wardrobe.type_of(row).category] for row in range(items)]
    lines = [
        f"{user_ids[u]},{wardrobe.item_ids[i]},{codes[i]},{behaviour.BEHAVIOURS[k]},{t}"
        for u, i, k, t in zip(
            log.users.tolist(), log.items.tolist(), log.kinds.tolist(), log.times.tolist(), strict=True
        )
    ]
    lines, log_flaws = flaws.spoil_log(lines, flaw_rng)
    malformed |= {f"log.{kind}": count for kind, count in log_flaws.items()}
    (part / "UserBehavior.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_users(part / "users.csv", user_ids, tastes, people_rng)

    boxes: list[tuple[str, int, int, int, int]] = []
    if photos:
        boxes = _write_photos(part, wardrobe, rows, photo_flaws, seed, report(40, 98))
        malformed |= {f"photos.{kind}": 1 for kind in photo_flaws.values()}
    summary_extra = _shares(log)
    parameters = _parameters(items, users, events, seed, photos)
    save_truth(_truth(wardrobe, tastes, log, user_ids, boxes, parameters, seed), truth_part)
    (part / MARKER).write_text(json.dumps(parameters, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for source, target in ((truth_part, truth_folder), (part, out)):
        if target.exists():
            shutil.rmtree(target)
        source.rename(target)
    progress(100, 100)
    return ShopSummary(
        out=out,
        truth=truth_folder,
        items=items,
        users=users,
        events=len(log),
        bots=int(log.bots.sum()),
        bot_events=int(log.bots[log.users].sum()),
        photos=len(list(out.glob("images/*/*.jpg"))),
        malformed=malformed,
        scenes=dict(sorted(Counter(scene for scene, *_ in boxes if scene).items())),
        **summary_extra,
    )


def _fresh(folder: Path) -> Path:
    part = folder.parent / f".{folder.name}.part"
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    return part


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _catalog_rows(
    wardrobe: Wardrobe, photo_flaws: dict[int, str], rng: np.random.Generator, photos: bool
) -> list[list[str]]:
    rows: list[list[str]] = []
    for row, item_id in enumerate(wardrobe.item_ids):
        product = wardrobe.type_of(row)
        fields = {
            "item_id": item_id,
            "title": titles.title(wardrobe, row, rng),
            "description": titles.description(wardrobe, row, rng),
            "category": product.category,
            "product_type": product.name,
            "family_id": f"F{wardrobe.families[row]:06d}",
            "brand": BRANDS[int(wardrobe.brands[row])],
            "colour": COLOURS[int(wardrobe.colours[row])].name,
            "pattern": PATTERNS[int(wardrobe.patterns[row])],
            "section": titles.section_of(wardrobe, row),
            "gender": GENDERS[int(wardrobe.genders[row])],
            "price": f"{wardrobe.prices[row]:.2f}",
            "launched_at": _iso(int(wardrobe.launched[row])),
            "image": f"images/{item_id[-2:]}/{item_id}.jpg",
        }
        blank = rng.random(len(_BLANK))
        for chance, (name, share) in zip(blank, _BLANK.items(), strict=True):
            if chance < share and not (name == "image" and row in photo_flaws):
                fields[name] = ""
        if not photos:
            fields["image"] = ""
        rows.append([fields[name] for name in CATALOG_HEADER])
    return rows


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_users(path: Path, user_ids: list[str], tastes: taste.Taste, rng: np.random.Generator) -> None:
    rows: list[list[str]] = []
    for row, user_id in enumerate(user_ids):
        known = rng.random(3)
        gender = ("female", "male")[int(tastes.genders[row])] if known[0] < 0.6 else ""
        age = str(int(np.clip(rng.normal(33, 10), 16, 80))) if known[1] < 0.4 else ""
        city = _CITIES[int(rng.integers(len(_CITIES)))] if known[2] < 0.5 else ""
        rows.append([user_id, gender, age, city])
    _write_csv(path, ["user_id", "gender", "age", "city"], rows)


def _write_photos(
    folder: Path,
    wardrobe: Wardrobe,
    rows: list[list[str]],
    photo_flaws: dict[int, str],
    seed: int,
    progress: Callable[[int, int], None],
) -> list[tuple[str, int, int, int, int]]:
    """Write the JPEGs; per item its scene and box, ('', -1, -1, -1, -1) where no photo can be read."""
    # OpenCV is slow to import and only drawing needs it.
    from fashionrec_assets.sample.photos import draw_photo, encode_jpeg

    result: list[tuple[str, int, int, int, int]] = []
    for row in range(len(wardrobe)):
        reference, flaw = rows[row][-1], photo_flaws.get(row)
        progress(row, len(wardrobe))
        if not reference or flaw == "missing_photo":
            result.append(("", -1, -1, -1, -1))
            continue
        photo = draw_photo(wardrobe, row, seed)
        data = encode_jpeg(photo.image)
        path = folder / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        if flaw == "truncated_photo":
            path.write_bytes(data[: len(data) // 3])
            result.append(("", -1, -1, -1, -1))
            continue
        path.write_bytes(data)
        result.append((photo.scene, *photo.box))
    return result


def _shares(log: behaviour.Behaviour) -> dict[str, float]:
    people = ~log.bots[log.users]
    before, test = log.times < TEST_START, log.times >= TEST_START
    warm = np.unique(log.items[before])
    seen = np.unique(log.users[before])
    test_users = np.unique(log.users[test & people])
    test_items = log.items[test & people]
    distinct = np.unique(test_items)
    return {
        "cold_test_item_share": float(1 - np.isin(distinct, warm).mean()) if len(distinct) else 0.0,
        "cold_test_event_share": float(1 - np.isin(test_items, warm).mean()) if len(distinct) else 0.0,
        "new_test_user_share": float(1 - np.isin(test_users, seen).mean()) if len(test_users) else 0.0,
    }


def _truth(
    wardrobe: Wardrobe,
    tastes: taste.Taste,
    log: behaviour.Behaviour,
    user_ids: list[str],
    boxes: list[tuple[str, int, int, int, int]],
    parameters: dict[str, Any],
    seed: int,
) -> Truth:
    def names(vocabulary: tuple[str, ...], rows: Any) -> list[str | None]:
        return [None if vocabulary[int(row)] == NONE else vocabulary[int(row)] for row in rows]

    scenes = boxes or [("", -1, -1, -1, -1)] * len(wardrobe)
    corners = np.array([box[1:] for box in scenes], np.int64)
    items = pd.DataFrame(
        {
            "item_id": list(wardrobe.item_ids),
            "product_type": [PRODUCT_TYPES[int(row)].name for row in wardrobe.types],
            "colour": [COLOURS[int(row)].name for row in wardrobe.colours],
            "pattern": names(PATTERNS, wardrobe.patterns),
            "neckline": names(NECKLINES, wardrobe.necklines),
            "sleeve": names(SLEEVES, wardrobe.sleeves),
            "length": names(LENGTHS, wardrobe.lengths),
            "gender": [GENDERS[int(row)] for row in wardrobe.genders],
            "brand": [BRANDS[int(row)] for row in wardrobe.brands],
            "family": wardrobe.families,
            "price": wardrobe.prices,
            "launched": wardrobe.launched,
            "scene": [box[0] or None for box in scenes],
        }
        | {f"style_{name}": wardrobe.styles[:, at] for at, name in enumerate(STYLES)}
        | {
            name: pd.array(np.where(corners[:, at] < 0, 0, corners[:, at]), dtype="Int64").copy()
            for at, name in enumerate(("x0", "y0", "x1", "y1"))
        }
    )
    unseen = corners[:, 0] < 0
    for name in ("x0", "y0", "x1", "y1"):
        items.loc[unseen, name] = pd.NA
    users = pd.DataFrame(
        {
            "user_id": user_ids,
            "is_bot": log.bots,
            "gender": [("women", "men")[int(row)] for row in tastes.genders],
            "joined": PERIOD_START + log.joined * 86_400,
        }
    )
    meta = {
        "parameters": parameters,
        "period": {
            "start": PERIOD_START, "validation_start": VALIDATION_START, "test_start": TEST_START, "end": PERIOD_END,
        },
        "utility": "log of the expected choice probability in the test period",
    }  # fmt: skip
    return Truth(
        meta=meta,
        items=items,
        users=users,
        item_factors=tastes.items,
        user_factors=tastes.users,
        intent_factors=tastes.intents,
        intent_shares=log.test_intents,
        test_day_bias=tastes.day_bias[(TEST_START - PERIOD_START) // 86_400 :],
    )

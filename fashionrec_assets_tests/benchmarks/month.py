"""A month of nights: a shop that changes every day, refreshed every night, and what was recomputed held against it.

`python -m fashionrec_assets_tests.benchmarks.month FOLDER [--nights 30] [--raw R --home H]` works on copies of a raw
folder and, if given, of a home that belongs to it, in `FOLDER/raw` and `FOLDER/home`; without them it makes a sample
shop of `--items`, `--users` and `--events` and builds its home. Before the first night the item stages are made anew
once, all of them, by the models in force, on another copy of the home: that is what the nights are compared with, in
CPU seconds.

Before each night the shop changes (`Day`): new items with photos, other titles, photos and prices, items deleted; the
events of the next day, a few that come late, some corrected, some malformed. Then the nightly refresh runs in a process
of its own. Every stage about items and the log must have recomputed exactly what changed for it (`expected`): what was
edited, or what the stage above it gave out otherwise than the night before, or everything if a model was trained anew.
Rows refused must be those that a judge of this module's own refuses. A month that was interrupted goes on after the
last night that was finished.

`FOLDER/month.json` and `FOLDER/month.md` state all nights; the exit code is 1 if a night failed or recomputed anything
else.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from PIL import Image

from fashionrec_assets.sample.photos import encode_jpeg
from fashionrec_assets.sample.shop import generate_shop
from fashionrec_assets_tests.benchmarks.nightly import ITEM_STAGES, Night, disk_use, markdown, refresh
from fashionrec_assets_tests.benchmarks.refresh import darker, photo_path, with_comment

DAY = 86_400
BEHAVIOURS = ("pv", "fav", "cart", "buy")
KINDS = ("new", "stale", "orphaned")
_OLDEST, _NEWEST = 1_104_537_600, 4_000_000_000

Change = dict[str, int]
"""Units by kind of work: see `KINDS`."""


@dataclass
class Day:
    """What was changed before a night, by item id, and how many lines of the log."""

    new: set[str] = field(default_factory=set)
    titles: set[str] = field(default_factory=set)
    photos: set[str] = field(default_factory=set)
    prices: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    lines: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, int]:
        items = {name: len(getattr(self, name)) for name in ("new", "titles", "photos", "prices", "deleted")}
        return {**items, **{f"{name} lines": count for name, count in sorted(self.lines.items())}}


class Catalog:
    """`catalog.csv`: its rows, the broken ones left where they are."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        with (raw / "catalog.csv").open(encoding="utf-8", newline="") as file:
            self.header, *self.rows = list(csv.reader(file))
        self.at = {name: place for place, name in enumerate(self.header)}

    def good(self) -> dict[str, list[str]]:
        """The rows that count, by item id: whole, with an id, the first of those that share it."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            if len(row) == len(self.header) and row[self.at["item_id"]]:
                found.setdefault(row[self.at["item_id"]], row)
        return found

    def write(self) -> None:
        with (self.raw / "catalog.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([self.header, *self.rows])


def change_catalog(raw: Path, night: int, draw: np.random.Generator, day: Day) -> None:
    """Edit the catalog and its photos; `day` hears what was done. No item is edited in two ways in one night."""
    catalog = Catalog(raw)
    at = catalog.at
    good = catalog.good()
    shuffled = (list(good)[int(place)] for place in draw.permutation(len(good)))
    chosen = (item for item in shuffled if is_photo(raw / good[item][at["image"]]))
    for item in islice(chosen, 5):
        good[item][at["title"]] = f"{good[item][at['title']]} {('velvet', 'cropped', 'striped')[night % 3]}"
        day.titles.add(item)
    for item in islice(chosen, 3):
        path = raw / good[item][at["image"]]
        path.write_bytes(encode_jpeg(darker(path.read_bytes())))
        day.photos.add(item)
    for item in islice(chosen, 3):
        good[item][at["price"]] = f"{19 + night}.{int(draw.integers(10, 99))}"
        day.prices.add(item)
    for item in islice(chosen, 4):
        copy = [*good[item]]
        copy[at["item_id"]] = copy_id = f"N{night:03d}{len(day.new):03d}"
        copy[at["title"]] = f"{copy[at['title']]} new in {night}"
        copy[at["image"]] = photo_path(copy_id)
        target = raw / copy[at["image"]]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(with_comment((raw / good[item][at["image"]]).read_bytes(), copy_id))
        catalog.rows.append(copy)
        day.new.add(copy_id)
    for item in islice(chosen, 2):
        catalog.rows = [row for row in catalog.rows if row[:1] != [item]]
        (raw / good[item][at["image"]]).unlink()
        day.deleted.add(item)
    catalog.write()


def is_photo(path: Path) -> bool:
    """Whether `path` is a picture that can be read to its end."""
    if not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def change_log(raw: Path, night: int, draw: np.random.Generator, day: Day) -> None:
    """Append the next day's events, late ones and malformed ones, and correct some lines in their place."""
    path = raw / "UserBehavior.csv"
    lines = path.read_text("utf-8").splitlines()
    items = set(Catalog(raw).good())
    judged = judge(lines, items)
    valid = [line.split(",") for line in judged.accepted]
    newest = max(int(line[4]) for line in valid) // DAY
    days = len({int(line[4]) // DAY for line in valid})
    per_day = len(valid) // days

    def event(number: int, moment: int) -> str:
        user, item, category, behaviour, _ = valid[int(draw.integers(len(valid)))]
        if number % 10 == 0:
            item = sorted(day.new)[number // 10 % len(day.new)]
        if number % 40 == 39:
            user = f"9{night:03d}{number:03d}"
        return f"{user},{item},{category},{behaviour},{moment}"

    for number in range(per_day):
        lines.append(event(number, (newest + 1) * DAY + int(draw.integers(DAY))))
    day.lines["next day"] = per_day
    for number in range(5):
        lines.append(event(number, (newest - 1 - number % 2) * DAY + int(draw.integers(DAY))))
    day.lines["late"] = 5
    for place in draw.choice(len(lines) - per_day - 5, size=60, replace=False):
        fields = lines[int(place)].split(",")
        if day.lines["corrected"] < 4 and lines[int(place)] in judged.accepted and fields[3] == "pv":
            lines[int(place)] = ",".join([*fields[:3], "buy", fields[4]])
            day.lines["corrected"] += 1
    user, item, category, behaviour, moment = lines[-1].split(",")
    lines += [
        f"{user},{item},{category},{behaviour},2024/03/xx",
        f"{user},{item},{category},click,{moment}",
        f"{user},999{item},{category},{behaviour},{moment}",
        f"{user},{item},{behaviour},{moment}",
        f"{user},{item},{category},{behaviour},-1",
        f"{user},{item},{category},{behaviour},{moment}",
    ]
    day.lines["malformed"] = 6
    path.write_text("\n".join(lines) + "\n", "utf-8")


@dataclass(frozen=True)
class Judged:
    """The log as this module reads it."""

    accepted: frozenset[str]
    refused: int

    def days(self) -> dict[int, frozenset[str]]:
        """Day since the epoch -> its events, without the column that the shop knows better."""
        found: dict[int, set[str]] = {}
        for line in self.accepted:
            user, item, _, behaviour, moment = line.split(",")
            found.setdefault(int(moment) // DAY, set()).add(f"{user},{item},{behaviour},{moment}")
        return {number: frozenset(events) for number, events in found.items()}


def judge(lines: Iterable[str], items: set[str]) -> Judged:
    """Which lines are events: five columns, a known behaviour, a possible time, an item of the catalog, and no event
    twice."""
    accepted: list[str] = []
    seen: set[tuple[str, ...]] = set()
    refused = 0
    for line in lines:
        fields = line.split(",")
        number = fields[4] if len(fields) == 5 else ""
        event = (*fields[:2], *fields[3:])
        possible = number.lstrip("-").isdecimal() and _OLDEST <= int(number) <= _NEWEST
        if possible and fields[0] and fields[1] in items and fields[3] in BEHAVIOURS and event not in seen:
            seen.add(event)
            accepted.append(line)
        else:
            refused += 1
    return Judged(frozenset(accepted), refused)


@dataclass(frozen=True)
class Known:
    """What a home says of itself after a run: outputs by stage and key, and what descriptions read and say."""

    outputs: Mapping[str, Mapping[str, str]]
    texts: Mapping[str, str]
    colours: Mapping[str, str]
    refused_events: int

    @classmethod
    def of(cls, home: Path) -> Known:
        with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
            outputs: dict[str, dict[str, str]] = {}
            for stage, key, output in connection.execute("SELECT stage, key, output_fp FROM ledger").fetchall():
                outputs.setdefault(stage, {})[key] = output
            texts = dict(connection.execute("SELECT item_id, text FROM descriptions").fetchall())
            colours = dict(
                connection.execute(
                    "SELECT item_id, CASE WHEN coalesce(trim(colour), '') = '' THEN crops.colours::VARCHAR END "
                    "FROM items LEFT JOIN crops USING (item_id)"
                ).fetchall()
            )
            refused = connection.execute(
                "SELECT count(*) FROM rejects WHERE table_name = 'interactions' AND NOT row_kept"
            ).fetchall()[0][0]
        return cls(outputs, texts, colours, refused)

    def model(self, name: str) -> str:
        return self.outputs.get(name, {}).get("*", "").split(".")[0]


def difference(before: Mapping[Any, Any], after: Mapping[Any, Any], also: Iterable[Any] = ()) -> Change:
    """The keys of two states by kind of work; keys of `also` count as stale where they are in both."""
    both = before.keys() & after.keys()
    stale = {key for key in both if before[key] != after[key]} | (set(also) & both)
    return {"new": len(after.keys() - both), "stale": len(stale), "orphaned": len(before.keys() - both)}


def expected(day: Day, before: Known, after: Known, log: tuple[Judged, Judged]) -> dict[str, Change]:
    """The units that each stage should have worked on."""

    def of(stage: str, also: Iterable[str] = ()) -> Change:
        return difference(before.outputs.get(stage, {}), after.outputs.get(stage, {}), also)

    def changed(stage: str) -> set[str]:
        one, other = before.outputs.get(stage, {}), after.outputs.get(stage, {})
        return {key for key in one.keys() & other.keys() if one[key] != other[key]} | (one.keys() ^ other.keys())

    def everything(stage: str) -> Iterable[str]:
        return after.outputs.get(stage, {})

    edited = day.titles | day.photos | day.prices
    crops, texts = changed("grounded_crops"), changed("text_embeddings")
    images, all_items = changed("image_embeddings"), after.outputs["items"]
    same_clip = before.model("clip_model") == after.model("clip_model")
    same_towers = before.model("two_tower_model") == after.model("two_tower_model")
    colours = {key for key in all_items if before.colours.get(key) != after.colours.get(key)}
    words = {key for key in all_items if before.texts.get(key) != after.texts.get(key)}
    rules: dict[str, tuple[str, Iterable[str]]] = {
        "items": ("items", edited),
        "grounded_crops": ("grounded_crops", day.photos),
        "clarified_descriptions": ("clarified_descriptions", day.titles | colours),
        "text_embeddings": ("text_embeddings", words),
        "text_tokens": ("text_tokens", words),
        "image_embeddings": ("image_embeddings", crops if same_clip else everything("image_embeddings")),
        "image_tokens": ("image_tokens", crops if same_clip else everything("image_tokens")),
        "item_vectors": ("item_vectors", texts | images | day.prices if same_towers else everything("item_vectors")),
        "similar_items": ("similar_items", texts | images),
    }
    wanted = {}
    for name, (stage, stale) in rules.items():
        keys = set(after.outputs.get(stage, {})) & set(before.outputs.get(stage, {}))
        kinds = of(stage)
        wanted[name] = {"new": kinds["new"], "stale": len(keys & set(stale)), "orphaned": kinds["orphaned"]}
    # How many appear and go is known without asking the shop.
    for name in ("items", "clarified_descriptions", "text_embeddings", "text_tokens", "item_vectors", "similar_items"):
        wanted[name] |= {"new": len(day.new), "orphaned": len(day.deleted)}
    for name in ("grounded_crops", "image_embeddings", "image_tokens"):
        wanted[name] |= {"new": len(day.new), "orphaned": len(day.deleted)}
    index = before.outputs["item_vectors"] != after.outputs["item_vectors"]
    wanted["faiss_index"] = {"new": 0, "stale": int(index), "orphaned": 0}
    wanted["interactions"] = difference(log[0].days(), log[1].days())
    return wanted


def state(raw: Path) -> Judged:
    return judge((raw / "UserBehavior.csv").read_text("utf-8").splitlines(), set(Catalog(raw).good()))


def surprises(night: Night, wanted: Mapping[str, Change]) -> list[str]:
    """Where a night's counts are not those expected."""
    told = []
    for name, change in wanted.items():
        counts = {kind: night.assets.get(name, {}).get(kind) for kind in KINDS}
        if counts != change:
            told.append(f"{name}: {counts} instead of {change}")
    return told


def report(results: Mapping[str, Any]) -> str:
    """The month as Markdown."""
    nights = results["nights"]
    once = Night(**results["full"])
    full = once.item_seconds()
    total = sum(night["item_seconds"] for night in nights)
    text = f"# {len(nights)} nights\n\n"
    if nights:
        text += (
            f"Item stages: {total:.1f} CPU s in {len(nights)} nights, {full:.1f} in one full run: "
            f"{total / (full * len(nights)):.1%} of {len(nights)} full runs.\n\n"
        )
    text += markdown(
        (
            "night",
            "changed",
            "wall s",
            "CPU s",
            "peak MiB",
            "item stages CPU s",
            "refused lines",
            "surprises",
            "failed",
        ),
        [
            (
                night["night"],
                ", ".join(f"{count} {name}" for name, count in night["changes"].items()),
                f"{night['seconds']:.0f}",
                f"{night['cpu_seconds']:.0f}",
                f"{night['peak_mib']:.0f}",
                f"{night['item_seconds']:.1f}",
                night["refused"],
                "; ".join(night["surprises"]) or "none",
                "; ".join(night["failed"]) or "-",
            )
            for night in nights
        ],
    )
    if nights:
        text += "\nCPU seconds of the item stages, over all nights, and once in full:\n\n"
        rows = []
        for name in ITEM_STAGES:
            spent = sum(night["assets"][name]["cpu_seconds"] for night in nights if name in night["assets"])
            whole = once.assets[name]["cpu_seconds"]
            work = sum(night["assets"].get(name, {}).get(kind, 0) for night in nights for kind in KINDS)
            share = f"{spent / max(whole * len(nights), 1e-9):.1%}"
            rows.append((name, f"{spent:.1f}", f"{whole:.1f}", share, work))
        text += markdown(("stage", "all nights", "once in full", "share of full runs", "units worked on"), rows)
        parts = sorted({part for night in nights for part in night["disk"]})
        text += "\nMiB on disk after each night:\n\n"
        text += markdown(
            ("night", *parts, "all"),
            [
                (
                    night["night"],
                    *(f"{night['disk'].get(part, 0) / 2**20:.1f}" for part in parts),
                    f"{sum(night['disk'].values()) / 2**20:.1f}",
                )
                for night in nights
            ],
        )
    return text


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--nights", type=int, default=30)
    asked.add_argument("--seed", type=int, default=17)
    asked.add_argument("--raw", type=Path, help="a raw folder to copy; default: a sample shop")
    asked.add_argument("--home", type=Path, help="a home to copy that is up to date with it; default: built first")
    asked.add_argument("--items", type=int, default=1_200)
    asked.add_argument("--users", type=int, default=3_000)
    asked.add_argument("--events", type=int, default=120_000)
    asked.add_argument("--settings", type=Path, help="a settings.json for a home that is built")
    asked.add_argument("--preset", help="for a home that is built")
    asked.add_argument("--select", help="refresh these assets only, as `fashionrec run --select`")
    options = asked.parse_args()
    folder: Path = options.folder
    raw, home, kept = folder / "raw", folder / "home", folder / "month.json"
    folder.mkdir(parents=True, exist_ok=True)

    def keep(results: Mapping[str, Any]) -> None:
        draft = kept.with_suffix(".tmp")
        draft.write_text(json.dumps(results, indent=1), "utf-8")
        draft.replace(kept)
        (folder / "month.md").write_text(report(results), "utf-8")

    if kept.exists():
        results: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    else:
        results = _begin(options, raw, home, folder)
        keep(results)
    for number in range(len(results["nights"]) + 1, options.nights + 1):
        saved = folder / f"raw_before_{number:03d}"
        for other in folder.glob("raw_before_*"):
            if other != saved:
                shutil.rmtree(other)
        if saved.exists():
            # The night was interrupted after the shop had changed: change it again from where it was.
            shutil.rmtree(raw)
            shutil.copytree(saved, raw)
        else:
            shutil.copytree(raw, folder / "raw_before_.part")
            (folder / "raw_before_.part").rename(saved)
        results["nights"].append(_night(raw, home, folder, number, options))
        keep(results)
    print(report(results))
    wrong = [night for night in results["nights"] if night["surprises"] or night["returncode"]]
    sys.exit(1 if wrong else 0)


def _begin(options: argparse.Namespace, raw: Path, home: Path, folder: Path) -> dict[str, Any]:
    for stale in (raw, home, *folder.glob("raw_before_*")):
        shutil.rmtree(stale, ignore_errors=True)
    if options.raw:
        shutil.copytree(options.raw, raw)
    else:
        generate_shop(raw, items=options.items, users=options.users, events=options.events, seed=options.seed)
    if options.home:
        shutil.copytree(options.home, home)
    else:
        home.mkdir()
        if options.settings:
            shutil.copyfile(options.settings, home / "settings.json")
    first = refresh(raw, home, folder / "night_000.log", preset=options.preset, select=options.select)
    if first.returncode:
        sys.exit(f"the first run failed: see {folder / 'night_000.log'}")
    full = full_item_stages(raw, home, folder, options.select)
    return {"first": first.as_dict(), "full": full.as_dict(), "disk": disk_use(home), "nights": []}


def full_item_stages(raw: Path, home: Path, folder: Path, select: str | None) -> Night:
    """What a run takes that has the models, and nothing of any item: on a copy of `home`."""
    copy = folder / "full"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy)
    with duckdb.connect(str(copy / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM ledger WHERE stage IN (SELECT unnest(?))", [list(ITEM_STAGES)])
    night = refresh(raw, copy, folder / "full.log", select=select)
    shutil.rmtree(copy)
    if night.returncode:
        sys.exit(f"the full run failed: see {folder / 'full.log'}")
    return night


def _night(raw: Path, home: Path, folder: Path, number: int, options: argparse.Namespace) -> dict[str, Any]:
    draw = np.random.default_rng([options.seed, number])
    day = Day()
    before, log = Known.of(home), state(raw)
    change_catalog(raw, number, draw, day)
    change_log(raw, number, draw, day)
    night = refresh(raw, home, folder / f"night_{number:03d}.log", select=options.select)
    after, new_log = Known.of(home), state(raw)
    told = surprises(night, expected(day, before, after, (log, new_log)))
    if after.refused_events != new_log.refused:
        told.append(f"{after.refused_events} lines of the log refused instead of {new_log.refused}")
    return {
        "night": number,
        "changes": day.as_dict(),
        "item_seconds": night.item_seconds(),
        "refused": after.refused_events,
        "surprises": told,
        "disk": disk_use(home),
        **night.as_dict(),
    }


if __name__ == "__main__":
    main()

"""What a source is: a small class that says where a shop's rows are and which raw column means what.

Belongs here: the declarations a source makes and the registry that finds a source by name. Does not belong here:
opening or checking files (`records.py`, `lines.py` and `validation.py` do, the same way for every source).

To read an export of your own, write one class in one file:

    class MyShop(Source):
        name = "myshop"

        def items(self) -> RowsFile:
            return RowsFile(self.find("products.csv"), {"item_id": "sku", "title": "name", "image_ref": "photo"})

        def events(self) -> RowsFile:
            return RowsFile(
                self.find("clicks.csv.gz"),
                {"user_id": "visitor", "item_id": "sku", "behaviour": "event", "ts": "at"},
            )

and name it: `--source myshop.module:MyShop`, or through an entry point in the group `fashionrec_assets.sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import ClassVar, Final, Literal

from fashionrec_assets.catalog.contract import ContractError

ENTRY_POINT_GROUP: Final = "fashionrec_assets.sources"

BUILT_IN: Final[Mapping[str, str]] = {
    "taobao": "fashionrec_assets.catalog.sources.taobao:Taobao",
    "hm": "fashionrec_assets.catalog.sources.hm:HM",
}

FEEDBACK_FILES: Final = ("feedback.csv", "feedback.csv.gz", "feedback.parquet", "feedback.jsonl", "feedback.jsonl.gz")


@dataclass(frozen=True)
class RawFile:
    """One raw input: `name` is stable, `path` a file, or a folder of photos."""

    name: Literal["items", "events", "users", "feedback", "images"]
    path: Path


@dataclass(frozen=True)
class RowsFile:
    """A file of rows: CSV, JSON lines (either may be gzipped) or Parquet, by its ending.

    `columns`: contract column -> raw column, or several spellings of it of which the first present counts. Raw names
    are compared lower-cased and trimmed. A contract column whose raw column is absent is null, unless it is in
    `required`. `expressions`: contract column -> DuckDB SQL over the other *contract* columns, for what no raw column
    holds. `positional`: raw column names of a CSV without a header; a first line that names a raw column is a header
    even so.
    """

    path: Path
    columns: Mapping[str, str | tuple[str, ...]]
    required: tuple[str, ...] = ()
    expressions: Mapping[str, str] = field(default_factory=dict)
    positional: tuple[str, ...] | None = None

    def spellings(self, column: str) -> tuple[str, ...]:
        """The raw names contract `column` may have in this file; empty if the file cannot hold it."""
        names = self.columns.get(column, ())
        return (names,) if isinstance(names, str) else names

    def locate(self, header: list[str]) -> dict[str, int]:
        """Contract column -> position in `header`. Raises ContractError if a required one is absent."""
        names = [name.strip().lower() for name in header]
        doubled = sorted({name for name in names if name and names.count(name) > 1})
        if doubled:
            raise ContractError(self.path, f"columns named twice: {', '.join(doubled)}", "Rename or drop one of each.")
        found: dict[str, int] = {}
        for column in self.columns:
            for name in self.spellings(column):
                if name in names:
                    found[column] = names.index(name)
                    break
        missing = [" or ".join(self.spellings(column)) for column in self.required if column not in found]
        if missing:
            have = ", ".join(names[:30]) or "none"
            raise ContractError(
                self.path,
                f"required column missing: {', '.join(missing)} (columns found: {have})",
                "Add or rename the column; data/README.md states the columns of each file.",
            )
        return found


class Source(ABC):
    """A shop's export in the folder `raw`. Subclasses say where things are; they read nothing."""

    name: ClassVar[str]
    images_promised: ClassVar[bool] = True
    """False: photo paths are derived, so an absent photo is `none` rather than a broken promise (`missing`)."""
    prices_in_log: ClassVar[bool] = False
    """True: the catalog has no prices, the log's `price` column has what was paid."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw

    @abstractmethod
    def items(self) -> RowsFile:
        """The catalog file: contract columns of `tables.ITEMS` (without image_status and image_digest)."""

    @abstractmethod
    def events(self) -> RowsFile:
        """The behaviour log: user_id, item_id, behaviour, ts, and optionally price (the price paid)."""

    def users(self) -> RowsFile | None:
        """The optional user file: user_id, gender, age, city, avatar_ref."""
        return None

    def feedback(self) -> RowsFile | None:
        """The optional file of what users said about explanations, in columns of this project's own making."""
        path = self.find_optional(*FEEDBACK_FILES)
        if path is None:
            return None
        return RowsFile(
            path,
            {
                "user_id": ("user_id", "user"),
                "item_id": ("item_id", "item"),
                "ts": ("timestamp", "time", "ts"),
                "helpful": "helpful",
                "lead": ("lead", "kind"),
                "tone": "tone",
                "length": "length",
                "text": ("text", "explanation"),
                "edited_text": ("edited_text", "edited"),
            },
            required=("user_id", "item_id", "ts", "helpful"),
        )

    def split_days(self, span_days: int) -> tuple[int, int]:
        """Default (validation, test) days for a log that touches `span_days` UTC days."""
        return (1, 1) if span_days < 14 else (3, 4)

    def files(self) -> list[RawFile]:
        """Every raw input. Raises ContractError if a required file is absent."""
        found = [RawFile("items", self.items().path), RawFile("events", self.events().path)]
        users = self.users()
        if users is not None:
            found.append(RawFile("users", users.path))
        feedback = self.feedback()
        if feedback is not None:
            found.append(RawFile("feedback", feedback.path))
        found += [
            RawFile("images", photos)
            for photos in (self.raw / "images", self.raw / "images.tar")
            if (photos.is_dir() if photos.suffix == "" else photos.is_file()) and _is_within(photos, self.raw)
        ]
        return found

    def find(self, *names: str) -> Path:
        """The first of `names` that exists in `raw`. Raises ContractError if none does."""
        path = self.find_optional(*names)
        if path is None:
            remedy = "Put it there, or point --raw at the folder that has it."
            if not self.raw.is_dir():
                raise ContractError(self.raw, "no such folder", "Point --raw at the folder of the shop's raw files.")
            raise ContractError(self.raw, f"expected a file {' or '.join(names)}", remedy)
        return path

    def find_optional(self, *names: str) -> Path | None:
        """The first of `names` that is a file in `raw`, or None. Raises ContractError if it is a link out of `raw`."""
        return next((inside(self.raw, name) for name in names if (self.raw / name).is_file()), None)


def inside(raw: Path, name: str) -> Path:
    """The path `name` in the folder `raw`, a file or absent.

    Raises ContractError if it leads out of that folder, by ".." or by a link, or is a folder, a pipe or a device.
    """
    if (raw / name).exists() and not (raw / name).is_file():
        raise ContractError(raw / name, "expected a file", "Put the file itself there.")
    if not _is_within(raw / name, raw):
        raise ContractError(
            raw / name, "leads out of the raw folder", "Put the file itself there, or point --raw at its folder."
        )
    return raw / name


def _is_within(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        # A loop of links, or a name that no file can have.
        return False


def source_names() -> list[str]:
    """Names `open_source` knows, without dotted paths."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def open_source(name: str, raw: Path) -> Source:
    """The source called `name` over the folder `raw`; `name` may be `package.module:Class`.

    Raises ValueError if there is no such source, or it is no `Source`.
    """
    target = BUILT_IN.get(name)
    if target is None:
        target = next((point.value for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name), name)
    module, _, attribute = target.partition(":")
    if not attribute:
        raise ValueError(
            f"no source called {name!r}. Known: {', '.join(source_names())}; your own is named package.module:Class"
        )
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"source {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise ValueError(f"source {name!r} is not a subclass of fashionrec_assets.catalog.sources.base.Source")
    return found(raw)

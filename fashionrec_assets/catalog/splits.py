"""The global time split: whole UTC days at the end of the log for testing, the days before them for choosing.

Belongs here: where the cuts lie and what each part holds. Does not belong here: models and metrics.

One cut in time for everyone: leaving out each user's last event, or random rows, lets a model see what others did
later (Meng et al., "Exploring Data Splitting Strategies for the Evaluation of Recommendation Models", RecSys 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import pyarrow as pa

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.catalog.queries import literal, query
from fashionrec_assets.catalog.sources.base import Source
from fashionrec_assets.settings import SplitSettings, StorageSettings
from fashionrec_assets.storage.warehouse import scratch as scratch_connection

DAY: Final = 86_400

Part = Literal["fit", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("fit", "validation", "test")


@dataclass(frozen=True)
class SplitCuts:
    """UTC midnights, in seconds: fit [start, validation_start), validation [.., test_start), test [.., end)."""

    start: int
    validation_start: int
    test_start: int
    end: int

    def window(self, part: Part | Literal["train"]) -> tuple[int, int]:
        """(first second, first second after) of a part; `train` is fit and validation together."""
        return {
            "fit": (self.start, self.validation_start),
            "validation": (self.validation_start, self.test_start),
            "test": (self.test_start, self.end),
            "train": (self.start, self.test_start),
        }[part]

    def describe(self) -> dict[str, str]:
        """The cuts as ISO days, for people."""
        return {part: " to ".join(_day(second) for second in self.window(part)) for part in PARTS}


def make_cuts(first: int, last: int, source: Source, settings: SplitSettings) -> SplitCuts:
    """Cuts for a log whose events lie in [first, last] (UTC seconds).

    The days are `settings`', else the source's own for a log of that span. Raises ContractError if no day would be
    left to fit on.
    """
    start, end = first // DAY * DAY, last // DAY * DAY + DAY
    span = (end - start) // DAY
    validation, test = source.split_days(span)
    validation = settings.validation_days or validation
    test = settings.test_days or test
    if validation + test >= span:
        raise ContractError(
            source.events().path,
            f"the log spans {span} days, {validation} are for validation and {test} for testing, so none is left to "
            "fit a model on",
            "Export more days, or lower splits.validation_days and splits.test_days.",
        )
    test_start = end - test * DAY
    return SplitCuts(start, test_start - validation * DAY, test_start, end)


def cuts_of_log(interactions: Path, source: Source, settings: SplitSettings, storage: StorageSettings) -> SplitCuts:
    """`make_cuts` for the `interactions` Parquet file."""
    with TemporaryDirectory() as spill, scratch_connection(storage, Path(spill)) as connection:
        first, last = connection.execute(query("log_span", interactions=literal(str(interactions)))).fetchall()[0]
    if first is None:
        raise ContractError(interactions, "no events", "Materialize interactions again.")
    return make_cuts(int(first), int(last), source, settings)


def split_summary(
    interactions: Path, users: Path, cuts: SplitCuts, storage: StorageSettings, *, scratch: Path
) -> pa.Table:
    """The rows of `tables.SPLITS` from the Parquet files `interactions` and `users`; bots are left out."""
    bounds = [(number, part, *map(_moment, cuts.window(part))) for number, part in enumerate(PARTS)]
    windows = ", ".join(f"({number}, {literal(part)}, {low}, {high})" for number, part, low, high in bounds)
    part_of_ts = " ".join(f"WHEN ts >= {low} AND ts < {high} THEN {number}" for number, _, low, high in bounds)
    files = {"interactions": literal(str(interactions)), "users": literal(str(users))}
    with scratch_connection(storage, scratch) as connection:
        return connection.sql(query("splits", windows=windows, part_of_ts=part_of_ts, **files)).to_arrow_table()


def _moment(second: int) -> str:
    return f"make_timestamp({second}000000)"


def _day(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).date().isoformat()

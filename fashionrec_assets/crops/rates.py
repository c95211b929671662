"""How often photos of each type are kept whole, now and before, and whether that has jumped.

Belongs here: keeping the rates through incremental and killed runs, and the test. Does not belong here: why one photo
is kept whole (`grounding.py`).

The state a run starts from is the state the last completed run recorded, so a run that was killed and completed by the
next is compared as one. A run with nothing to do records nothing: the last comparison stands until crops change again.
What is compared with the rate before are only the photos a run worked on, for among thousands of old ones a hundred
new photos that all fall back would go unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fashionrec_assets.crops.tables import AT_WORK, RATES
from fashionrec_assets.storage.warehouse import Connection, insert_rows, one_row, upsert_rows

KIND = "coalesce(product_type, category, '(none)')"
"""What photos are counted by, as SQL over `items`."""

EVERY_TYPE = "(all types)"

FEWEST = 10
"""Photos, of the run's own and from before, under which a type says nothing."""
SMALLEST_JUMP = 0.05
"""A rise of the rate by less is no jump, however certain."""
SIGNIFICANCE = 0.01
"""Chance of one false alarm in a run, over all its types."""


@dataclass(frozen=True)
class Rate:
    """Photos of one type and how many of them are kept whole: of those the last run worked on, and of all before it."""

    kind: str
    fresh: int
    fresh_whole: int
    before: int
    before_whole: int

    @property
    def rise(self) -> float:
        """Share kept whole of the fresh photos less that of those before; 0 where either has none."""
        if not self.fresh or not self.before:
            return 0.0
        return self.fresh_whole / self.fresh - self.before_whole / self.before


def begin(connection: Connection, keys: Collection[str]) -> None:
    """Note that a run makes or deletes the crops of `keys`. Call in a transaction before the first of them."""
    if keys:
        upsert_rows(connection, AT_WORK, pa.table({"item_id": pa.array(list(keys), pa.string())}))


def unrecorded(connection: Connection) -> bool:
    """Whether crops were made or deleted that `record` has not seen."""
    return bool(one_row(connection, f"SELECT count(*) FROM {AT_WORK.name}")[0])


def record(connection: Connection) -> None:
    """Make the table of rates that of now; what it said becomes "before".

    Call in a transaction when the crops are complete and something has changed.
    """
    found = connection.execute(
        f"""
        WITH now AS (
            SELECT {KIND} AS kind, count(*) AS photos, count(*) FILTER (method = 'whole_image') AS whole,
                   count(work.item_id) AS fresh, count(work.item_id) FILTER (method = 'whole_image') AS fresh_whole
            FROM crops JOIN items USING (item_id) LEFT JOIN {AT_WORK.name} work ON work.item_id = crops.item_id
            GROUP BY 1
        )
        SELECT kind, coalesce(now.photos, 0) AS photos, coalesce(now.whole, 0) AS whole,
               coalesce(now.fresh, 0) AS fresh, coalesce(now.fresh_whole, 0) AS fresh_whole,
               coalesce(old.photos, 0) AS before, coalesce(old.whole, 0) AS before_whole
        FROM now FULL JOIN {RATES.name} old USING (kind)
        WHERE now.photos IS NOT NULL OR old.photos > 0 ORDER BY 1
        """
    ).fetchall()
    connection.execute(f"DELETE FROM {RATES.name}")
    if found:
        rows = [dict(zip(RATES.column_names, row, strict=True)) for row in found]
        insert_rows(connection, RATES, pa.Table.from_pylist(rows))
    connection.execute(f"DELETE FROM {AT_WORK.name}")


def rates(connection: Connection) -> list[Rate]:
    """The recorded rates by type, and of all types together; empty before the first run is complete."""
    rows = connection.execute(
        f"SELECT kind, fresh, fresh_whole, before, before_whole FROM {RATES.name} ORDER BY 1"
    ).fetchall()
    found = [Rate(*row) for row in rows]
    sums = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    return [Rate(EVERY_TYPE, *sums), *found] if found else []


def jumps(found: Sequence[Rate]) -> list[tuple[Rate, float]]:
    """The types whose fresh photos are kept whole more often than those before, with the chance of that, least first.

    Fisher's exact test, one-sided, by Holm's step-down procedure over the types that have enough photos: it holds for
    small counts, where an interval by the normal distribution would not.
    """
    from scipy.stats import fisher_exact

    tested: list[tuple[float, str, Rate]] = []
    for rate in found:
        if rate.fresh < FEWEST or rate.before < FEWEST:
            continue
        table = [
            [rate.fresh_whole, rate.fresh - rate.fresh_whole],
            [rate.before_whole, rate.before - rate.before_whole],
        ]
        tested.append((float(fisher_exact(table, alternative="greater").pvalue), rate.kind, rate))  # pyright: ignore[reportAttributeAccessIssue]
    jumped: list[tuple[Rate, float]] = []
    for place, (chance, _, rate) in enumerate(sorted(tested, key=lambda one: one[:2])):
        if chance * (len(tested) - place) >= SIGNIFICANCE:
            break
        if rate.rise >= SMALLEST_JUMP:
            jumped.append((rate, chance))
    return jumped

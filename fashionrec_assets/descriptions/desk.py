"""The desk of the language model: what is to be asked, what came of it, all of it in the warehouse.

Belongs here: reading items and conversations, writing outcomes with their ledger rows in one transaction. Does not
belong here: asking (`live.py`, `batch.py`).

Three kinds of rows stand for an item: `descriptions` always has one, whatever happened, because everything downstream
needs a text; `llm_descriptions` says what became of it; the ledger says whether there is more to do. An item that waits
is recorded with the code fingerprint of the fallback: its output is what downstream sees, and the next plan finds it
stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from fashionrec_assets.descriptions.claims import FIELDS, Description, ItemText
from fashionrec_assets.descriptions.conversation import Case, Outcome, Talk
from fashionrec_assets.descriptions.deterministic import DeterministicProvider
from fashionrec_assets.descriptions.evaluator import Rejection
from fashionrec_assets.descriptions.tables import DESCRIPTIONS, LLM_BATCHES, LLM_DESCRIPTIONS
from fashionrec_assets.resources.shop import StageRun
from fashionrec_assets.settings import digest
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.ledger import Plan
from fashionrec_assets.storage.warehouse import Connection, Warehouse, delete_keys, upsert_rows

TEXTS = ("title", *FIELDS)


@dataclass(frozen=True)
class BatchRow:
    """A row of `llm_batches`."""

    fingerprint: str
    batch_id: str | None
    items: int
    most_cost: float | None
    prepared_at: float


class Desk:
    """The items of one run's plan. `jpegs` gives the crops of item ids, as far as there are any."""

    def __init__(
        self, run: StageRun, plan: Plan, relation: str, jpegs: Callable[[Sequence[str]], Mapping[str, bytes]]
    ) -> None:
        self._run = run
        self._plan = plan
        self._relation = relation
        self._jpegs = jpegs
        self._rules = DeterministicProvider(run.shop.settings.descriptions)
        fallback = f"{self._rules.name}-{self._rules.version}"
        self._fallback_plan = replace(plan, code_fp=digest([plan.code_fp, fallback]))
        self._touched: set[str] = set()
        self._finished: set[str] = set()

    def todo(self) -> list[str]:
        """The items that no text was found for yet, in the plan's order."""
        return [key for key in self._plan.todo if key not in self._finished]

    def cases(self, keys: Sequence[str], *, photos: bool) -> list[Case]:
        """The items of `keys`, each where its conversation stands; with their `photos`."""
        items = item_texts(self._run.shop.warehouse, self._relation, keys)
        talks = self._talks(keys)
        crops = self._jpegs(keys) if photos else {}
        baselines = self._rules.describe_batch(items)
        return [
            Case(item, baseline, crops.get(item.item_id), talks.get(item.item_id, Talk()))
            for item, baseline in zip(items, baselines, strict=True)
        ]

    def write(
        self,
        outcomes: Sequence[Outcome],
        *,
        opened: BatchRow | None = None,
        lines: Mapping[str, int] | None = None,
    ) -> None:
        """Write outcomes and what the ledger is to know of them, in one transaction.

        With `opened`, the outcomes wait in that batch, each at its place in `lines`.
        """
        plan = self._plan
        done = {one.item_id: digest(asdict(one.description)) for one in outcomes if one.finished}
        open_ = {one.item_id: digest(asdict(one.description)) for one in outcomes if not one.finished}
        with self._run.commit(plan, done) as connection:
            if opened is not None:
                upsert_rows(connection, LLM_BATCHES, pa.Table.from_pylist([asdict(opened)]))
            self._write_rows(connection, outcomes, opened, lines or {})
            ledger.record(connection, self._fallback_plan, open_)
        self._finished |= done.keys()
        self._touched |= done.keys() | open_.keys()
        self._run.progress(len(self._touched), len(plan.todo))

    def _write_rows(
        self, connection: Connection, outcomes: Sequence[Outcome], opened: BatchRow | None, lines: Mapping[str, int]
    ) -> None:
        if not outcomes:
            return
        rows = description_rows(
            [one.item_id for one in outcomes],
            [one.description for one in outcomes],
            ["openai" if one.reason is None else self._rules.name for one in outcomes],
        )
        upsert_rows(connection, DESCRIPTIONS, rows)
        upsert_rows(
            connection,
            LLM_DESCRIPTIONS,
            pa.table(
                {
                    "item_id": pa.array([one.item_id for one in outcomes], pa.string()),
                    "status": pa.array([_status(one) for one in outcomes], pa.string()),
                    "reason": pa.array([one.reason and one.reason.value for one in outcomes], pa.string()),
                    "approved": pa.array([one.approved for one in outcomes], pa.bool_()),
                    "rounds": pa.array([one.talk.round for one in outcomes], pa.int32()),
                    "calls": pa.array([one.talk.calls for one in outcomes], pa.int32()),
                    "tokens_in": pa.array([one.talk.tokens_in for one in outcomes], pa.int64()),
                    "tokens_out": pa.array([one.talk.tokens_out for one in outcomes], pa.int64()),
                    "fingerprint": pa.array([self.fingerprint(one.item_id) for one in outcomes], pa.string()),
                    "talk": pa.array(
                        [None if one.finished else one.talk.model_dump_json() for one in outcomes], pa.string()
                    ),
                    "batch": pa.array([opened and opened.fingerprint] * len(outcomes), pa.string()),
                    "line": pa.array([lines.get(one.item_id) for one in outcomes], pa.int32()),
                }
            ),
        )

    def fingerprint(self, item_id: str) -> str:
        """What a conversation belongs to: with other input, model or prompts it begins anew."""
        return digest([self._plan.todo[item_id], self._plan.code_fp])

    def _talks(self, keys: Sequence[str]) -> dict[str, Talk]:
        with self._run.shop.warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT item_id, fingerprint, talk FROM llm_descriptions "
                "WHERE talk IS NOT NULL AND item_id IN (SELECT unnest(?))",
                [list(keys)],
            ).fetchall()
        return {
            item_id: Talk.model_validate_json(talk)
            for item_id, fingerprint, talk in rows
            if fingerprint == self.fingerprint(item_id)
        }

    def without_text(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that do not have a fallback for their present input yet."""
        with self._run.shop.warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT item_id, fingerprint FROM llm_descriptions JOIN descriptions USING (item_id) "
                "WHERE status = 'waiting' AND item_id IN (SELECT unnest(?))",
                [list(keys)],
            ).fetchall()
        written = {item_id for item_id, fingerprint in rows if fingerprint == self.fingerprint(item_id)}
        return [key for key in keys if key not in written]

    def batches(self) -> list[BatchRow]:
        """The batches that are not collected yet, oldest first."""
        with self._run.shop.warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT fingerprint, batch_id, items, most_cost, prepared_at FROM llm_batches ORDER BY prepared_at"
            ).fetchall()
        return [BatchRow(*row) for row in rows]

    def lines(self, batch: str) -> dict[str, int]:
        """The items that wait in a batch and are still the same, each with its place there."""
        with self._run.shop.warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT item_id, line, fingerprint FROM llm_descriptions WHERE batch = ? ORDER BY item_id", [batch]
            ).fetchall()
        return {
            item_id: line
            for item_id, line, fingerprint in rows
            if item_id in self._plan.todo and fingerprint == self.fingerprint(item_id)
        }

    def started(self, batch: BatchRow, batch_id: str) -> BatchRow:
        """Note the id that the server gave a batch."""
        known = replace(batch, batch_id=batch_id)
        with self._run.shop.warehouse.writer() as connection:
            upsert_rows(connection, LLM_BATCHES, pa.Table.from_pylist([asdict(known)]))
        return known

    def close_batch(self, batch: BatchRow) -> None:
        """Forget a batch; items that still pointed to it wait outside of any."""
        with self._run.shop.warehouse.writer() as connection:
            connection.execute(
                "UPDATE llm_descriptions SET batch = NULL, line = NULL WHERE batch = ?", [batch.fingerprint]
            )
            delete_keys(connection, LLM_BATCHES, "fingerprint", [batch.fingerprint])


def _status(one: Outcome) -> str:
    if one.reason is None:
        return "written"
    return "rejected" if isinstance(one.reason, Rejection) else "waiting"


def item_texts(warehouse: Warehouse, relation: str, keys: Sequence[str]) -> list[ItemText]:
    """What the descriptions may draw on, from the rows of `relation`, ordered by item id."""
    columns = ("item_id", *TEXTS, "measured_colours")
    with warehouse.reader() as connection:
        rows = connection.execute(
            f"SELECT {', '.join(columns)} FROM ({relation}) WHERE item_id IN (SELECT unnest(?)) ORDER BY item_id",
            [list(keys)],
        ).fetchall()
    return [
        ItemText(
            **dict(zip(columns[:-1], row[:-1], strict=True)),
            measured_colours=tuple((colour["name"], colour["share"]) for colour in row[-1] or ()),
        )
        for row in rows
    ]


def description_rows(keys: Sequence[str], made: Sequence[Description], providers: Sequence[str]) -> pa.Table:
    """Rows of the table `descriptions`."""
    attribute = pa.struct([(name, pa.string()) for name in ("name", "value", "source", "evidence")])
    return pa.table(
        {
            "item_id": pa.array(list(keys), pa.string()),
            "text": pa.array([one.text for one in made], pa.string()),
            "attributes": pa.array([[asdict(part) for part in one.attributes] for one in made], pa.list_(attribute)),
            "flags": pa.array([list(one.flags) for one in made], pa.list_(pa.string())),
            "provider": pa.array(list(providers), pa.string()),
        }
    )

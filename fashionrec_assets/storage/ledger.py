"""The ledger: for every stage and key, what went in, with which code, and what came out.

Belongs here: stage declarations, fingerprints, and the plan of what is new, stale, orphaned or reused (the words are
metaxy's). Does not belong here: doing the work, and the files it leaves.

A row is (stage, key): `input_fp` hashes only the upstream fields the stage reads, `code_fp` what would change its
output (version, settings, model), `output_fp` what came out, which is what the next stage sees. A stage whose output
did not change therefore wakes nothing downstream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from fashionrec_assets.settings import Settings, digest
from fashionrec_assets.storage.tables import Column, Table
from fashionrec_assets.storage.warehouse import Connection, one_row, upsert_rows

WHOLE = "*"
"""The key of a stage that makes one thing, such as a model."""

LEDGER = Table(
    "ledger",
    "What each stage made of each key, and from what",
    (
        Column("stage", "VARCHAR", "name of the stage"),
        Column("key", "VARCHAR", "item or user id; `*` for a stage that makes one thing"),
        Column("input_fp", "VARCHAR", "hash of the upstream fields the stage reads"),
        Column("code_fp", "VARCHAR", "hash of version, settings and models that would change the output"),
        Column("output_fp", "VARCHAR", "hash of the output; for a whole artifact, its version"),
    ),
    ("stage", "key"),
)

_DIGEST = "sha256(coalesce(string_agg(key || ':' || output_fp, '|' ORDER BY key), ''))"
"""SQL: the data version of a group of ledger rows."""

Unit = Literal["item", "user", "subject", "day", "model", "table", "report", "index", "release"]


@dataclass(frozen=True)
class Stage:
    """The one declaration of a stage.

    `rows` is the SQL relation whose rows the stage works on, one per `key`; `reads` are its columns that the stage
    looks at, and `upstream` the stages whose output for the same key it looks at. `settings` are dotted paths whose
    values change the output. Raise `version` when the code changes what comes out.
    """

    name: str
    unit: Unit
    version: str
    rows: str = ""
    key: str = "item_id"
    reads: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def code_fp(self, settings: Settings, **models: str) -> str:
        """Hash of everything but data that determines the output; `models` are ids of models the stage applies."""
        chosen = {path: settings.value(path) for path in self.settings}
        return digest({"stage": self.name, "version": self.version, "settings": chosen, "models": models})

    def inputs_sql(self, rows: str | None = None) -> str:
        """SQL yielding (key, input_fp); `rows` replaces the declared relation."""
        fields = [f"'{name}': base.{name}" for name in self.reads]
        joins = ""
        for number, name in enumerate(self.upstream):
            fields.append(f"'stage:{name}': up{number}.output_fp")
            joins += f" LEFT JOIN ledger up{number} ON up{number}.stage = '{name}' AND up{number}.key = base.{self.key}"
        hashed = "sha256(CAST(to_json({" + ", ".join(fields) + "}) AS VARCHAR))" if fields else "''"
        key = f"CAST(base.{self.key} AS VARCHAR) AS key"
        return f"SELECT {key}, {hashed} AS input_fp FROM ({rows or self.rows}) base{joins}"


@dataclass(frozen=True)
class Counts:
    """What a plan found, in units of the stage."""

    new: int = 0
    stale: int = 0
    orphaned: int = 0
    reused: int = 0

    @property
    def work(self) -> int:
        return self.new + self.stale

    def as_dict(self) -> dict[str, int]:
        return {"new": self.new, "stale": self.stale, "orphaned": self.orphaned, "reused": self.reused}


@dataclass(frozen=True)
class Plan:
    """Which keys to compute (`todo`: key to input_fp, sorted) and which to delete (`orphaned`, sorted)."""

    stage: Stage
    code_fp: str
    todo: Mapping[str, str]
    orphaned: tuple[str, ...]
    counts: Counts
    previous: Mapping[str, str] = field(default_factory=dict)
    """For a stale key, the `output_fp` it had."""

    def entries(self, outputs: Mapping[str, str]) -> pa.Table:
        """Ledger rows for the keys in `outputs` (key to output_fp)."""
        keys = list(outputs)
        return pa.table(
            {
                "stage": pa.array([self.stage.name] * len(keys), pa.string()),
                "key": pa.array(keys, pa.string()),
                "input_fp": pa.array([self.todo[key] for key in keys], pa.string()),
                "code_fp": pa.array([self.code_fp] * len(keys), pa.string()),
                "output_fp": pa.array(list(outputs.values()), pa.string()),
            }
        )


def plan_rows(
    connection: Connection,
    stage: Stage,
    code_fp: str,
    *,
    rows: str | None = None,
    present: Iterable[str] | None = None,
    force: bool = False,
) -> Plan:
    """Compare the stage's inputs with the ledger.

    `present` are the keys whose output is really there; a ledger row without its output counts as stale, so a file
    that was lost is made again, and an output that nobody wants or knows of (a run was killed before its entry) is
    orphaned. `force` makes every key stale.
    """
    # Rows that are to be left alone, nearly all of a large shop on most nights, do not leave the database.
    connection.register("present_keys", pa.table({"key": pa.array([] if present is None else present, pa.string())}))
    try:
        found = connection.execute(
            f"""
            WITH inputs AS ({stage.inputs_sql(rows)}), known AS (SELECT * FROM ledger WHERE stage = $stage)
            SELECT coalesce(inputs.key, known.key, there.key) AS key, inputs.input_fp, known.input_fp, known.output_fp
            FROM inputs FULL JOIN known ON inputs.key = known.key
                FULL JOIN present_keys there ON there.key = coalesce(inputs.key, known.key)
            WHERE $force OR inputs.input_fp IS DISTINCT FROM known.input_fp OR known.code_fp <> $code
                OR ($judged AND there.key IS NULL) OR coalesce(inputs.key, known.key) IS NULL
            ORDER BY 1
            """,
            {"stage": stage.name, "force": force, "code": code_fp, "judged": present is not None},
        ).fetchall()
    finally:
        connection.unregister("present_keys")
    total = one_row(connection, "SELECT count(*) FROM ledger WHERE stage = ?", [stage.name])[0]
    todo: dict[str, str] = {}
    previous: dict[str, str] = {}
    orphaned: list[str] = []
    stray = 0
    for key, wanted, had, output in found:
        if wanted is None:
            orphaned.append(key)
            stray += had is None
            continue
        todo[key] = wanted
        if had is not None:
            previous[key] = output
    stale = len(previous)
    counts = Counts(len(todo) - stale, stale, len(orphaned), total - stale - len(orphaned) + stray)
    return Plan(stage, code_fp, todo, tuple(orphaned), counts, previous)


def plan_whole(
    connection: Connection,
    stage: Stage,
    code_fp: str,
    inputs: Any,
    *,
    exists: bool = True,
    force: bool = False,
) -> Plan:
    """The plan of a stage that makes one thing from `inputs` (a JSON value, such as digests of upstream stages)."""
    wanted = digest(inputs)
    row = _entry(connection, stage.name, WHOLE)
    if row is None:
        return Plan(stage, code_fp, {WHOLE: wanted}, (), Counts(new=1))
    if force or not exists or row[0] != wanted or row[1] != code_fp:
        return Plan(stage, code_fp, {WHOLE: wanted}, (), Counts(stale=1), {WHOLE: row[2]})
    return Plan(stage, code_fp, {}, (), Counts(reused=1))


def begin(connection: Connection, plan: Plan) -> None:
    """Call before the files of a plan's stale keys change: until `record`, the ledger vouches for none of them.

    Else a run that is killed between a file and its entry, and inputs that go back to what they were, would leave an
    entry for another content.
    """
    if plan.previous:
        connection.execute(
            "UPDATE ledger SET input_fp = '' WHERE stage = ? AND key IN (SELECT unnest(?))",
            [plan.stage.name, list(plan.previous)],
        )


def record(connection: Connection, plan: Plan, outputs: Mapping[str, str]) -> None:
    """Write what came out. Call in the transaction that writes the tables."""
    if outputs:
        upsert_rows(connection, LEDGER, plan.entries(outputs))


def forget(connection: Connection, stage: Stage, keys: Sequence[str]) -> None:
    """Delete ledger rows, with the outputs they stood for, in one transaction."""
    if keys:
        connection.execute("DELETE FROM ledger WHERE stage = ? AND key IN (SELECT unnest(?))", [stage.name, list(keys)])


def output_of(connection: Connection, stage: str, key: str = WHOLE) -> str | None:
    """The `output_fp` of one key, or None."""
    row = _entry(connection, stage, key)
    return None if row is None else row[2]


def whole_outputs(connection: Connection) -> list[tuple[str, str]]:
    """(stage, `output_of`) of every stage that makes one thing."""
    return connection.execute("SELECT stage, output_fp FROM ledger WHERE key = ?", [WHOLE]).fetchall()


def small_digests(connection: Connection, at_most: int = 1_000) -> list[tuple[str, str]]:
    """(stage, `stage_digest`) of the stages with few enough keys that reading all of them costs nothing."""
    return connection.execute(
        f"SELECT stage, {_DIGEST} FROM ledger "
        "WHERE stage IN (SELECT stage FROM ledger GROUP BY stage HAVING count(*) <= ?) GROUP BY stage",
        [at_most],
    ).fetchall()


def _entry(connection: Connection, stage: str, key: str) -> tuple[str, str, str] | None:
    """(input_fp, code_fp, output_fp) of one key."""
    rows = connection.execute(
        "SELECT input_fp, code_fp, output_fp FROM ledger WHERE stage = ? AND key = ?", [stage, key]
    ).fetchall()
    return rows[0] if rows else None


def stage_digest(connection: Connection, stage: str) -> str:
    """An ordered digest of all outputs of a stage: its data version."""
    return one_row(connection, f"SELECT {_DIGEST} FROM ledger WHERE stage = ?", [stage])[0]


@dataclass(frozen=True)
class ModelPlan:
    """Whether a model is to be trained, and on which rows.

    `rows` (key to fingerprint) are the training rows as they are now; `gone` are keys the current model was trained on
    that no longer exist, `share` the share of training rows that changed since.
    """

    plan: Plan
    rows: Mapping[str, str]
    gone: tuple[str, ...]
    share: float


def training_stage(stage: Stage) -> Stage:
    """The stage under which a model's training rows are recorded."""
    return Stage(f"{stage.name}.rows", "table", stage.version)


def plan_model(
    connection: Connection,
    stage: Stage,
    code_fp: str,
    rows: Mapping[str, str],
    *,
    tolerance: float,
    exists: bool,
    force: bool = False,
) -> ModelPlan:
    """The plan of a model trained on `rows`.

    A model is not retrained for every changed row: only when code or settings changed, its files are gone, or more
    than the share `tolerance` of its training rows changed. Until then a changed row is served by the model as it is.
    """
    trained = dict(
        connection.execute("SELECT key, output_fp FROM ledger WHERE stage = ?", [training_stage(stage).name]).fetchall()
    )
    known = _entry(connection, stage.name, WHOLE)
    keys = trained.keys() | rows.keys()
    changed = sum(trained.get(key) != rows.get(key) for key in keys)
    share = changed / len(keys) if keys else 0.0
    gone = tuple(sorted(trained.keys() - rows.keys()))
    wanted = digest(dict(rows))
    if known is None:
        plan = Plan(stage, code_fp, {WHOLE: wanted}, (), Counts(new=1))
    elif force or not exists or known[1] != code_fp or share > tolerance:
        plan = Plan(stage, code_fp, {WHOLE: wanted}, (), Counts(stale=1), {WHOLE: known[2]})
    else:
        plan = Plan(stage, code_fp, {}, (), Counts(reused=1))
    return ModelPlan(plan, rows, gone, share)


def record_model(connection: Connection, planned: ModelPlan, version: str) -> None:
    """Write a freshly trained model's version and training rows. Call in one transaction."""
    record(connection, planned.plan, {WHOLE: version})
    rows = training_stage(planned.plan.stage)
    connection.execute("DELETE FROM ledger WHERE stage = ?", [rows.name])
    inner = Plan(rows, planned.plan.code_fp, dict(planned.rows), (), Counts())
    record(connection, inner, dict(planned.rows))


def forget_training_rows(connection: Connection, planned: ModelPlan, version: str) -> None:
    """After `planned.gone` were removed from the model: its new version, and those rows out of the ledger."""
    stage = planned.plan.stage
    connection.execute("UPDATE ledger SET output_fp = ? WHERE stage = ? AND key = ?", [version, stage.name, WHOLE])
    forget(connection, training_stage(stage), planned.gone)


def batches(keys: Sequence[str], size: int) -> Iterator[list[str]]:
    """`keys` in runs of at most `size`."""
    for start in range(0, len(keys), size):
        yield list(keys[start : start + size])

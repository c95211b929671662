"""Assets of the catalog room: raw files in, validated tables, the time split and sessions out.

Belongs here: the raw sources, reading the ledger's plan, calling the room, writing, and what the UI shows. Does not
belong here: parsing, rules of the contract, SQL over raw files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from filelock import FileLock

from fashionrec_assets.catalog.digests import file_digest, path_digest
from fashionrec_assets.catalog.erasure import Erasures
from fashionrec_assets.catalog.photos import read_findings, write_findings
from fashionrec_assets.catalog.queries import literal
from fashionrec_assets.catalog.reading import interactions_file, items_file, users_file
from fashionrec_assets.catalog.sessions import write_sessions
from fashionrec_assets.catalog.sources.base import open_source
from fashionrec_assets.catalog.splits import cuts_of_log, split_summary
from fashionrec_assets.catalog.tables import FEEDBACK, INTERACTIONS, ITEMS, REJECTS, SESSIONS, SPLITS, USERS
from fashionrec_assets.catalog.validation import Reading, read_feedback, read_interactions, read_items, read_users
from fashionrec_assets.resources.glue import ShopParam, asset_spec, materialized, table_of
from fashionrec_assets.resources.shop import WHOLE, Shop
from fashionrec_assets.storage import ledger
from fashionrec_assets.storage.files import write_text
from fashionrec_assets.storage.ledger import Stage
from fashionrec_assets.storage.tables import Table, rows_digest
from fashionrec_assets.storage.warehouse import (
    Connection,
    delete_keys,
    one_row,
    replace_rows,
    scratch,
    upsert_selected,
)

ITEMS_STAGE = Stage("items", "item", version="1", reads=ITEMS.column_names[1:])
USERS_STAGE = Stage("users", "user", version="1", key="user_id", reads=USERS.column_names[1:])
FEEDBACK_STAGE = Stage("feedback", "table", version="1", settings=("source", "catalog"))
DAYS_STAGE = Stage("interactions", "day", version="1", key="day", reads=("content",))
LOG_STAGE = Stage("interactions_file", "table", version="1", settings=("source", "catalog"))
SPLITS_STAGE = Stage("splits", "table", version="1", settings=("splits", "source", "catalog.bot_events_per_day"))
SESSIONS_STAGE = Stage("sessions", "table", version="1", settings=("catalog.session_gap_minutes",))

REJECTS_SHOWN = 25


def _observable(kind: str, description: str) -> Any:
    @dg.observable_source_asset(name=f"raw_{kind}", group_name="raw", description=description)
    def observe(shop: ShopParam) -> dg.ObserveResult:
        files = [file for file in open_source(shop.settings.source, shop.settings.raw).files() if file.name == kind]
        # A file of their own: the other files' digests are asked for more often, and photos may be many.
        with _known_digests(shop, "photos" if kind == "images" else "digests") as known:
            digests = {str(file.path.name): path_digest(file.path, known) for file in files}
        version = "none" if not digests else "-".join(digest[:16] for digest in digests.values())
        return dg.ObserveResult(
            data_version=dg.DataVersion(version),
            metadata={"files": ", ".join(digests) or "none", "source": shop.settings.source},
        )

    return observe


raw_items = _observable("items", "The catalog export. Its data version is the file's digest.")
raw_events = _observable("events", "The behaviour log. Its data version is the file's digest.")
raw_users = _observable("users", "The optional user file. Its data version is the file's digest.")
raw_feedback = _observable("feedback", "What users said about explanations, optional. Its data version is its digest.")
raw_images = _observable("images", "The product photos. Their data version is the digest of all of them.")


@dg.asset(
    **asset_spec(
        ITEMS_STAGE,
        group="catalog",
        deps=[raw_items, raw_images],
        kinds={"duckdb"},
        tables=[ITEMS, REJECTS],
    )
)
def items(shop: ShopParam) -> dg.MaterializeResult:
    """The validated catalog: one row per item, photos looked at, everything refused kept with its reason."""
    with shop.stage(ITEMS_STAGE) as run, _draft(shop) as draft:
        settings = shop.settings
        known = shop.home / "cache" / "photos.parquet"
        before = read_findings(known, settings.catalog)
        reading = read_items(
            open_source(settings.source, settings.raw),
            draft,
            catalog=settings.catalog,
            storage=settings.storage,
            scratch=shop.spill,
            known_photos=before,
            erasures=Erasures.read(shop.home),
            progress=run.progress,
        )
        if reading.findings != before or not known.exists():
            write_findings(known, reading.findings, settings.catalog)
        keep = _keep_file(shop, "items_file", reading)
        plan = run.plan(rows=f"SELECT * FROM read_parquet({literal(str(reading.table))})")
        with run.commit(plan, dict(plan.todo), orphans=True) as connection:
            _upsert(connection, ITEMS, reading, list(plan.todo))
            delete_keys(connection, ITEMS, "item_id", plan.orphaned)
            _replace_rejects(connection, reading)
            keep(connection)
        shop.artifacts.prune("items_file", [shop.version("items_file")])
        return materialized(
            run, **_accounts(shop, reading, ITEMS.name), photos=table_of(_counts(reading.photos, "items"))
        )


@dg.asset(
    **asset_spec(
        DAYS_STAGE,
        group="catalog",
        deps=[raw_events, items],
        kinds={"duckdb", "parquet"},
        tables=[INTERACTIONS, REJECTS],
    )
)
def interactions(shop: ShopParam) -> dg.MaterializeResult:
    """The validated behaviour log, sorted by user and time; read again only if the file or the items changed."""
    with shop.stage(DAYS_STAGE) as run:
        settings = shop.settings
        source = open_source(settings.source, settings.raw)
        with _known_digests(shop) as known:
            inputs = {"file": file_digest(source.events().path, known), "items": _item_ids_digest(shop)}
        erasures = Erasures.read(shop.home)
        if erasures:
            inputs["erasures"] = str(erasures.digest)
        whole = run.plan_whole_of(LOG_STAGE, inputs, exists=shop.version_or_none("interactions_file") is not None)
        shown: dict[str, Any] = {}
        if whole.todo:
            with _draft(shop) as draft:
                reading = read_interactions(
                    source,
                    items_file(shop),
                    draft,
                    catalog=settings.catalog,
                    storage=settings.storage,
                    scratch=shop.spill,
                    now=_now(shop),
                    erasures=erasures,
                )
                version = _keep_folder(shop, "interactions_file", reading.table, _content_of_log(shop, reading.table))
                with shop.warehouse.writer() as connection:
                    ledger.record(connection, whole, {WHOLE: version})
                    _replace_rejects(connection, reading)
                shop.artifacts.prune("interactions_file", [version])
                shown = _accounts(shop, reading, None)
        plan = run.plan(rows=_days(interactions_file(shop)))
        with run.commit(plan, dict(plan.todo), orphans=True):
            pass
        return materialized(run, **{**shown, **_log_shown(shop)})


@dg.asset(
    **asset_spec(
        USERS_STAGE,
        group="catalog",
        deps=[raw_users, raw_images, interactions],
        kinds={"duckdb"},
        tables=[USERS, REJECTS],
    )
)
def users(shop: ShopParam) -> dg.MaterializeResult:
    """Everyone in the log or the user file, with what the log says of them; bots are flagged, not deleted."""
    with shop.stage(USERS_STAGE) as run, _draft(shop) as draft:
        settings = shop.settings
        known = shop.home / "cache" / "avatars.parquet"
        reading = read_users(
            open_source(settings.source, settings.raw),
            interactions_file(shop),
            draft,
            catalog=settings.catalog,
            storage=settings.storage,
            scratch=shop.spill,
            known_photos=read_findings(known, settings.catalog),
            erasures=Erasures.read(shop.home),
            progress=run.progress,
        )
        if reading.findings or known.exists():
            write_findings(known, reading.findings, settings.catalog)
        keep = _keep_file(shop, "users_file", reading)
        plan = run.plan(rows=f"SELECT * FROM read_parquet({literal(str(reading.table))})")
        with run.commit(plan, dict(plan.todo), orphans=True) as connection:
            if plan.counts.reused:
                _upsert(connection, USERS, reading, list(plan.todo))
                delete_keys(connection, USERS, "user_id", plan.orphaned)
            else:
                # A table with the columns of an earlier version has only stale rows, and is made anew.
                replace_rows(connection, USERS, pq.read_table(reading.table))
            _replace_rejects(connection, reading)
            keep(connection)
            bots = one_row(connection, "SELECT count(*) FROM users WHERE is_bot")
        shop.artifacts.prune("users_file", [shop.version("users_file")])
        avatars = table_of(_counts(reading.photos, "users")) if reading.findings else None
        return materialized(run, **_accounts(shop, reading, USERS.name), bots=bots[0], avatars=avatars)


@dg.asset(
    **asset_spec(
        FEEDBACK_STAGE,
        group="catalog",
        deps=[raw_feedback, items, users],
        kinds={"duckdb"},
        tables=[FEEDBACK, REJECTS],
    )
)
def feedback(shop: ShopParam) -> dg.MaterializeResult:
    """What users said about explanations, validated; an empty table where the shop has no such file."""
    with shop.stage(FEEDBACK_STAGE) as run, _draft(shop) as draft:
        settings = shop.settings
        source = open_source(settings.source, settings.raw)
        rows = source.feedback()
        with _known_digests(shop) as known:
            inputs = {
                "file": None if rows is None else file_digest(rows.path, known),
                "items": shop.version("items_file"),
                "users": shop.version("users_file"),
            }
        erasures = Erasures.read(shop.home)
        if erasures:
            inputs["erasures"] = erasures.digest
        plan = run.plan_whole(inputs)
        shown: dict[str, Any] = {}
        if plan.todo:
            reading = read_feedback(
                source,
                items_file(shop),
                users_file(shop),
                draft,
                catalog=settings.catalog,
                storage=settings.storage,
                scratch=shop.spill,
                now=_now(shop),
                erasures=erasures,
            )
            answers = None if reading is None else pq.read_table(reading.table)
            version = "none" if reading is None else file_digest(reading.table)[:16]
            with run.commit(plan, {WHOLE: version}) as connection:
                connection.execute("DELETE FROM rejects WHERE table_name = 'feedback'")
                connection.execute("DELETE FROM feedback")
                if reading is not None and answers is not None:
                    replace_rows(connection, FEEDBACK, answers)
                    _replace_rejects(connection, reading)
            shown = {} if reading is None else _accounts(shop, reading, None)
        with shop.warehouse.reader() as connection:
            answered, helpful = one_row(connection, "SELECT count(*), avg(helpful::INT) FROM feedback")
        return materialized(run, **{**shown, "rows": answered, "helpful_share": helpful})


@dg.asset(**asset_spec(SPLITS_STAGE, group="catalog", deps=[interactions, users], kinds={"duckdb"}, tables=[SPLITS]))
def splits(shop: ShopParam) -> dg.MaterializeResult:
    """The global time split: fit, validation, test, cut at UTC midnights, with what each part holds."""
    with shop.stage(SPLITS_STAGE) as run:
        inputs = {name: shop.version(name) for name in ("interactions_file", "users_file")}
        plan = run.plan_whole(inputs)
        if plan.todo:
            settings = shop.settings
            source = open_source(settings.source, settings.raw)
            cuts = cuts_of_log(interactions_file(shop), source, settings.splits, settings.storage)
            rows = split_summary(interactions_file(shop), users_file(shop), cuts, settings.storage, scratch=shop.spill)
            with run.commit(plan, {WHOLE: plan.todo[WHOLE]}) as connection:
                replace_rows(connection, SPLITS, rows)
        with shop.warehouse.reader() as connection:
            parts = connection.execute("SELECT * FROM splits ORDER BY starts_at").fetch_df()
        return materialized(run, rows=len(parts), parts=table_of(parts.to_dict("records")))


@dg.asset(
    # Sessions are made of the log alone; their check also looks into the users.
    **asset_spec(
        SESSIONS_STAGE, group="catalog", deps=[interactions, users], kinds={"duckdb", "parquet"}, tables=[SESSIONS]
    )
)
def sessions(shop: ShopParam) -> dg.MaterializeResult:
    """Visits: each user's events without a pause longer than the session gap."""
    with shop.stage(SESSIONS_STAGE) as run:
        exists = shop.version_or_none("sessions") is not None
        plan = run.plan_whole({"interactions": shop.version("interactions_file")}, exists=exists)
        if plan.todo:
            settings = shop.settings
            with _draft(shop) as draft:
                made = write_sessions(
                    interactions_file(shop),
                    draft,
                    gap_minutes=settings.catalog.session_gap_minutes,
                    storage=settings.storage,
                    scratch=shop.spill,
                )
                version = _keep_folder(shop, "sessions", made)
            with run.commit(plan, {WHOLE: version}):
                pass
            shop.artifacts.prune("sessions", [version])
        with shop.warehouse.reader() as connection:
            row = one_row(
                connection,
                "SELECT count(*), avg(events), avg((buys > 0)::INT) FROM read_parquet(?)",
                [str(shop.current("sessions") / "sessions.parquet")],
            )
        count, length, buying = row
        return materialized(
            run, rows=count, mean_events=round(length or 0.0, 2), share_with_a_purchase=round(buying or 0.0, 4)
        )


@contextmanager
def _draft(shop: Shop) -> Generator[Path]:
    shop.spill.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=shop.spill, prefix="draft-") as folder:
        yield Path(folder)


@contextmanager
def _known_digests(shop: Shop, notes: str = "digests") -> Generator[dict[str, tuple[int, int, str]]]:
    """Digests of raw files by size and modification time, so that an unchanged file is not read again."""
    path = shop.home / "cache" / f"{notes}.json"
    before = _noted_digests(path)
    known = dict(before)
    yield known
    changed = {name: entry for name, entry in known.items() if before.get(name) != entry}
    if changed:
        # Several processes may look at raw files at once, each at its own.
        with FileLock(f"{path}.lock"):
            write_text(path, json.dumps(_noted_digests(path) | changed, sort_keys=True))


def _noted_digests(path: Path) -> dict[str, tuple[int, int, str]]:
    noted = path.read_text("utf-8", errors="replace") if path.exists() else "{}"
    # It only saves reading: a damaged file is as good as none.
    with suppress(ValueError, TypeError, AttributeError):
        return {
            # Earlier versions noted paths as they are.
            name: (int(size), int(mtime), str(said))
            for name, (size, mtime, said) in json.loads(noted).items()
            if os.sep not in name
        }
    return {}


def _now(shop: Shop) -> datetime:
    """The clock, or the last event that was accepted: a clock that goes back must not make known events future ones."""
    now = datetime.now(UTC)
    if shop.version_or_none("interactions_file") is None:
        return now
    with shop.warehouse.reader() as connection:
        last = one_row(connection, "SELECT epoch(max(ts)) FROM read_parquet(?)", [str(interactions_file(shop))])[0]
    return now if last is None else max(now, datetime.fromtimestamp(last, UTC))


def _keep_folder(shop: Shop, name: str, file: Path, content: str | None = None) -> str:
    """Keep `file` as the artifact `name`; its version is the digest of its `content`, else of its bytes."""
    version = (content or file_digest(file))[:16]
    if not shop.artifacts.exists(name, version):
        with shop.artifacts.write(name, version) as folder:
            shutil.copyfile(file, folder / file.name)
    return version


def _keep_file(shop: Shop, name: str, reading: Reading) -> Callable[[Connection], None]:
    """Keep a reading's table as the artifact `name`; the function returned makes it current in a transaction."""
    version = _keep_folder(shop, name, reading.table)
    stage = Stage(name, "table", version="1")
    with shop.warehouse.reader() as connection:
        plan = ledger.plan_whole(connection, stage, stage.code_fp(shop.settings), version, force=True)
    return lambda connection: ledger.record(connection, plan, {WHOLE: version})


def _upsert(connection: Connection, table: Table, reading: Reading, keys: Sequence[str]) -> None:
    """Insert or update the rows of `keys` from what was read."""
    select = f"SELECT * FROM read_parquet(?) WHERE {table.key[0]} IN (SELECT unnest(?))"
    upsert_selected(connection, table, select, [str(reading.table), list(keys)])


def _replace_rejects(connection: Connection, reading: Reading) -> None:
    """The rejects of one raw file, in place of those of the last time it was read."""
    name = _meant_for(reading)
    connection.execute("DELETE FROM rejects WHERE table_name = ?", [name])
    connection.execute(
        "INSERT INTO rejects BY NAME SELECT ? AS table_name, * FROM read_parquet(?)", [name, str(reading.rejects)]
    )


def _meant_for(reading: Reading) -> str:
    return reading.rejects.stem.removeprefix("rejects_")


def _item_ids_digest(shop: Shop) -> str:
    with shop.warehouse.reader() as connection:
        row = one_row(connection, "SELECT sha256(string_agg(item_id, chr(10) ORDER BY item_id)) FROM items")
    return str(row[0])


def _content_of_log(shop: Shop, path: Path) -> str:
    """The digest of a log's events: refused lines leave their mark on the bytes of the file, but change no event."""
    with scratch(shop.settings.storage, shop.spill) as connection:
        days = f"SELECT string_agg(day || ':' || content, '|' ORDER BY day) FROM ({_days(path)})"
        return hashlib.sha256(str(one_row(connection, days)[0]).encode()).hexdigest()


def _days(path: Path) -> str:
    return f"""
        SELECT strftime(ts, '%Y-%m-%d') AS day,
               {rows_digest("user_id", "item_id", "behaviour", "epoch_us(ts)")} AS content
        FROM read_parquet({literal(str(path))}) GROUP BY 1
    """


def _counts(counts: Mapping[str, int], unit: str) -> list[dict[str, Any]]:
    return [{"status": name, unit: count} for name, count in counts.items()]


def _accounts(shop: Shop, reading: Reading, table: str | None) -> dict[str, Any]:
    """Rows in, accepted and rejected, reasons, and the first rejects, for the UI.

    What users' rows say stays in the table `rejects`: metadata is kept for ever, and must not name a user.
    """
    value = "value, " if _meant_for(reading) == ITEMS.name else ""
    with shop.warehouse.reader() as connection:
        total = one_row(connection, f"SELECT count(*) FROM {table}") if table else None
        first = connection.execute(
            f"SELECT source_file, line, column_name, reason, {value}row_kept FROM rejects WHERE table_name = ? "
            "ORDER BY line NULLS LAST LIMIT ?",
            [_meant_for(reading), REJECTS_SHOWN],
        ).fetch_df()
    kept = reading.conservation
    return {
        "rows": total[0] if total else None,
        "rows_in_file": kept.rows if kept else None,
        "rows_accepted": kept.accepted if kept else None,
        "rows_rejected": kept.rejected if kept else None,
        "rows_of_erased_users": kept.erased if kept and kept.erased else None,
        "reject_reasons": table_of([{"reason": name, "rows": count} for name, count in reading.reasons.items()]),
        "first_rejects": table_of(first.astype(object).where(first.notna(), None).to_dict("records")),
    }


def _log_shown(shop: Shop) -> dict[str, Any]:
    path = [str(interactions_file(shop))]
    with shop.warehouse.reader() as connection:
        row = one_row(
            connection,
            "SELECT count(*), count(DISTINCT user_id), count(DISTINCT item_id), min(ts), max(ts) FROM read_parquet(?)",
            path,
        )
        funnel = connection.execute(
            "SELECT behaviour, count(*) AS events FROM read_parquet(?) GROUP BY 1 ORDER BY 2 DESC", path
        ).fetch_df()
    events, users_seen, items_seen, first, last = row
    return {
        "rows": events,
        "distinct_users": users_seen,
        "distinct_items": items_seen,
        "first_event": str(first),
        "last_event": str(last),
        "funnel": table_of(funnel.to_dict("records")),
    }

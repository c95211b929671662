"""Behaviour logs of any size, made by DuckDB: what the benchmarks of ingestion read.

Belongs here: a raw log in Taobao's columns and the items it is about, drawn at random with a few users and items that
most events are of. Does not belong here: anything measured, and shops with photos and texts
(`fashionrec_assets.sample`).
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from fashionrec_assets.storage.tables import literal

DAYS = 30
EVENTS_A_USER = 100
START = 1_511_539_200
"""2017-11-24 16:00:00 UTC."""

_EVENTS = """
    SELECT
        user_number * 37 % 100000007 + 1 AS user_id,
        item_number * 7919 % 99999989 + 1000003 AS item_id,
        4000000 + item_number % 500 AS category,
        CASE WHEN kind < 0.89 THEN 'pv' WHEN kind < 0.945 THEN 'cart' WHEN kind < 0.975 THEN 'fav' ELSE 'buy' END
            AS behaviour,
        -- A visit a day, at the user's own time of it, of up to half an hour.
        {start} + day * 86400 + user_number * 101 % 80000 + offset_s AS ts,
        flaw
    FROM (
        SELECT
            floor({users} * pow(random(), 1.5))::BIGINT AS user_number,
            floor({items} * pow(random(), 2.5))::BIGINT AS item_number,
            random() AS kind,
            floor({days} * random())::BIGINT AS day,
            floor(1800 * random())::BIGINT AS offset_s,
            random() AS flaw
        FROM range({events})
    )
"""

_FLAWED = """
    CASE
        WHEN flaw > {flawed} THEN concat_ws(',', user_id, item_id, category, behaviour, ts)
        WHEN flaw < 0.2 * {flawed} THEN concat_ws(',', user_id, item_id, category, 'stare', ts)
        WHEN flaw < 0.4 * {flawed} THEN concat_ws(',', user_id, item_id, category)
        WHEN flaw < 0.6 * {flawed} THEN concat_ws(',', user_id, 'x' || item_id, category, behaviour, ts)
        WHEN flaw < 0.8 * {flawed} THEN concat_ws(',', user_id, item_id, category, behaviour, 'soon')
        ELSE concat_ws(',', '"' || user_id, item_id, category, behaviour, ts)
    END
"""


def write_log(raw: Path, events: int, *, flawed: float = 0.0, seed: float = 0.5) -> Path:
    """Writes `<raw>/UserBehavior.csv` with `events` lines, and `<raw>/items.parquet` with the items they are of.

    A hundred events a user and an item on average; a share `flawed` of the lines is to be refused, in five ways. Equal
    events are as many as chance makes. In bounded memory; not the same twice with more than one thread.
    """
    raw.mkdir(parents=True, exist_ok=True)
    number = max(events // EVENTS_A_USER, 1)
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute("SET memory_limit = '1GB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SELECT setseed(?)", [seed])
        items = f"SELECT (range * 7919 % 99999989 + 1000003)::VARCHAR AS item_id FROM range({number}) ORDER BY 1"
        connection.execute(f"COPY ({items}) TO {literal(str(raw / 'items.parquet'))} (FORMAT parquet)")
        drawn = _EVENTS.format(start=START, users=number, items=number, days=DAYS, events=events)
        connection.execute(
            # One column, and a delimiter no line has: a line is written as it is.
            f"COPY (SELECT {_FLAWED.format(flawed=flawed)} FROM ({drawn})) "
            f"TO {literal(str(raw / 'UserBehavior.csv'))} (FORMAT csv, HEADER false, DELIMITER '\x1f', QUOTE '')"
        )
    return raw / "UserBehavior.csv"

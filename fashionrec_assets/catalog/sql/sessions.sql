-- The file is sorted by user and time, and windows without an order of their own follow the file: events are not sorted
-- again. Events of one instant have no pause between them, so they belong together. Events are grouped by item first:
-- to count the distinct items of each visit any other way keeps a set for each.
WITH marked AS (
    SELECT
        *,
        user_id IS DISTINCT FROM lag(user_id) OVER () AS first,
        ts - lag(ts) OVER () > to_minutes({gap}) AS later
    FROM read_parquet({interactions})
    WHERE user_id >= $first AND {until}
),
numbered AS (
    SELECT *, count(*) FILTER (WHERE first OR later) OVER (ROWS UNBOUNDED PRECEDING) AS visit
    FROM marked
),
seen AS (
    SELECT
        visit,
        any_value(user_id) AS user_id,
        min(ts) AS started_at,
        max(ts) AS ended_at,
        count(*) AS events,
        count(*) FILTER (WHERE behaviour = 'buy') AS buys,
        bool_or(first) AS first
    FROM numbered
    GROUP BY visit, item_id
),
visits AS (
    SELECT
        visit,
        any_value(user_id) AS user_id,
        min(started_at) AS started_at,
        max(ended_at) AS ended_at,
        sum(events)::BIGINT AS events,
        count(*) AS items,
        sum(buys)::BIGINT AS buys,
        bool_or(first) AS first
    FROM seen
    GROUP BY visit
    ORDER BY visit
)
SELECT
    user_id,
    visit - max(visit) FILTER (WHERE first) OVER (ROWS UNBOUNDED PRECEDING) AS session_id,
    started_at,
    ended_at,
    events,
    items,
    buys
FROM visits

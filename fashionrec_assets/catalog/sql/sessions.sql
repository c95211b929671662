WITH marked AS (
    SELECT
        *,
        ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts) > to_minutes({gap}) AS later
    FROM read_parquet({interactions})
),
numbered AS (
    SELECT
        *,
        -- Ties in time belong together: RANGE counts all events of an instant alike.
        (count(*) FILTER (WHERE later) OVER (
            PARTITION BY user_id ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ))::BIGINT AS session_id
    FROM marked
)
SELECT
    user_id,
    session_id,
    min(ts) AS started_at,
    max(ts) AS ended_at,
    count(*) AS events,
    count(DISTINCT item_id) AS items,
    count(*) FILTER (WHERE behaviour = 'buy') AS buys
FROM numbered
GROUP BY user_id, session_id
ORDER BY user_id, session_id

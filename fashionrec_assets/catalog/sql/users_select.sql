-- A bot is told by one UTC day with more events than `limit`.
WITH days AS (
    SELECT user_id, count(*) AS events, min(ts) AS first_event, max(ts) AS last_event
    FROM read_parquet({interactions})
    GROUP BY user_id, ts::DATE
),
active AS (
    SELECT
        user_id,
        sum(events)::BIGINT AS events,
        min(first_event) AS first_event,
        max(last_event) AS last_event,
        max(events) > {limit} AS is_bot
    FROM days
    GROUP BY user_id
)
SELECT
    coalesce(active.user_id, staged.user_id) AS user_id,
    coalesce(active.events, 0) AS events,
    active.first_event,
    active.last_event,
    coalesce(active.is_bot, false) AS is_bot,
    staged.gender,
    floor(try_cast(staged.age AS DOUBLE))::INTEGER AS age,
    staged.city,
    findings.ref AS avatar_ref,
    coalesce(findings.status, 'none') AS avatar_status,
    findings.digest AS avatar_digest
FROM active
FULL JOIN staged ON active.user_id = staged.user_id
LEFT JOIN findings ON staged.avatar_ref = findings.ref
ORDER BY 1

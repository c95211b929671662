WITH parts (part, name, starts_at, ends_at) AS (VALUES {windows}),
events AS (
    SELECT user_id, item_id, parts.part
    FROM read_parquet({interactions})
    JOIN parts ON ts >= starts_at AND ts < ends_at
    WHERE user_id NOT IN (SELECT user_id FROM read_parquet({users}) WHERE is_bot)
),
items AS (
    SELECT part, count(*) AS items, count(*) FILTER (WHERE part = first_part) AS cold_items
    FROM (
        SELECT DISTINCT part, item_id, min(part) OVER (PARTITION BY item_id) AS first_part
        FROM (SELECT DISTINCT part, item_id FROM events)
    )
    GROUP BY part
),
users AS (
    SELECT part, count(*) AS users, count(*) FILTER (WHERE part = first_part) AS cold_users
    FROM (
        SELECT DISTINCT part, user_id, min(part) OVER (PARTITION BY user_id) AS first_part
        FROM (SELECT DISTINCT part, user_id FROM events)
    )
    GROUP BY part
),
totals AS (SELECT part, count(*) AS events FROM events GROUP BY part)
SELECT
    name,
    starts_at,
    ends_at,
    coalesce(events, 0) AS events,
    coalesce(users, 0) AS users,
    coalesce(items, 0) AS items,
    CASE WHEN parts.part = 0 THEN 0 ELSE coalesce(cold_items, 0) END AS cold_items,
    CASE WHEN parts.part = 0 THEN 0 ELSE coalesce(cold_users, 0) END AS cold_users
FROM parts
LEFT JOIN totals ON parts.part = totals.part
LEFT JOIN users ON parts.part = users.part
LEFT JOIN items ON parts.part = items.part
ORDER BY parts.part

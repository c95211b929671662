-- What each part holds. Every item and user is looked at once, with the parts it has events in as bits of a number; it
-- is cold in the lowest of them.
WITH parts (part, name, starts_at, ends_at) AS (VALUES {windows}),
events AS NOT MATERIALIZED (
    SELECT user_id, item_id, CASE {part_of_ts} END AS part
    FROM read_parquet({interactions})
    WHERE user_id NOT IN (SELECT user_id FROM read_parquet({users}) WHERE is_bot)
),
items AS (SELECT bit_or(1 << part) AS seen FROM events WHERE part IS NOT NULL GROUP BY item_id),
users AS (SELECT bit_or(1 << part) AS seen FROM events WHERE part IS NOT NULL GROUP BY user_id),
totals AS (SELECT part, count(*) AS events FROM events WHERE part IS NOT NULL GROUP BY part),
items_of AS (
    SELECT part, count(*) AS items, count(*) FILTER (WHERE seen % (1 << part) = 0) AS cold_items
    FROM parts
    JOIN items ON (seen >> part) % 2 = 1
    GROUP BY part
),
users_of AS (
    SELECT part, count(*) AS users, count(*) FILTER (WHERE seen % (1 << part) = 0) AS cold_users
    FROM parts
    JOIN users ON (seen >> part) % 2 = 1
    GROUP BY part
)
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
LEFT JOIN users_of ON parts.part = users_of.part
LEFT JOIN items_of ON parts.part = items_of.part
ORDER BY parts.part

SELECT user_id, item_id, {behaviours}[behaviour] AS behaviour, make_timestamp(seconds * 1000000) AS ts
FROM sorted
WHERE problem IS NULL AND NOT duplicate

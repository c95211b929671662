-- No join: it would lose the order.
SELECT
    user_id,
    item::VARCHAR AS item_id,
    {behaviours}[behaviour] AS behaviour,
    make_timestamp(seconds * 1000000) AS ts
FROM sorted
WHERE item IS NOT NULL

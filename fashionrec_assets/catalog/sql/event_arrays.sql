-- An event of an item or user that is not known has no row, and sorts first.
SELECT
    user_row,
    item_row,
    epoch(ts)::BIGINT AS seconds,
    (list_position({behaviours}, behaviour) - 1)::TINYINT AS behaviour
FROM read_parquet({interactions}) AS events
LEFT JOIN people ON events.user_id = people.user_id
LEFT JOIN known ON events.item_id = known.item_id
WHERE people.user_id IS NULL OR user_row IS NOT NULL
ORDER BY user_row NULLS FIRST, seconds, item_row NULLS FIRST, behaviour

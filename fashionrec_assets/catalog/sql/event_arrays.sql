SELECT
    user_row,
    item_row,
    epoch(ts)::BIGINT AS seconds,
    (list_position({behaviours}, behaviour) - 1)::TINYINT AS behaviour
FROM read_parquet({interactions}) AS events
JOIN people ON events.user_id = people.user_id
JOIN known ON events.item_id = known.item_id
ORDER BY user_row, seconds, item_row, behaviour

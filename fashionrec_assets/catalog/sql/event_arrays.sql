-- Events in no order, each with its place in the file, which is sorted. An event of an item or user that is not known
-- has no row.
SELECT
    file_row_number AS place,
    user_row,
    item_row,
    epoch_us(ts) // 1000000 AS seconds,
    (list_position({behaviours}, behaviour) - 1)::TINYINT AS behaviour
FROM read_parquet({interactions}, file_row_number = true) AS events
LEFT JOIN people ON events.user_id = people.user_id
LEFT JOIN known ON events.item_id = known.item_id
WHERE people.user_id IS NULL OR user_row IS NOT NULL

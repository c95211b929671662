SELECT user_id, item_id
FROM read_parquet({interactions})
WHERE item_id NOT IN (SELECT item_id FROM known) OR user_id NOT IN (SELECT user_id FROM read_parquet({users}))
LIMIT 1

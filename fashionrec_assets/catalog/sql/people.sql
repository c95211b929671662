CREATE OR REPLACE TEMP TABLE people AS
SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS user_row
FROM read_parquet({users})
WHERE {kept}

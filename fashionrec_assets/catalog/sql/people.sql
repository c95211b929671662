-- Everyone. Who is to be left out has no row.
CREATE OR REPLACE TEMP TABLE people AS
SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS user_row
FROM read_parquet({users})
WHERE {kept}
UNION ALL
SELECT user_id, NULL AS user_row
FROM read_parquet({users})
WHERE NOT {kept}

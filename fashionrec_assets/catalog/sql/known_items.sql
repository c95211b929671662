-- `item_row` sorts as the identifier does, for less.
CREATE OR REPLACE TEMP TABLE known AS
SELECT item_id, (row_number() OVER (ORDER BY item_id) - 1)::INTEGER AS item_row
FROM read_parquet({items})

CREATE OR REPLACE TEMP TABLE rejects AS
SELECT {file} AS source_file, line, column_name, reason, value, row_kept
FROM problems
-- A row refused in the end keeps only the reason it was refused for.
WHERE NOT row_kept OR line NOT IN (SELECT line FROM problems WHERE NOT row_kept)
ORDER BY line, column_name

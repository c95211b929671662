-- Every refused record of the log, by line.
SELECT
    {file} AS source_file,
    line,
    problem.column AS column_name,
    problem.reason AS reason,
    left(replace(left(problem.value, {max_value}), chr(0), '\x00'), {max_value}) AS value,
    false AS row_kept
FROM ({rows})
WHERE problem IS NOT NULL
UNION ALL
SELECT
    {file},
    line,
    NULL,
    {duplicate},
    left(concat_ws(' ', user_id, {behaviours}[behaviour], item_id, make_timestamp(seconds * 1000000)), {max_value}),
    false
FROM sorted
WHERE duplicate
ORDER BY line

-- Every refused record of the log, by line.
SELECT
    {file} AS source_file,
    line,
    {columns}[problem] AS column_name,
    coalesce({reasons}[problem], {duplicate}) AS reason,
    left(
        CASE
            WHEN duplicate
                THEN concat_ws(' ', user_id, {behaviours}[behaviour], item_id, make_timestamp(seconds * 1000000))
            ELSE replace(value, chr(0), '\x00')
        END,
        {max_value}
    ) AS value,
    false AS row_kept
FROM sorted
WHERE problem IS NOT NULL OR duplicate
ORDER BY line

-- Every refused record of the log, by line. Of equal events the one on the first line counts.
CREATE TEMP TABLE rejects AS
WITH events AS NOT MATERIALIZED (
    SELECT rowid AS place, user_id, subject AS item_id, seconds, behaviour FROM judged WHERE problem IS NULL
),
-- Sieves, for the quick: a scan is told the times it is about, if they are few, and texts are compared of few events.
at_unknown AS MATERIALIZED (
    SELECT place, item_id
    FROM events
    SEMI JOIN (SELECT seconds FROM sorted WHERE item IS NULL) AS unknown USING (seconds)
)
SELECT
    {file} AS source_file,
    place + 1 + {header} AS line,
    {columns}[problem] AS column_name,
    coalesce({reasons}[problem], {duplicate}) AS reason,
    left(value, {max_value}) AS value,
    false AS row_kept
FROM (
    SELECT rowid AS place, problem, replace(subject, chr(0), '\x00') AS value FROM judged WHERE problem > 0
    UNION ALL
    SELECT place, {unknown_item} AS problem, item_id AS value FROM at_unknown ANTI JOIN known USING (item_id)
    UNION ALL
    SELECT
        place,
        NULL AS problem,
        concat_ws(' ', user_id, {behaviours}[behaviour], item_id, make_timestamp(seconds * 1000000)) AS value
    FROM events
    SEMI JOIN repeated USING (seconds)
    SEMI JOIN repeated USING (user_id, seconds, item_id)
    QUALIFY row_number() OVER (PARTITION BY user_id, seconds, item_id, behaviour ORDER BY place) > 1
)
ORDER BY line
{limit}

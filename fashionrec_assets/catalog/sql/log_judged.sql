-- Every line of the log, typed, with the number of the first thing wrong with it (null: nothing). Rows stand in the
-- order of the file, so that a row's place tells its line, and lines need no counting, which no two threads can share.
-- A join would lose that order: whether there is such an item is asked later, and erased users are a type's values.
-- `subject` is the item of an event, or of a refused record the value at fault. The columns that events are sorted by
-- are null where there is none: one long value, or one far time, among them, and all are sorted as if they were so.
-- Facts about single rows only: duplicates are found after sorting.
CREATE OR REPLACE TEMP TABLE judged AS
SELECT
    CASE WHEN problem IS NULL THEN user_id END AS user_id,
    CASE
        WHEN problem IS NULL THEN item_id
        WHEN problem > 0 THEN left(
            CASE
                WHEN problem IN {about_user} THEN user_id
                WHEN problem IN {about_item} THEN item_id
                WHEN problem IN {about_behaviour} THEN behaviour_text
                WHEN problem IN {about_time} THEN ts
                ELSE text
            END,
            {max_value}
        )
    END AS subject,
    CASE WHEN problem IS NULL THEN seconds END AS seconds,
    CASE WHEN problem IS NULL THEN behaviour END AS behaviour,
    problem
FROM (
    SELECT
        *,
        CASE
            -- Almost every line: asked at once, for a CASE takes longer the more of its branches differ between rows.
            WHEN shape IS NULL AND NOT {damaged} AND NOT ({is_erased}) AND NOT contains(text, chr(0))
                AND user_id <> '' AND strlen(user_id) <= {max_id} AND item_id <> '' AND strlen(item_id) <= {max_id}
                AND behaviour IS NOT NULL AND seconds BETWEEN {earliest} AND {latest}
                THEN NULL
            WHEN shape = {blank} THEN {blank}
            WHEN {is_erased} THEN {erased}
            WHEN {damaged} AND strlen(text) > {max_line} THEN {line_too_long}
            WHEN shape IS NOT NULL THEN shape
            WHEN {damaged} AND contains(text, {marker}) THEN {not_utf8}
            WHEN contains(text, chr(0)) THEN {nul_byte}
            WHEN coalesce(user_id, '') = '' THEN {user_empty}
            WHEN coalesce(item_id, '') = '' THEN {item_empty}
            WHEN strlen(user_id) > {max_id} AND length(user_id) > {max_id} THEN {user_too_long}
            WHEN strlen(item_id) > {max_id} AND length(item_id) > {max_id} THEN {item_too_long}
            WHEN behaviour IS NULL THEN {unknown_behaviour}
            WHEN seconds IS NULL THEN {not_a_time}
            WHEN seconds < {earliest} THEN {impossible_time}
            WHEN seconds > {latest} THEN {future_time}
        END::TINYINT AS problem
    FROM (
        SELECT
            * EXCLUDE (behaviour),
            behaviour AS behaviour_text,
            CASE behaviour {behaviour_cases} END::TINYINT AS behaviour,
            {seconds} AS seconds
        FROM ({columns})
    )
)

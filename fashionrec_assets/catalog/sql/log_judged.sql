-- Every line of the log, typed, with the number of the first thing wrong with it (null: nothing). Rows stand in the
-- order of the file, so that a row's place tells its line, and lines need no counting, which no two threads can share.
-- A join would lose that order: whether there is such an item is asked later, and erased users are a type's values.
-- One column of text, for a long log is many rows: the user of an event, or of a refused record the value at fault.
-- Facts about single rows only: duplicates are found after sorting.
CREATE OR REPLACE TEMP TABLE judged AS
SELECT
    CASE
        WHEN problem IS NULL THEN user_id
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
    CASE WHEN problem IS NULL THEN item_id END AS item_id,
    seconds,
    behaviour,
    problem
FROM (
    SELECT
        *,
        CASE
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

-- Every record of the log, typed, with the number of the first thing wrong with it (null: nothing) and the value at
-- fault. Facts about single rows only: duplicates are found after sorting. Rows with a problem have no user, so that
-- they sort behind all others.
SELECT
    line,
    CASE WHEN problem IS NULL THEN user_id END AS user_id,
    item_id,
    behaviour,
    seconds,
    item_row,
    problem,
    CASE
        WHEN problem IS NOT NULL THEN left(
            CASE
                WHEN problem IN {about_user} THEN user_id
                WHEN problem IN {about_item} THEN item_id
                WHEN problem IN {about_behaviour} THEN behaviour_text
                WHEN problem IN {about_time} THEN ts
                ELSE text
            END,
            {max_value}
        )
    END AS value
FROM (
    SELECT
        typed.*,
        known.item_row,
        CASE
            WHEN {damaged} AND strlen(typed.text) > {max_line} THEN {line_too_long}
            WHEN typed.shape IS NOT NULL THEN typed.shape
            WHEN {damaged} AND contains(typed.text, {marker}) THEN {not_utf8}
            WHEN contains(typed.text, chr(0)) THEN {nul_byte}
            WHEN coalesce(typed.user_id, '') = '' THEN {user_empty}
            WHEN coalesce(typed.item_id, '') = '' THEN {item_empty}
            WHEN strlen(typed.user_id) > {max_id} AND length(typed.user_id) > {max_id} THEN {user_too_long}
            WHEN strlen(typed.item_id) > {max_id} AND length(typed.item_id) > {max_id} THEN {item_too_long}
            WHEN typed.behaviour IS NULL THEN {unknown_behaviour}
            WHEN typed.seconds IS NULL THEN {not_a_time}
            WHEN typed.seconds < {earliest} THEN {impossible_time}
            WHEN typed.seconds > {latest} THEN {future_time}
            WHEN known.item_row IS NULL THEN {unknown_item}
        END::TINYINT AS problem
    FROM (
        SELECT
            * EXCLUDE (behaviour),
            behaviour AS behaviour_text,
            CASE behaviour {behaviour_cases} END::TINYINT AS behaviour,
            {seconds} AS seconds
        FROM ({columns})
    ) AS typed
    LEFT JOIN known ON typed.item_id = known.item_id
)

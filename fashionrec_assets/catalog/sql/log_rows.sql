-- Every record of the log, typed, with the first thing wrong with it (null: nothing). Facts about single rows only:
-- duplicates are found after sorting.
SELECT
    typed.line,
    typed.user_id,
    typed.item_id,
    typed.behaviour,
    typed.seconds,
    known.item_row,
    CASE
        WHEN {damaged} AND strlen(typed.text) > {max_line}
            THEN {{'column': NULL, 'reason': {too_long}, 'value': typed.text}}
        WHEN typed.shape IS NOT NULL THEN {{'column': NULL, 'reason': typed.shape, 'value': typed.text}}
        WHEN {damaged} AND contains(typed.text, {marker})
            THEN {{'column': NULL, 'reason': {not_utf8}, 'value': typed.text}}
        WHEN contains(typed.text, chr(0)) THEN {{'column': NULL, 'reason': {nul_byte}, 'value': typed.text}}
        WHEN coalesce(typed.user_id, '') = '' THEN {{'column': {user_name}, 'reason': {empty}, 'value': typed.user_id}}
        WHEN coalesce(typed.item_id, '') = '' THEN {{'column': {item_name}, 'reason': {empty}, 'value': typed.item_id}}
        WHEN length(typed.user_id) > {max_id}
            THEN {{'column': {user_name}, 'reason': {too_long}, 'value': typed.user_id}}
        WHEN length(typed.item_id) > {max_id}
            THEN {{'column': {item_name}, 'reason': {too_long}, 'value': typed.item_id}}
        WHEN typed.behaviour IS NULL
            THEN {{'column': {behaviour_name}, 'reason': {unknown_behaviour}, 'value': typed.behaviour_text}}
        WHEN typed.seconds IS NULL THEN {{'column': {ts_name}, 'reason': {not_a_time}, 'value': typed.ts}}
        WHEN typed.seconds < {earliest} THEN {{'column': {ts_name}, 'reason': {impossible_time}, 'value': typed.ts}}
        WHEN typed.seconds > {latest} THEN {{'column': {ts_name}, 'reason': {future_time}, 'value': typed.ts}}
        WHEN known.item_row IS NULL THEN {{'column': {item_name}, 'reason': {unknown_item}, 'value': typed.item_id}}
    END AS problem
FROM (
    SELECT
        * EXCLUDE (behaviour),
        behaviour AS behaviour_text,
        list_position({behaviours}, behaviour)::TINYINT AS behaviour,
        {seconds} AS seconds
    FROM ({columns})
) AS typed
LEFT JOIN known ON typed.item_id = known.item_id

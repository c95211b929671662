-- Every record, the good ones first, in the order of `tables.INTERACTIONS`. Of equal events the one on the first line
-- counts, the others are marked. `lag` without an order of its own follows the order of the subquery: one sort, not
-- two.
CREATE TEMP TABLE sorted AS
SELECT
    *,
    coalesce(
        user_id = lag(user_id) OVER () AND seconds = lag(seconds) OVER () AND item_row = lag(item_row) OVER ()
        AND behaviour = lag(behaviour) OVER (),
        false
    ) AS duplicate
FROM (
    SELECT user_id, seconds, item_row, behaviour, line, item_id, problem, value
    FROM ({rows})
    ORDER BY user_id NULLS LAST, seconds, item_row, behaviour, line
)

-- The events in the order of `tables.INTERACTIONS`, without those that repeat the one before, which are kept apart.
-- `lag` without an order of its own follows the order of the table. An event of an item that is not known has a null
-- for it: the times of these few are all that is needed to find them among the lines.
CREATE TEMP TABLE sorted AS
SELECT user_id, seconds, item, behaviour
FROM judged
LEFT JOIN known ON judged.subject = known.item_id
WHERE problem IS NULL
ORDER BY user_id, seconds, item, behaviour;
CREATE TEMP TABLE repeated AS
SELECT place, user_id, seconds, item::VARCHAR AS item_id
FROM (
    SELECT
        rowid AS place,
        *,
        user_id = lag(user_id) OVER () AND seconds = lag(seconds) OVER () AND item = lag(item) OVER ()
        AND behaviour = lag(behaviour) OVER () AS duplicate
    FROM sorted
)
WHERE duplicate;
DELETE FROM sorted WHERE rowid IN (SELECT place FROM repeated)

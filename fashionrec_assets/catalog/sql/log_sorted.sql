-- The events of known items in the order of `tables.INTERACTIONS`, without those that repeat the one before, which are
-- kept apart. `lag` without an order of its own follows the order of the table.
CREATE TEMP TABLE sorted AS
SELECT subject AS user_id, seconds, known.item, behaviour
FROM judged
JOIN known ON judged.item_id = known.item_id
WHERE problem IS NULL
ORDER BY user_id, seconds, item, behaviour;
CREATE TEMP TABLE repeated AS
SELECT place, user_id, seconds, item::VARCHAR AS item_id, behaviour
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

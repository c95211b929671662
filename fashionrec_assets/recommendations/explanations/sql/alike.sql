-- What the user did with the item that the recommended one is like; of an outfit it is the one the outfit is around.
SELECT claim_id,
       CASE WHEN what = 'anchor' THEN item = subject ELSE coalesce({behaviours}[furthest] = what, false) END AS holds
FROM claims LEFT JOIN histories ON user_id = subject AND histories.item_id = item
WHERE kind IN ('look', 'wording')

-- The item's price, and the median over the different items that the user turned to.
WITH usual AS (
    SELECT claim_id, median(items.price) AS price
    FROM claims JOIN histories ON user_id = subject JOIN items ON items.item_id = histories.item_id
    WHERE kind = 'price' GROUP BY claim_id
)
SELECT claims.claim_id,
       coalesce(abs(items.price - claims.number) <= 1e-9 * items.price, false)
       AND (claims.base IS NULL OR coalesce(abs(usual.price - claims.base) <= 1e-9 * usual.price, false)) AS holds
FROM claims LEFT JOIN items USING (item_id) LEFT JOIN usual USING (claim_id)
WHERE kind = 'price'

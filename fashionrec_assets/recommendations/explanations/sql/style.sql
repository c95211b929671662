-- The style of the item, its name, and how many of the user's different items are of it.
WITH counted AS (
    SELECT claim_id, count(*) AS items, count(*) FILTER (CAST(item_styles.style_id AS VARCHAR) = claims.what) AS alike
    FROM claims JOIN histories ON user_id = subject LEFT JOIN item_styles ON item_styles.item_id = histories.item_id
    WHERE kind = 'style' GROUP BY claim_id
)
SELECT claims.claim_id,
       coalesce(CAST(own.style_id AS VARCHAR) = claims.what AND styles.name = claims."value", false)
       AND (claims.number IS NULL OR claims.number = coalesce(counted.alike, 0))
       AND (claims.base IS NULL OR claims.base = coalesce(counted.items, 0)) AS holds
FROM claims LEFT JOIN counted USING (claim_id)
LEFT JOIN item_styles AS own ON own.item_id = claims.item_id
LEFT JOIN styles USING (style_id)
WHERE kind = 'style'

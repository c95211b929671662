-- The value of the attribute, and on how many of the user's different items it is the same.
WITH counted AS (
    SELECT claim_id, count(*) AS items, count(*) FILTER (words."value" = claims."value") AS alike
    FROM claims JOIN histories ON user_id = subject
    LEFT JOIN words ON words.item_id = histories.item_id AND words.name = claims.what
    WHERE kind = 'shared' GROUP BY claim_id
)
SELECT claims.claim_id,
       coalesce(own."value" = claims."value" AND counted.alike = claims.number AND counted.items = claims.base, false)
           AS holds
FROM claims LEFT JOIN counted USING (claim_id)
LEFT JOIN words AS own ON own.item_id = claims.item_id AND own.name = claims.what
WHERE kind = 'shared'

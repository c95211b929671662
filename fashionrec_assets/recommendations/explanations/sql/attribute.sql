-- The value of the attribute.
SELECT claim_id, coalesce(own."value" = claims."value", false) AS holds
FROM claims LEFT JOIN words AS own ON own.item_id = claims.item_id AND own.name = claims.what
WHERE kind = 'attribute'

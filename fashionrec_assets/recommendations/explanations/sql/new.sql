-- Since when the item is on sale, how long that is before the newest event, and who has turned to it.
SELECT claims.claim_id,
       coalesce(epoch(claims."at")::BIGINT = epoch(items.launched_at)::BIGINT, false)
       AND claims.number = floor((newest.second - epoch(items.launched_at)::BIGINT) / 86400)
       AND claims.base = (SELECT count(*) FROM turned WHERE turned.item_id = claims.item_id) AS holds
FROM claims CROSS JOIN newest LEFT JOIN items ON items.item_id = claims.item_id
WHERE kind = 'new'

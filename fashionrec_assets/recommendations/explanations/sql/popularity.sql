-- The people who turned to the item in the last days of the log.
SELECT claims.claim_id, claims.number = count(DISTINCT log.user_id) AS holds
FROM claims CROSS JOIN newest
LEFT JOIN log ON log.item_id = claims.item_id AND log.second > newest.second - claims.base * 86400
WHERE kind = 'popularity' GROUP BY claims.claim_id, claims.number

-- What the items that claims name are called in the catalog; null where it has no such item.
SELECT claim_id, "value", item, title
FROM claims LEFT JOIN items ON items.item_id = claims.item WHERE kind IN ('history', 'look', 'wording', 'pairing')

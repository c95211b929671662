-- What the items that claims name are called in the catalog.
SELECT claim_id, "value", item, coalesce(title, '') AS title, product_type, category, items.item_id IS NOT NULL AS there
FROM claims LEFT JOIN items ON items.item_id = claims.item WHERE kind IN ('history', 'look', 'wording', 'pairing')

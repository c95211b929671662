-- Every recommendation that is explained, once for each subject and item, with its facts, in the order it is shown.
-- Complements of an item that are in one of its looks are told there.
SELECT surface, subject, item_id, place, facts
FROM (
    SELECT 'homepage' AS surface, user_id AS subject, item_id, 0 AS part, rank::BIGINT AS place, facts FROM homepage
    UNION ALL
    SELECT 'outfit', anchor_id, item_id, 0, look * 1000::BIGINT + list_position({slots}, slot), facts FROM outfits
    UNION ALL
    SELECT 'outfit', anchor_id, item_id, 1, 1000000 + rank::BIGINT, facts FROM complements
    UNION ALL
    SELECT 'style', user_id, item_id, 0, rank::BIGINT, facts FROM style_picks
)
WHERE {wanted}
QUALIFY row_number() OVER (PARTITION BY surface, subject, item_id ORDER BY place) = 1

-- Baskets (or people) that had the other item, and both.
WITH told AS (SELECT * FROM claims WHERE kind = 'pairing'),
alone AS (
    SELECT item_id AS item, count(*) AS baskets, count(DISTINCT user_id) AS people
    FROM baskets WHERE item_id IN (SELECT item FROM told) GROUP BY item_id
),
pairs AS (
    SELECT pair.item, pair.item_id, count(*) AS baskets, count(DISTINCT one.user_id) AS people
    FROM (SELECT DISTINCT item, item_id FROM told) AS pair
    JOIN baskets AS one ON one.item_id = pair.item
    JOIN baskets AS other
        ON other.item_id = pair.item_id AND other.user_id = one.user_id
        AND (other.day = one.day)
    GROUP BY pair.item, pair.item_id
)
SELECT claim_id,
       coalesce(
           told.number = CASE told.what WHEN 'people' THEN pairs.people ELSE pairs.baskets END
           AND told.base = CASE told.what WHEN 'people' THEN alone.people ELSE alone.baskets END, false
       ) AS holds
FROM told LEFT JOIN alone USING (item) LEFT JOIN pairs ON pairs.item = told.item AND pairs.item_id = told.item_id

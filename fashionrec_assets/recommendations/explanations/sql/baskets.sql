-- What one person took on one day by `behaviours`, and how many designs that is; of more than fifty items the first.
CREATE OR REPLACE TEMP TABLE baskets AS
SELECT user_id, day, item_id, design, kind, count(DISTINCT design) OVER (PARTITION BY user_id, day) AS designs
FROM (
    SELECT taken.user_id, taken.day, taken.item_id,
           coalesce('f' || nullif(family_id, ''), 'i' || taken.item_id) AS design,
           coalesce(nullif(product_type, ''), nullif(category, '')) AS kind
    FROM (
        SELECT DISTINCT user_id, second // 86400 AS day, item_id FROM log WHERE behaviour IN (SELECT unnest($behaviours))
    ) AS taken
    JOIN items USING (item_id)
    QUALIFY row_number() OVER (PARTITION BY taken.user_id, taken.day ORDER BY taken.item_id) <= 50
)

UPDATE staged SET price = paid.price::VARCHAR
FROM (
    SELECT item_id, median(try_cast(price AS DOUBLE)) AS price
    FROM ({log})
    WHERE shape IS NULL AND try_cast(price AS DOUBLE) >= 0 AND isfinite(try_cast(price AS DOUBLE))
    GROUP BY item_id
) AS paid
WHERE staged.item_id = paid.item_id

-- Of the baskets with several designs, those with both types, and how many there would be if types met by chance.
WITH told AS (SELECT * FROM claims WHERE kind = 'kinds'),
mixed AS (
    SELECT DISTINCT user_id, day, kind FROM baskets
    WHERE designs > 1 AND kind IN (SELECT what FROM told UNION SELECT "value" FROM told)
),
several AS (SELECT count(*) AS baskets FROM (SELECT DISTINCT user_id, day FROM baskets WHERE designs > 1)),
alone AS (SELECT kind, count(*) AS baskets FROM mixed GROUP BY kind),
pairs AS (
    SELECT one.kind AS what, other.kind AS "value", count(*) AS baskets
    FROM mixed AS one JOIN mixed AS other USING (user_id, day) GROUP BY one.kind, other.kind
)
SELECT claim_id,
       coalesce(
           own."value" = told.what AND told.number = pairs.baskets
           AND abs(told.base - first.baskets * second.baskets / several.baskets) <= 0.001, false
       ) AS holds
FROM told CROSS JOIN several
LEFT JOIN pairs ON pairs.what = told.what AND pairs."value" = told."value"
LEFT JOIN alone AS first ON first.kind = told.what
LEFT JOIN alone AS second ON second.kind = told."value"
LEFT JOIN words AS own ON own.item_id = told.item_id AND own.name = 'type'

-- The furthest the user went with the item and when they last did, who turned to it, and who to both.
WITH told AS (SELECT * FROM claims WHERE kind = 'history'),
done AS (
    SELECT subject, item, {behaviours}[furthest] AS what,
           (SELECT max(second) FROM log
            WHERE log.user_id = subject AND log.item_id = item AND behaviour = {behaviours}[furthest]) AS second
    FROM (SELECT DISTINCT subject, item FROM told) JOIN histories ON user_id = subject AND histories.item_id = item
),
alone AS (SELECT item_id, count(*) AS people FROM turned GROUP BY item_id),
pairs AS (
    SELECT one.item_id AS item, other.item_id, count(*) AS people
    FROM (SELECT DISTINCT item, item_id FROM told) AS pair
    JOIN turned AS one ON one.item_id = pair.item
    JOIN turned AS other ON other.item_id = pair.item_id AND other.user_id = one.user_id
    GROUP BY one.item_id, other.item_id
)
SELECT claim_id,
       coalesce(done.what = told.what AND epoch(told."at")::BIGINT = done.second, false)
       AND (told.number IS NULL OR told.number = coalesce(pairs.people, 0))
       AND (told.base IS NULL OR told.base = coalesce(alone.people, 0)) AS holds
FROM told
LEFT JOIN done USING (subject, item)
LEFT JOIN alone ON alone.item_id = told.item
LEFT JOIN pairs ON pairs.item = told.item AND pairs.item_id = told.item_id

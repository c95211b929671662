-- A sample of the published claims, every surface and kind of lead in turn, each with the fact it cites as it stands in
-- the product's own table. A claim that cites nothing there has no kind.
CREATE OR REPLACE TEMP TABLE claims AS
WITH ranked AS (
    SELECT surface, subject, item_id, claims, sha256(surface || '|' || subject || '|' || item_id) AS draw
    FROM explanations WHERE len(claims) > 0
), sample AS (
    SELECT surface, subject, item_id, claims
    FROM (SELECT *, row_number() OVER (PARTITION BY surface, claims[1].cites ORDER BY draw) AS turn FROM ranked)
    ORDER BY turn, draw LIMIT $sample
), told AS (
    SELECT surface, subject, item_id, unnest(claims) AS claim FROM sample
), shown AS (
    {recommended}
)
SELECT row_number() OVER () AS claim_id, surface, subject, item_id, claim.text AS "text", fact.kind, fact.what,
       fact."value", fact.item, fact."at", fact.number, fact.base
FROM (
    SELECT told.*, list_filter(shown.facts, lambda one: one.id = claim.cites)[1] AS fact
    FROM told LEFT JOIN shown USING (surface, subject, item_id)
);
-- The events of people on everything the sample is about.
CREATE OR REPLACE TEMP VIEW log AS
SELECT events.user_id, events.item_id, events.behaviour, epoch(events.ts)::BIGINT AS second
FROM read_parquet({interactions}) AS events JOIN users USING (user_id) WHERE NOT users.is_bot;
CREATE OR REPLACE TEMP TABLE newest AS SELECT max(second) AS second FROM log;
CREATE OR REPLACE TEMP TABLE histories AS
SELECT user_id, item_id, max(list_position({behaviours}, behaviour)) AS furthest
FROM log WHERE user_id IN (SELECT subject FROM claims WHERE surface <> 'outfit') GROUP BY user_id, item_id;
CREATE OR REPLACE TEMP TABLE turned AS
SELECT DISTINCT user_id, item_id
FROM log WHERE item_id IN (SELECT item_id FROM claims UNION SELECT item FROM claims WHERE kind = 'history');
CREATE OR REPLACE TEMP TABLE words AS
SELECT item_id, name, "value" FROM (
    SELECT item_id, category, product_type, brand, colour, pattern, section, gender,
           coalesce(nullif(product_type, ''), nullif(category, '')) AS "type"
    FROM items
    WHERE item_id IN (SELECT item_id FROM claims UNION SELECT item_id FROM histories)
) UNPIVOT ("value" FOR name IN (category, product_type, brand, colour, pattern, section, gender, "type"));

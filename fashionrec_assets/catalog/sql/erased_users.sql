-- Users on the suppression list, and how many records name each. A user is hashed once, not once a record.
CREATE OR REPLACE TEMP TABLE erased AS
SELECT user_id, records
FROM (
    SELECT user_id, count(*) AS records
    FROM ({records})
    WHERE user_id IS NOT NULL
    GROUP BY user_id
)
WHERE sha256({salt} || user_id) IN (SELECT unnest({hashes}))

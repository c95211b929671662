DELETE FROM problems WHERE line IN (SELECT line FROM staged WHERE user_id IN (SELECT user_id FROM erased));
DELETE FROM staged WHERE user_id IN (SELECT user_id FROM erased)

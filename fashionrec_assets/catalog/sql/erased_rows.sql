-- Every record but those of users on the suppression list; a record without a user is nobody's.
SELECT * FROM ({records}) WHERE user_id IS NULL OR user_id NOT IN (SELECT user_id FROM erased)

INSERT INTO problems
SELECT line, {name}, {reason}, left({column}, {max_value}), true
FROM staged
WHERE {column} IS NOT NULL AND ({condition});
UPDATE staged SET {column} = NULL WHERE {column} IS NOT NULL AND ({condition})

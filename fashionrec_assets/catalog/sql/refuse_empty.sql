INSERT INTO problems SELECT line, {name}, {reason}, NULL, false FROM staged WHERE {key} IS NULL;
DELETE FROM staged WHERE {key} IS NULL

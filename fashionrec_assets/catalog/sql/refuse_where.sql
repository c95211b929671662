INSERT INTO problems SELECT line, {name}, {reason}, left({column}, {max_value}), false FROM staged WHERE {condition};
DELETE FROM staged WHERE {condition}

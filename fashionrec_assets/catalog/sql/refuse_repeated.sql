CREATE OR REPLACE TEMP TABLE repeated AS
SELECT line, {key} FROM staged QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY line) > 1;
INSERT INTO problems SELECT line, {name}, {reason}, {key}, false FROM repeated;
DELETE FROM staged WHERE line IN (SELECT line FROM repeated)

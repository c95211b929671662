CREATE OR REPLACE TEMP VIEW rejects AS
SELECT * FROM read_parquet({path})

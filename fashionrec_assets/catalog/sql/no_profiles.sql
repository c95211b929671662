CREATE OR REPLACE TEMP TABLE staged
(line BIGINT, user_id VARCHAR, gender VARCHAR, age VARCHAR, city VARCHAR, avatar_ref VARCHAR);
CREATE OR REPLACE TEMP TABLE problems
(line BIGINT, column_name VARCHAR, reason VARCHAR, value VARCHAR, row_kept BOOLEAN)

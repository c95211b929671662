DROP TYPE IF EXISTS erased_user;
CREATE TYPE erased_user AS ENUM (SELECT user_id FROM erased)

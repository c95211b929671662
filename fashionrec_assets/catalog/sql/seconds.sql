-- Unix seconds of a number of seconds or an ISO 8601 time. A time with an offset is converted, one without is UTC; only
-- the former needs the calendar library's parser, which takes four times as long.
coalesce(
    try_cast({column} AS BIGINT),
    floor(epoch(
        CASE
            WHEN regexp_matches({column}, ':.*[zZ+-]') THEN try_cast({column} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'
            ELSE try_cast({column} AS TIMESTAMP)
        END
    ))::BIGINT
)

SELECT DISTINCT user_id
FROM read_parquet({interactions}, file_row_number = true)
WHERE file_row_number > 0 AND file_row_number % {events} = 0
ORDER BY user_id

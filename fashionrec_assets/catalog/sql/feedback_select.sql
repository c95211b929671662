SELECT
    user_id,
    item_id,
    make_timestamp({moment} * 1000000) AS ts,
    {helpful} AS helpful,
    lower(lead) AS lead,
    lower(tone) AS tone,
    lower(length) AS length,
    text,
    edited_text
FROM staged
ORDER BY 1, 2, 3

SELECT CASE WHEN column_name IS NULL THEN reason ELSE column_name || ': ' || reason END AS what, count(*) AS rejects
FROM rejects
GROUP BY what
ORDER BY rejects DESC, what

-- The contract's columns as trimmed text, from lines. `shape`: a problem's number, or null.
SELECT
    line,
    CASE
        WHEN fields IS NULL THEN {unbalanced_quote}
        WHEN len(fields) < {width} THEN {missing_columns}
        WHEN len(fields) > {width} THEN {too_many_columns}
    END::TINYINT AS shape,
    text,
    {columns}
FROM ({lines})

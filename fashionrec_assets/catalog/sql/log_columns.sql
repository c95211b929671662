-- The contract's columns as trimmed text, from lines. `shape`: a problem's number, that of a blank line, or null.
SELECT
    CASE
        -- Almost every line is seen not to be blank by its first byte.
        WHEN text IS NULL OR (ascii(text) <= 32 AND trim(text, {space}) = '') THEN {blank}
        WHEN fields IS NULL THEN {unbalanced_quote}
        WHEN len(fields) < {width} THEN {missing_columns}
        WHEN len(fields) > {width} THEN {too_many_columns}
    END::TINYINT AS shape,
    text,
    {columns}
FROM ({lines})

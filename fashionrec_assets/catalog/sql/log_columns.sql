-- The contract's columns as trimmed text, from lines. `shape`: a problem's number, that of a blank line, or null.
SELECT
    CASE
        -- Almost every line: of the right width, and not blank, for its first field is not.
        WHEN len(fields) = {width} AND fields[1] <> '' THEN NULL
        WHEN text IS NULL OR trim(text, {space}) = '' THEN {blank}
        WHEN fields IS NULL THEN {unbalanced_quote}
        WHEN len(fields) < {width} THEN {missing_columns}
        WHEN len(fields) > {width} THEN {too_many_columns}
    END::TINYINT AS shape,
    text,
    {columns}
FROM ({lines})

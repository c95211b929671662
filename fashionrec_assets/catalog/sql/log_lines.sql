-- The log's records, one physical line each: its number (the header is line 1 where there is one) and its fields.
-- A line is read as one column and split here, so that no parser error can lose a line or shift the numbering.
-- The whole pattern is tried only on lines with a quote; `fields` is null where the quotes do not match.
SELECT
    line,
    text,
    CASE
        WHEN NOT contains(text, '"') THEN string_split(text, {delimiter})
        WHEN regexp_full_match(text, '(?:"(?:[^"]|"")*"|[^"{stop}]*)(?:[{stop}](?:"(?:[^"]|"")*"|[^"{stop}]*))*')
            THEN list_transform(
                regexp_extract_all({delimiter} || text, '[{stop}]("(?:[^"]|"")*"|[^"{stop}]*)', 1),
                lambda field: CASE
                    WHEN starts_with(field, '"') THEN replace(field[2:-2], '""', '"')
                    ELSE field
                END
            )
    END AS fields
FROM (
    SELECT row_number() OVER () AS line, text
    FROM read_csv(
        {path}, header = false, auto_detect = false, columns = {{'text': 'VARCHAR'}}, delim = {unused}, quote = '',
        escape = '', compression = {compression}, strict_mode = true
    )
)
WHERE line > {header} AND text IS NOT NULL AND trim(text, E' \t\r') <> ''

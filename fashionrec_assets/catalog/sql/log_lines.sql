-- The log's records, one physical line each: its number (the header is line 1 where there is one) and its fields.
-- A line is read as one column and split here, so that no parser error can lose a line or shift the numbering.
-- Quotes and spaces are looked after only on lines that have them; `fields` is null where the quotes do not match.
SELECT
    line,
    text,
    CASE
        WHEN NOT (contains(text, '"') OR contains(text, ' ') OR contains(text, chr(9)))
            THEN string_split(text, {delimiter})
        WHEN NOT contains(text, '"')
            THEN list_transform(string_split(text, {delimiter}), lambda field: trim(field, {space}))
        WHEN regexp_full_match(text, '(?:"(?:[^"]|"")*"|[^"{stop}]*)(?:[{stop}](?:"(?:[^"]|"")*"|[^"{stop}]*))*')
            THEN list_transform(
                regexp_extract_all({delimiter} || text, '[{stop}]("(?:[^"]|"")*"|[^"{stop}]*)', 1),
                lambda field: trim(
                    CASE WHEN starts_with(field, '"') THEN replace(field[2:-2], '""', '"') ELSE field END, {space}
                )
            )
    END AS fields
FROM (
    SELECT row_number() OVER () AS line, text
    FROM read_csv(
        {path}, header = false, auto_detect = false, columns = {{'text': 'VARCHAR'}}, delim = {unused}, quote = '',
        escape = '', compression = {compression}, strict_mode = true
    )
)
-- Almost every line is seen not to be blank by its first byte.
WHERE line > {header} AND text IS NOT NULL AND (ascii(text) > 32 OR trim(text, {space}) <> '')

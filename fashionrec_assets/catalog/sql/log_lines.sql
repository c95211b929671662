-- Every physical line of the log, in order, as its fields. A line is read as one column and split here, so that no
-- parser error can lose a line or shift the numbering. Quotes and spaces are looked after only on lines that have them;
-- `fields` is null where the quotes do not match, and `text` on an empty line.
SELECT
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
FROM read_csv(
    {path}, header = false, auto_detect = false, columns = {{'text': 'VARCHAR'}}, delim = {unused}, quote = '',
    escape = '', compression = {compression}, strict_mode = true, skip = {header}
)

-- Values that hold a user on the suppression list: as a field of the line, as a word of it, or as a part of a word. A
-- value that was cut off may end in half an identifier, which no hash tells: its last word goes.
UPDATE rejects SET value = regexp_replace(value, '[^\s,;|"'']*$', '') WHERE length(value) = {cut};
UPDATE rejects SET value = NULL
WHERE list_has_any(
    list_transform(
        list_concat(
            list_transform(string_split_regex(value, '[,;|\t]'), lambda part: trim(part, ' "''')),
            string_split_regex(value, '[\s,;|"''{{}}\[\]()<>=\\]+'),
            string_split_regex(value, '[^\pL\pN_-]+')
        ),
        lambda part: sha256({salt} || part)
    ),
    {hashes}
)

SELECT
    staged.item_id,
    coalesce(staged.title, '') AS title,
    staged.description,
    staged.category,
    staged.product_type,
    staged.family_id,
    staged.brand,
    staged.colour,
    staged.pattern,
    staged.section,
    staged.gender,
    try_cast(staged.price AS DOUBLE) AS price,
    make_timestamp({launched} * 1000000) AS launched_at,
    findings.ref AS image_ref,
    coalesce(findings.status, 'none') AS image_status,
    findings.digest AS image_digest
FROM staged
LEFT JOIN findings ON staged.image_ref = findings.ref
ORDER BY staged.item_id

SELECT coalesce(findings.status, 'none') AS status, count(*)
FROM staged
LEFT JOIN findings ON staged.{ref} = findings.ref
GROUP BY status

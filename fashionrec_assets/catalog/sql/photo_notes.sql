INSERT INTO problems
SELECT staged.line, {column}, {prefix} || findings.status, left(staged.image_ref, 200), true
FROM staged
JOIN findings ON staged.image_ref = findings.ref
WHERE findings.status <> 'ok'

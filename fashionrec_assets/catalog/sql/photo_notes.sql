INSERT INTO problems
SELECT staged.line, {column}, {prefix} || findings.status, left(staged.{ref}, 200), true
FROM staged
JOIN findings ON staged.{ref} = findings.ref
WHERE findings.status <> 'ok'

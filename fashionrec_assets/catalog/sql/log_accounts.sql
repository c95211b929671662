-- Records (blank lines are none), and those of them that are of users on the suppression list.
SELECT
    count(*) FILTER (WHERE problem IS DISTINCT FROM {blank}),
    count(*) FILTER (WHERE problem = {erased})
FROM judged

SELECT count(*) FROM sorted WHERE problem IS NULL AND NOT duplicate

"""The report on explanations: whether they are true, whether they name what decided, and how they read."""

"""What answers to explanations are made into: preferences in force, and training data."""

"""Where candidates come from besides the two-tower model: each source is also a baseline of its own."""

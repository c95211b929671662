"""Nearest-neighbour search over item vectors.

Belongs here: building, tuning, updating, saving and searching a FAISS index, and measuring it against exact search.
Does not belong here: where vectors come from (towers, embeddings), and what a shopper is shown (recommendations).
"""

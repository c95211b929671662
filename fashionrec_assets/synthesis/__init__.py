"""Synthetic training data: rows of users and items that nobody made, and embeddings of items that nobody has touched.

Belongs here: the conditional VAE over (user, item, preference), the rule-based and random controls it is compared
with, the VAE that gives a new item an embedding, and what is measured of synthetic rows alone. Does not belong here:
recommenders that are trained on them (towers), whether they pay (evaluation).
"""

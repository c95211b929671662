"""Reasons that are true: facts behind a recommendation, texts made of them, and the check of every claim.

Belongs here: finding, wording, verifying and publishing reasons, for every product. Does not belong here: what is
recommended, and metrics of explanations (evaluation).
"""

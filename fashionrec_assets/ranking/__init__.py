"""Candidate retrieval and late fusion: from several sources of candidates to one learned ranking.

Belongs here: the sources (`sources/`), the features of a (user, item) pair, the listwise ranker over them, its
calibration, and the recommender made of all that. Does not belong here: towers and vectors, what a shopper is shown
(recommendations), measurement (evaluation).
"""

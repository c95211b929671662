"""What shoppers are shown, each row with the evidence it rests on.

Belongs here: the homepage, similar items, the popular page for unknown users, and the tables they are stored in. Does
not belong here: models and their vectors (towers), nearest-neighbour search (index), and metrics (evaluation).
"""

"""Style discovery: the styles of the catalog, whom they suit, and picks that widen a user's choice.

A style is a cluster of items by photo, words and attributes, named by what tells its items apart. Picks are items of
styles a user has rarely or never turned to, under a dial that bounds what novelty may cost.
"""

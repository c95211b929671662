"""Clarified descriptions: what an item is, in plain English, with a source for every claim.

Belongs here: cleaning titles, resolving contradictions between title, fields and photo, writing the text, checking
claims. Does not belong here: measuring colours (`crops.colours`), vectors of the text (`embeddings`).
"""

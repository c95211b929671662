"""Clarified descriptions: what an item is, in plain English, with a source for every claim.

Belongs here: cleaning titles, resolving contradictions between title, fields and photo, writing the text by rules or by
a language model, checking claims. Does not belong here: measuring colours (`crops.colours`), vectors of the text
(`embeddings`), the language model's protocol (`resources.llm`).
"""

"""Vectors of crops and descriptions: the CLIP model that sees both, and the sentence encoder that reads.

Belongs here: loading, training and applying encoders. Does not belong here: where vectors are stored (`storage`), and
models of behaviour (`towers`).
"""

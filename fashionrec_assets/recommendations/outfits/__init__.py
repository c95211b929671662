"""Matching recommendations: what goes with an item, and whole looks around it.

Layer: a part of `recommendations`; imports `explanations.facts` and the rooms to the left of `recommendations`.
"""

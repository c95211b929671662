"""How well matching recommendations complete the baskets of the test days.

Layer: a part of `evaluation`; imports the rooms to its left.
"""

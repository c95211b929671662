"""The shop front that people look at: a static site made of what the other rooms published.

Belongs here: gathering published rows, pages, pictures for them. Does not belong here: computing anything new.
"""

"""The assistant's report: queries whose meaning is known, what came of them, and what that is worth.

Belongs here: drawing the queries, checking the answers, the page. Does not belong here: the assistant.
"""

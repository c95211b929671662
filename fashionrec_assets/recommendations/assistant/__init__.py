"""The assistant: free text to constraints, to items, to an answer that says what it rests on.

Belongs here: reading a query, finding what fits, the conversation. Does not belong here: wording the answers
(`recommendations.explanations`), measuring them (`evaluation.assistant`), Dagster.
"""

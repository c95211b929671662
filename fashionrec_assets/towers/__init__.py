"""The recommender's towers: item features, sequences, networks, losses, the training loop, and the trained model.

Belongs here: whatever turns content and behaviour into item and user vectors. Does not belong here: search over those
vectors (index), lists made of them (recommendations), and figures about them (evaluation).
"""

"""Releases of models, index and recommendations: made, compared with what is served, and switched."""

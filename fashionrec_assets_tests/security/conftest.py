"""How many examples a property is tried on: few and always the same ones, unless FASHIONREC_PROPERTIES=thorough."""

from __future__ import annotations

import os
import tempfile

# Hypothesis writes what it remembers beside the code otherwise.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(tempfile.gettempdir(), "fashionrec_hypothesis"))  # noqa: PTH118

from hypothesis import HealthCheck, settings

_CALM = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile(
    "fast", max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=_CALM
)
settings.register_profile("thorough", max_examples=3_000, deadline=None, database=None, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("FASHIONREC_PROPERTIES", "fast"))

"""Checks of what is learned from answers to explanations."""

from __future__ import annotations

from fashionrec_assets.recommendations.feedback.tables import EXPLANATION_STRATEGIES
from fashionrec_assets.resources.glue import table_checks

CHECKS = [*table_checks(EXPLANATION_STRATEGIES, "explanation_strategies")]

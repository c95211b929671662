"""The description providers by name.

Belongs here: the registry. Does not belong here: how any of them writes.
"""

from __future__ import annotations

from collections.abc import Callable

from fashionrec_assets.descriptions.by_model import LanguageModelProvider
from fashionrec_assets.descriptions.claims import DescriptionProvider
from fashionrec_assets.descriptions.deterministic import DeterministicProvider
from fashionrec_assets.settings import DescriptionSettings

PROVIDERS: dict[str, Callable[[DescriptionSettings], DescriptionProvider]] = {
    "deterministic": DeterministicProvider,
    "openai": LanguageModelProvider,
}


def make_provider(settings: DescriptionSettings) -> DescriptionProvider:
    """The provider that `settings.provider` names; ValueError names the known ones if it is none of them."""
    if settings.provider not in PROVIDERS:
        raise ValueError(
            f"unknown description provider {settings.provider!r}; known are {', '.join(sorted(PROVIDERS))}"
        )
    return PROVIDERS[settings.provider](settings)

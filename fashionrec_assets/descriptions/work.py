"""What describing by rules does to a batch, in the stage's process or in a worker of a cluster.

Belongs here: items in, descriptions out. Does not belong here: reading and writing (`assets.py`), the rules. A language
model is asked from the stage's process only: it waits for an endpoint, which no further worker makes faster.
"""

from __future__ import annotations

from collections.abc import Callable

from fashionrec_assets.descriptions.claims import Description, ItemText
from fashionrec_assets.descriptions.providers import make_provider
from fashionrec_assets.resources.compute import Work


class Describe(Work[list[ItemText], list[Description]]):
    """Descriptions of items, in their order."""

    def start(self) -> Callable[[list[ItemText]], list[Description]]:
        """See `Work.start`."""
        return make_provider(self.shop.settings.descriptions).describe_batch

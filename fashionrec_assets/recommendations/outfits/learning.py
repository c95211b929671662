"""The outfit model of one moment: everything learned from what lies before it.

Belongs here: which days give the counts and which the weights. Does not belong here: either of them (`affinity.py`,
`compatibility.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.recommendations.outfits.affinity import FEATURES, Affinity, content_neighbours
from fashionrec_assets.recommendations.outfits.baskets import DAY, basket_behaviours, baskets_of
from fashionrec_assets.recommendations.outfits.compatibility import (
    Compatibility,
    Examples,
    Progress,
    completions,
    examples,
    fit,
    quiet,
)
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe
from fashionrec_assets.settings import OutfitSettings


@dataclass(frozen=True)
class Learned:
    """The weights and the counts in force at `affinity.as_of`, and the questions the weights were learned from."""

    model: Compatibility
    affinity: Affinity
    asked: tuple[Examples, ...]
    window_days: int

    def without(self, names: tuple[str, ...], settings: OutfitSettings) -> Compatibility:
        """The weights when some of `FEATURES` are left out, learned from the same questions."""
        kept = tuple(name for name in FEATURES if name not in names)
        return fit(self.asked, settings, kept, self.model.weights)


def learn(
    log: EventLog,
    wardrobe: Wardrobe,
    settings: OutfitSettings,
    *,
    cut: int,
    pool: NDArray[np.bool_],
    seed: int,
    neighbours: sparse.csr_array | None = None,
    progress: Progress = quiet,
) -> Learned:
    """The model as of `cut` (UTC seconds, the start of a UTC day); no event from then on is looked at.

    The weights are learned from the baskets of the last days before `cut`, with counts of the days before those; the
    counts in force are those of all days. `pool` bool (n_items,): what a basket's item is told from.
    """
    history = log.between(None, cut)
    near = content_neighbours(wardrobe) if neighbours is None else neighbours
    behaviours = basket_behaviours(history, wardrobe.families, settings.enough_baskets)
    days = (cut - int(history.times.min())) // DAY if len(history) else 0
    window = settings.window_days or max(1, round(days / 5))
    start = cut - window * DAY
    before = Affinity.of(history, wardrobe, behaviours, as_of=start, neighbours=near)
    questions = completions(
        baskets_of(history.between(start, None), behaviours), wardrobe.families, settings.train_baskets, seed
    )
    asked = examples(before, questions, pool, settings, seed, progress)
    affinity = Affinity.of(history, wardrobe, behaviours, as_of=cut, neighbours=near)
    return Learned(replace(fit(asked, settings), behaviours=behaviours), affinity, asked, window)


def known_items(log: EventLog, launched_at: NDArray[np.int64], start: int, end: int) -> NDArray[np.bool_]:
    """bool (n_items,): the items launched before `end` or with an event before `start`, as in the ranking protocol."""
    return (launched_at < end) | (np.bincount(log.between(None, start).items, minlength=log.n_items) > 0)

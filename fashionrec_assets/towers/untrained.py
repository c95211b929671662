"""Models before their first step: vocabularies from a log, parameters from content, or from an earlier model.

Belongs here: initialisation. Does not belong here: the loop, losses, files. torch is imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import BEHAVIOURS, EventLog
from fashionrec_assets.settings import TwoTowerSettings
from fashionrec_assets.towers.artifact import ID_TABLES, TwoTower
from fashionrec_assets.towers.features import (
    AGE_EDGES,
    ItemFeatures,
    UserProfiles,
    category_vocabulary,
    lookup,
    price_edges,
)
from fashionrec_assets.towers.popularity import PopularityHistory, cut_after
from fashionrec_assets.towers.sequences import furthest
from fashionrec_assets.towers.shape import TASKS, TowerShape

if TYPE_CHECKING:
    import torch

    from fashionrec_assets.towers.two_tower import TwoTowerModule

START_NORM = 2.0
"""Length of a modality's vector before training, on the average."""

FIRST_OF_TASK = {"cart_or_fav": BEHAVIOURS.index("fav"), "buy": BEHAVIOURS.index("buy")}
"""The behaviour from which on a user counts as having gone that far down the funnel."""


def untrained(
    log: EventLog,
    catalog: ItemFeatures,
    history: PopularityHistory,
    settings: TwoTowerSettings,
    model_id: str,
    *,
    profiles: UserProfiles | None,
    helpful: bool,
    session_gap: int,
) -> TwoTower:
    """A model for the items of `log`; `catalog` has their features, in its order. torch's seed decides the rest."""
    import torch

    from fashionrec_assets.towers.two_tower import TwoTowerModule

    reads = set(settings.modalities)
    warm = np.bincount(log.items, minlength=log.n_items) > 0
    first_seen = np.full(log.n_items, np.iinfo(np.int64).max)
    np.minimum.at(first_seen, log.items, log.times)
    known = catalog.take(np.flatnonzero(warm))
    modalities = {
        name: m.values.shape[1] for name, m in catalog.modalities.items() if name in reads and m.present[warm].any()
    }
    categories = {name: category_vocabulary(values) for name, values in known.categories.items()}
    categories = {name: values for name, values in categories.items() if len(values) and "categories" in reads}
    codes = {name: len(values) for name, values in categories.items()}
    edges = price_edges(known.price) if "price" in reads and known.price is not None else None
    if edges is not None and len(edges):
        codes["price"] = len(edges) + 1
    else:
        edges = None
    if "age" in reads:
        codes["age"] = len(AGE_EDGES) + 1
    active = np.unique(log.users)
    columns = {} if profiles is None else profiles.columns
    seen_profiles = {name: category_vocabulary(values[active]) for name, values in columns.items()}
    seen_profiles = {name: values for name, values in seen_profiles.items() if len(values)}
    shape = TowerShape(
        dim=settings.dim,
        history=settings.history,
        layers=settings.layers,
        heads=settings.heads,
        dropout=settings.dropout,
        ids=int(warm.sum()),
        modalities=modalities,
        codes=codes,
        reads_ids="id" in reads,
        fusion=settings.fusion,
        session_aware=settings.session_aware,
        query_gap=settings.query_gap,
        popularity_terms=len(settings.popularity_half_lives),
        profiles={name: len(values) for name, values in seen_profiles.items()},
        tasks=_tasks(log),
        helpful=helpful,
    )
    module = TwoTowerModule(shape)
    with torch.no_grad():
        # The log-odds of any one item, lest the first steps of a loss that reads logits so go into saying "no" to all.
        module.offset.fill_(-float(np.log(max(int(warm.sum()), 1))))
    for name in modalities:
        seen = known.modalities[name].values[known.modalities[name].present]
        module.items.get_buffer(f"mean_{name}").copy_(torch.from_numpy(seen.mean(axis=0)))
        module.items.get_buffer(f"scale_{name}").fill_(max(float(seen.std(axis=0).mean()), 1e-6))
        _start_from_principal_axes(module, name, seen)
    return TwoTower(
        module,
        settings,
        model_id,
        known.item_ids,
        history.now[warm],
        first_seen[warm],
        categories,
        cut_after(log),
        seen_profiles,
        edges,
        session_gap,
    )


def _tasks(log: EventLog) -> tuple[str, ...]:
    """The tasks whose answer differs between events of the log; with a single behaviour there are none."""
    reached = furthest(log)
    return tuple(task for task in TASKS if 0 < int((reached >= FIRST_OF_TASK[task]).sum()) < len(log))


def _start_from_principal_axes(module: TwoTowerModule, name: str, seen: NDArray[np.float32]) -> None:
    """Makes the projection of a modality a turned PCA of it: similar content begins with similar vectors.

    Turned at random, because the leading axes of two modalities have nothing to do with each other.
    """
    import torch

    weight = cast("torch.nn.Linear", module.items.project[name]).weight
    centred = (seen - seen.mean(axis=0)).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    kept = axes[:, ::-1][:, : weight.shape[0]]
    scale = START_NORM * np.sqrt(len(seen)) / max(float(np.linalg.norm(centred @ kept)), 1e-9)
    kept = kept * scale * float(module.items.get_buffer(f"scale_{name}"))
    turn = torch.nn.init.orthogonal_(torch.empty(weight.shape[0], kept.shape[1]))
    with torch.no_grad():
        weight.copy_(turn @ torch.from_numpy(kept.T.copy()).float())


def warmed_up(model: TwoTower, start: TwoTower) -> TwoTower:
    """`model` (untrained) with the parameters of `start` wherever they mean the same thing.

    Rows of embeddings are found by item id, category value and profile value; a parameter of another shape keeps its
    first value. Raises ValueError if `start` has seen events after the cut of `model`.
    """
    import torch

    if start.cut > model.cut:
        raise ValueError("a model cannot start from one that was trained on later events")
    rows = dict.fromkeys(ID_TABLES, (start.item_ids, model.item_ids))
    rows |= {f"items.codes.{name}.weight": (start.categories.get(name), v) for name, v in model.categories.items()}
    rows |= {f"users.profile.{name}.weight": (start.profiles.get(name), v) for name, v in model.profiles.items()}
    earlier, state = start.module.state_dict(), model.module.state_dict()
    with torch.no_grad():
        for name, value in state.items():
            found = earlier.get(name)
            if found is None or found.shape[1:] != value.shape[1:] or found.dim() != value.dim():
                continue
            old, new = rows.get(name, (None, None))
            if old is not None and new is not None:
                places = lookup(old, new)
                value[1:][torch.from_numpy(places >= 0)] = found[1:][torch.from_numpy(places[places >= 0])]
                value[0] = found[0]
            elif found.shape == value.shape and name not in rows:
                value.copy_(found)
    return model

"""NCF as a recommender: scores of every item for a user, and the figure that decides when training stops.

Belongs here: the adaptor that evaluation calls, NDCG on the people kept back, and the lift of items without events.
Does not belong here: reports, training. torch is imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.settings import SynthesisSettings
from fashionrec_assets.towers.ncf.cold_items import FilledIds, Filling, fill_ids
from fashionrec_assets.towers.ncf.examples import KeptBack, recent
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.validation import ndcg_of

if TYPE_CHECKING:
    from fashionrec_assets.towers.ncf.cross_modal import TokenTensors

PAIRS_AT_ONCE = 1_000_000
LIFTS = np.concatenate([np.arange(0.0, 1.0, 0.1), np.arange(1.0, 6.5, 0.5)])
"""Added to the logits of items without events, tried on the people kept back."""


class NcfRecommender:
    """Scores people of `log` (the history that is known when recommending), over all of `items`.

    `ids`: what stands for the items' IDs; `lift`: what is added to the logit of an item without training events.
    """

    name: str = "ncf"

    def __init__(
        self,
        model: Ncf,
        log: EventLog,
        items: NcfItems,
        users: NcfUsers,
        states: TokenTensors,
        ids: FilledIds,
        *,
        lift: float = 0.0,
    ) -> None:
        import torch

        self.model, self.log = model, log
        device = model.module.device
        model.module.eval()
        self.offsets = log.offsets()
        self.inputs = model.user_inputs(users, log.user_ids)
        self.views, self.present = model.item_views(
            states, torch.from_numpy(ids.embeddings).to(device), torch.from_numpy(ids.known).to(device)
        )
        own = ids.logits + np.where(ids.learned, 0, lift)
        self.own = torch.from_numpy(own.astype(np.float32)).to(device)

    def score(self, user_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 (len(user_rows), n_items), finite."""
        import torch

        module, parts = self.model.module, []
        size = max(1, PAIRS_AT_ONCE // max(len(self.own), 1))
        with torch.inference_mode():
            for start in range(0, len(user_rows), size):
                rows = np.asarray(user_rows[start : start + size], np.int64)
                history, held = recent(
                    self.log, self.offsets[rows], self.offsets[rows + 1], self.model.settings.history
                )
                some = self.inputs.take(rows, history, held, device=module.device)
                users = module.users(some, self.views, self.present)
                parts.append((module.match_all(users, self.views, self.present) + self.own).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, len(self.own)), np.float32)


def recommender_of(
    model: Ncf,
    log: EventLog,
    items: NcfItems,
    users: NcfUsers,
    settings: SynthesisSettings,
    *,
    filling: Filling | None = None,
    states: TokenTensors | None = None,
    lift: float = 0.0,
    seed: int,
) -> NcfRecommender:
    """The model for people of `log`, with items without events filled in as `filling` says (default: its settings)."""
    states = states or model.reducers(items)
    ids = fill_ids(model, items, filling or model.settings.cold_items, settings, seed=seed)
    return NcfRecommender(model, log, items, users, states, ids, lift=lift)


def kept_back_recommender(
    model: Ncf,
    kept: KeptBack,
    items: NcfItems,
    users: NcfUsers,
    states: TokenTensors,
    history: PopularityHistory,
    *,
    filling: Filling = "unknown",
    settings: SynthesisSettings | None = None,
    as_if_new: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> NcfRecommender:
    """The model for the people kept back, as of when their days were taken away: their history, and popularity, then.

    `history` is the popularity the model was trained with.
    """
    log = kept.task.history
    warm = np.isin(log.item_ids, model.item_ids)
    then = history.values[history.periods(np.asarray([kept.task.start]))[0]][warm]
    ids = fill_ids(
        model, items, filling, settings or SynthesisSettings(), popularity=then, as_if_new=as_if_new, seed=seed
    )
    return NcfRecommender(model, log, items, users, states, ids)


def kept_back_ndcg(
    model: Ncf,
    kept: KeptBack,
    items: NcfItems,
    users: NcfUsers,
    states: TokenTensors,
    history: PopularityHistory,
) -> float:
    """Mean NDCG@20 of the people kept back; 0 if there is nobody."""
    recommender = kept_back_recommender(model, kept, items, users, states, history)
    task = kept.task
    return float(ndcg_of(recommender.score, task.history, pairs_of(task), task.pool)[0])


def chosen_lift(
    model: Ncf,
    kept: KeptBack,
    items: NcfItems,
    users: NcfUsers,
    states: TokenTensors,
    settings: SynthesisSettings,
    *,
    filling: Filling | None = None,
    seed: int,
) -> float:
    """The largest of `LIFTS` that leaves the people kept back 1 - `new_item_price` of the NDCG of warm targets.

    What was new to them is treated as new: without its learned ID, and the filling is not taught with it.
    """
    task = kept.task
    history = PopularityHistory.of(kept.training, model.settings.popularity_half_lives)
    new = ~task.warm
    recommender = kept_back_recommender(
        model,
        kept,
        items,
        users,
        states,
        history,
        filling=filling or model.settings.cold_items,
        settings=settings,
        as_if_new=new,
        seed=seed,
    )
    pairs = pairs_of(task)
    warm = pairs[task.warm[pairs % task.n_items]]
    if not len(warm) or not (new & task.pool).any():
        return 0.0
    found = ndcg_of(recommender.score, task.history, warm, task.pool, lifts=LIFTS, lifted=new)
    too_far = np.flatnonzero(found < (1 - model.settings.new_item_price) * found[0])
    return float(LIFTS[(int(too_far[0]) if len(too_far) else len(LIFTS)) - 1])


def pairs_of(task: RankingTask) -> NDArray[np.int64]:
    """The targets as user times n_items plus item, sorted."""
    return task.users[task.target_rows].astype(np.int64) * task.n_items + task.target_items

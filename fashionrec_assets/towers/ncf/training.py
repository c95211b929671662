"""How NCF is trained: one loop, and the three steps of NeuMF's pretraining.

Belongs here: the loss of a batch, the loop, when it stops. Does not belong here: networks, examples, vocabularies of
the trained model (`model.py`). torch is imported inside functions.

A model sees only the log it is given, less the last days of the people who are kept back: they choose the epoch, and
calibrate (`KeptBack`).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.catalog.event_log import EventLog
from fashionrec_assets.divergence import Losses, TrainingError
from fashionrec_assets.resources.models import best_device, computes_on_gpu, fast_products, moved
from fashionrec_assets.settings import NcfSettings
from fashionrec_assets.towers.ncf.examples import Batch, Examples, KeptBack, WeightedRows
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers, Reducers
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets.towers.ncf.recommender import kept_back_ndcg
from fashionrec_assets.towers.negatives import NegativeSampler
from fashionrec_assets.towers.popularity import PopularityHistory
from fashionrec_assets.towers.training import deterministic

if TYPE_CHECKING:
    from torch import Tensor

    from fashionrec_assets.towers.ncf.cross_modal import Fused, TokenTensors
    from fashionrec_assets.towers.ncf.module import NcfModule, UserTensors

AVERAGE = 0.99
"""Decay per step of the running average of the weights, which is what is measured and kept; less in the first steps,
which know little."""


@dataclass(frozen=True)
class Epoch:
    """1-based `epoch` of training with `scorer`, mean `loss`, mean `alignment` loss, `ndcg` on the people kept back."""

    scorer: str
    epoch: int
    loss: float
    alignment: float
    ndcg: float
    seconds: float


@dataclass(frozen=True)
class TrainedNcf:
    """A model, its curve, and wall `seconds`, reading and reducing of tokens left out."""

    model: Ncf
    curve: list[Epoch]
    seconds: float

    @property
    def ndcg(self) -> float:
        """The best NDCG@20 on the people kept back."""
        return max((epoch.ndcg for epoch in self.curve), default=0.0)


def _silent(done: int, total: int) -> None:
    return None


def train_ncf(
    kept: KeptBack,
    items: NcfItems,
    users: NcfUsers,
    settings: NcfSettings,
    *,
    seed: int,
    synthetic: WeightedRows | None = None,
    reduced: tuple[Reducers, TokenTensors] | None = None,
    epochs: int | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> TrainedNcf:
    """Trains on `kept.training` and on `synthetic` rows, deterministically on a processor by `seed`.

    `items` must be those of the log, `users` speak of its rows. `reduced`: token states as `reduce_tokens` makes them,
    for callers that train several models. Training stops after `settings.patience` epochs without a better NDCG@20 on
    the people kept back, or after `epochs` (default `settings.epochs`); the best epoch's weights are kept. With
    `settings.pretrain`, GMF is trained first, then an MLP on its vectors, and NeuMF from both (He et al. 2017, section
    3.4.1, where both have vectors of their own; here content is shared). Raises TrainingError.
    """
    import torch

    if len(kept.training) == 0:
        raise TrainingError("no events before the cut: nothing to train on; check the split days against the log")
    started = time.perf_counter()
    made = reduced or reduce_tokens(kept.training, items, settings)
    device = best_device()
    forked = torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else [])
    with forked, deterministic(), fast_products(device):
        torch.manual_seed(seed)
        curve: list[Epoch] = []
        three = settings.pretrain and settings.scorer == "neumf"
        limit = epochs or settings.epochs

        def fit(scorer: str, prepare: Callable[[NcfModule], None] = lambda module: None) -> Ncf:
            knobs = settings.model_copy(update={"scorer": scorer})
            run = _Run(kept, items, users, knobs, synthetic, made, seed, prepare)
            return run.fit(limit, curve, lambda done: progress(done, limit * (3 if three else 1)))

        if not three:
            model = fit(settings.scorer)
        else:
            first = fit("gmf").module
            second = fit("mlp", lambda module: _go_on(module, first, only_scorer=True)).module
            model = fit("neumf", lambda module: _join(module, first, second))
        model.module.to("cpu").eval()
        return TrainedNcf(model, curve, time.perf_counter() - started)


def _decay(steps: int) -> float:
    """Of the running average after so many steps: it starts as a plain one (Kingma and Ba 2015, section 7.2: no bias to
    the start)."""
    return min(AVERAGE, (1 + steps) / (10 + steps))


def _go_on(module: NcfModule, earlier: NcfModule, *, only_scorer: bool = False) -> None:
    """The vectors of `earlier`, which then stay as they are if only the scorer is trained."""
    state = {name: value for name, value in earlier.state_dict().items() if not name.startswith("scorer.")}
    module.load_state_dict(state, strict=False)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(not only_scorer or name.startswith("scorer."))


def _join(module: NcfModule, gmf: NcfModule, mlp: NcfModule) -> None:
    from fashionrec_assets.towers.ncf.scorers import Gmf, Mlp, NeuMf

    _go_on(module, gmf)
    assert isinstance(module.scorer, NeuMf)
    assert isinstance(gmf.scorer, Gmf)
    assert isinstance(mlp.scorer, Mlp)
    module.scorer.start_from(gmf.scorer, mlp.scorer)


def reduce_tokens(log: EventLog, items: NcfItems, settings: NcfSettings) -> tuple[Reducers, TokenTensors]:
    """Reducers fitted on the items with events in `log`, and the states of all items."""
    warm = np.bincount(log.items, minlength=log.n_items) > 0
    reducers = Reducers.of(items, warm, settings.token_dim)
    return reducers, reducers(items)


class _Run:
    """A training under way."""

    def __init__(
        self,
        kept: KeptBack,
        items: NcfItems,
        users: NcfUsers,
        settings: NcfSettings,
        synthetic: WeightedRows | None,
        reduced: tuple[Reducers, TokenTensors],
        seed: int,
        prepare: Callable[[NcfModule], None],
    ) -> None:
        import torch

        from fashionrec_assets.towers.descent import Descent

        log, (reducers, self.states) = kept.training, reduced
        self.kept, self.settings, self.log, self.items, self.users = kept, settings, log, items, users
        self.rng = np.random.default_rng(seed)
        self.examples = Examples(log, synthetic, history=settings.history)
        counts = np.bincount(log.items, minlength=log.n_items)
        self.sampler = NegativeSampler(counts, count=settings.negatives, uniform_share=settings.uniform_negatives)
        self.history = PopularityHistory.of(log, settings.popularity_half_lives)
        self.model = Ncf.untrained(log, items, users, settings, reducers, self.history)
        prepare(self.model.module)
        self.module = self.model.module.to(best_device())
        self.inputs = self.model.user_inputs(users, log.user_ids)
        self.ids = self.model.id_rows(log.item_ids)
        self.states = self.states.to(self.module.device)
        self.known = torch.from_numpy(self.history.values).to(self.module.device)
        self.descent = Descent(
            self.module, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, decay=_decay
        )
        self.averaged = replace(self.model, module=cast("NcfModule", self.descent.average))

    def fit(self, limit: int, curve: list[Epoch], progress: Callable[[int], None]) -> Ncf:
        """Epochs until people kept back are served no better; their records are added to `curve`."""
        best, since = -math.inf, 0
        best_state = copy.deepcopy(self.averaged.module.state_dict())
        for epoch in range(1, limit + 1):
            curve.append(self._one_epoch(epoch))
            progress(len(curve))
            since += 1
            if curve[-1].ndcg > best:
                best, since = curve[-1].ndcg, 0
                best_state = copy.deepcopy(self.averaged.module.state_dict())
            if since >= self.settings.patience:
                break
        self.averaged.module.load_state_dict(best_state)
        return self.averaged

    def _one_epoch(self, epoch: int) -> Epoch:
        began, module = time.perf_counter(), self.module
        module.eval()
        # What the items of a history look like: as they looked when they were last computed. To compute all of them
        # anew in each step would cost many times the step itself.
        self.views, self.present = self.model.learned_views(self.states, self.ids)
        module.train()
        losses = Losses(
            model=f"ncf_model ({self.settings.scorer})",
            epoch=epoch,
            remedy="lower ncf.learning_rate, and check that token states are finite",
            on_gpu=computes_on_gpu(module.device.type),
        )
        for batch in self.examples.batches(self.settings.batch_size, self.rng):
            ranking, alignment = self._loss(batch)
            total = ranking + self.settings.alignment * alignment
            losses.add(total, {"ranking": ranking, "alignment": alignment})
            self.descent.step(total)
        self.descent.settle()
        ranking, alignment = losses.mean("ranking"), losses.mean("alignment")
        ndcg = kept_back_ndcg(self.averaged, self.kept, self.items, self.users, self.states, self.history)
        return Epoch(self.settings.scorer, epoch, ranking, alignment, ndcg, time.perf_counter() - began)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The ranking loss, and the alignment loss (zero where it is not asked for)."""
        import torch

        module, settings = self.module, self.settings
        # Items of synthetic rows are no draws of the log's popularity, by which the sampler weighs its targets.
        candidates = self.sampler.draw(batch.items[batch.real], self.rng)
        involved, places = np.unique(np.concatenate([batch.items, candidates.items]), return_inverse=True)
        at, of = (moved(torch.from_numpy(part), module.device) for part in np.split(places, [len(batch.items)]))
        rows = moved(torch.from_numpy(involved), module.device)
        n = len(involved)
        hidden = moved(torch.from_numpy(self.rng.random(n) < settings.id_dropout), module.device)
        ids = torch.where(hidden, 0, self.ids[rows])
        views, present, fused, bias = self._items(rows, ids)
        with torch.no_grad():
            seen = ids > 0
            self.views[rows[seen]], self.present[rows[seen]] = views[seen].detach(), present[seen]
        users = module.users(self._users(batch), self.views, self.present)
        period = self.history.periods(batch.times)
        terms = self.known[moved(torch.from_numpy(period), module.device)[:, None], rows[None]] @ module.popularity
        own = bias[None] + torch.where(ids > 0, terms, 0)
        positive = module.match(users, views[at], present[at]) + own[torch.arange(len(at)), at]
        correction = moved(torch.from_numpy(candidates.log_weight), module.device)
        negative = module.match_all(users, views[of], present[of]) + own[:, of] + correction
        taken = moved(torch.from_numpy(self._taken(batch, candidates.items)), module.device)
        # Who has every candidate can be taught nothing by them.
        nothing = taken.all(dim=1)
        others = torch.logsumexp(negative.masked_fill(taken & ~nothing[:, None], -torch.inf), dim=1)
        labels, weights = (moved(torch.from_numpy(part), module.device) for part in (batch.labels, batch.weights))
        weights = weights * ~nothing
        ranking = soft_label_softmax(positive, others, labels, weights)
        if fused is None or not settings.alignment:
            return ranking, torch.zeros((), device=module.device)
        from fashionrec_assets.towers.ncf.cross_modal import alignment_loss

        both = self.states.text_mask[rows].any(dim=1) & self.states.image_mask[rows].any(dim=1)
        return ranking, alignment_loss(fused.text, fused.image, both)

    def _items(self, rows: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Fused | None, Tensor]:
        """Views, presence, fused content and own logits of the items of `rows`, with modality dropout."""
        import torch

        module, share = self.module, self.settings.modality_dropout
        states = None
        if module.content is not None:
            states = self.states.take(rows)
            if share and len(self.items.views) > 1:
                draw = moved(torch.from_numpy(self.rng.random(len(rows)) / share), module.device)
                states = states.hide(draw < 0.5, (draw >= 0.5) & (draw < 1))
        table = module.item_ids(ids)
        views, present, fused = module.items(states, table[:, :-1], ids > 0)
        return views, present, fused, table[:, -1]

    def _users(self, batch: Batch) -> UserTensors:
        hidden = self.rng.random(len(batch.users)) < self.settings.id_dropout
        return self.inputs.take(batch.users, batch.history, batch.held, hidden=hidden, device=self.module.device)

    def _taken(self, batch: Batch, candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool (b, c): candidates that the user has anywhere in the log, or that are the example's own item."""
        column = np.full(self.log.n_items, -1)
        column[candidates] = np.arange(len(candidates))
        taken = np.zeros((len(batch.users), len(candidates) + 1), bool)
        firsts, ends = self.examples.offsets[batch.users], self.examples.offsets[batch.users + 1]
        counts = ends - firsts
        owner = np.repeat(np.arange(len(batch.users)), counts)
        events = (
            np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(firsts, counts)
        )
        taken[owner, column[self.log.items[events]]] = True
        taken[np.arange(len(batch.users)), column[batch.items]] = True
        return taken[:, :-1]


def soft_label_softmax(positive: Tensor, others: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the binary cross-entropy between `labels` (b,) in [0, 1] and the probability of the row's item.

    That probability is the sampled softmax's: `positive` (b,) against `others` (b,), the log of the weighted sum over
    candidates. With labels of one it is the sampled softmax; a pseudo-label below one pushes the item down again.
    """
    from torch.nn import functional

    margin = positive - others
    losses = labels * functional.softplus(-margin) + (1 - labels) * functional.softplus(margin)
    return (weights * losses).sum() / weights.sum().clamp(min=1e-9)

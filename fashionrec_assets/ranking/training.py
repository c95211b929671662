"""Training the ranker: networks that learn whole lists, each without a fold of the users that it then scores.

Belongs here: the folds, the loss and its loop, how far new items are lifted, what the trained ranker rests on. Does not
belong here: the ranker itself (`ranker.py`), the lists and where they come from, windows of time. torch is imported
inside functions.

The loss is the cross-entropy between what a user took and the softmax over the user's candidates (ListNet's top-one
form, Cao et al. 2007; InfoNCE with the candidates as negatives). Users are dealt into folds; each network is trained
without one fold and scores it, so that calibration, and how far new items are lifted, are chosen on scores of users
the network never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.divergence import finite
from fashionrec_assets.ranking.calibration import calibrate
from fashionrec_assets.ranking.features import NAMES
from fashionrec_assets.ranking.lists import Lists, ndcg
from fashionrec_assets.ranking.ranker import Ranker, apply, network_of
from fashionrec_assets.ranking.standardising import log_scale_of, logs_of, moments, standardised
from fashionrec_assets.settings import RankingSettings

if TYPE_CHECKING:
    import torch

_BONUSES = np.arange(0, 4.01, 0.25)
_WARM_KEPT = 0.9
"""Share of the NDCG of items with events that a lift of new items must leave: a ranker that knows little would
otherwise pay nothing for showing nothing else."""


class RankerError(RuntimeError):
    """There is nothing to train a ranker on; the message says what to do."""


def train_ranker(
    lists: Lists,
    settings: RankingSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Ranker:
    """Networks trained on `lists`, calibrated and tuned on the folds each did not see; deterministic by `seed`.

    Raises RankerError where no user took a candidate.
    """
    import torch

    users = len(lists.targets)
    useful = np.bincount(lists.owner[lists.taken], minlength=users) > 0
    if useful.sum() < 2:
        raise RankerError(
            "hardly anybody took a new item in the window that the ranker learns from: widen it "
            "(setting ranking.window_days) or count more behaviours (setting evaluation.target_behaviours)"
        )
    rng = np.random.default_rng(seed)
    folds = min(settings.folds, int(useful.sum()))
    people, person = np.unique(lists.people, return_inverse=True)
    fold = (rng.permutation(len(people)) % folds)[person]
    log_scale = log_scale_of(lists.values)
    logs = logs_of(lists.values, log_scale)
    mean, spread = moments(logs)
    # What hardly varies here would be blown up wherever it does.
    spread = np.where(spread < 1e-4, np.float32(1e9), spread)
    inputs = standardised(logs, mean, spread)
    networks: list[torch.nn.Module] = []
    held_out = np.zeros(len(lists.owner), np.float32)
    with torch.random.fork_rng(devices=[]):
        for number in range(folds):
            torch.manual_seed(seed * 1_000 + number)
            trained_on = useful & ((fold != number) if folds > 1 else np.ones(users, bool))
            if not trained_on.any():
                trained_on = useful
            networks.append(_train(lists, inputs, trained_on, settings, rng))
            mine = lists.of_users(fold == number)
            held_out[mine] = apply(networks[-1], inputs[mine])
            progress(number + 1, folds)
    bonus, ndcg = _new_bonus(lists, held_out, settings)
    calibration = calibrate(lists, held_out)
    return Ranker(tuple(networks), log_scale, mean, spread, bonus, calibration, settings, ndcg)


def importance(ranker: Ranker, lists: Lists, *, seed: int, users: int = 300) -> list[dict[str, object]]:
    """The features whose values the ranking rests on most: NDCG@20 lost when a feature's values are shuffled among the
    pairs of up to `users` users (permutation importance, Breiman 2001). Those that cost nothing are left out."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(lists.targets), bool)
    chosen[rng.permutation(len(chosen))[:users]] = True
    mine = lists.of_users(chosen)
    part = Lists(
        lists.people[np.unique(lists.owner[mine])],
        np.unique(lists.owner[mine], return_inverse=True)[1],
        lists.values[mine],
        lists.taken[mine],
        lists.bits[mine],
        lists.warm[mine],
        lists.targets[np.unique(lists.owner[mine])],
        lists.behaviours,
    )
    inputs, lift = ranker.inputs(part.values), ranker.lift(part.values)
    whole = ndcg(part, ranker.of_inputs(inputs) + lift)
    lost: dict[str, float] = {}
    for at, name in enumerate(NAMES):
        order, own = rng.permutation(len(inputs)), inputs[:, at].copy()
        inputs[:, at] = own[order]
        lifted = lift[order] if name == "warm" else lift
        lost[name] = whole - ndcg(part, ranker.of_inputs(inputs) + lifted)
        inputs[:, at] = own
    ordered = sorted(((value, name) for name, value in lost.items() if value > 0), reverse=True)
    return [{"feature": name, "NDCG@20 lost": round(value, 5)} for value, name in ordered]


def _train(
    lists: Lists,
    inputs: NDArray[np.float32],
    trained_on: NDArray[np.bool_],
    settings: RankingSettings,
    rng: np.random.Generator,
) -> torch.nn.Module:
    import torch

    network = network_of(inputs.shape[1], settings)
    users = np.flatnonzero(trained_on)
    bounds = np.searchsorted(lists.owner, np.arange(len(lists.targets) + 1))
    rate = np.minimum(1, settings.train_candidates / np.maximum(np.diff(bounds), 1))[lists.owner]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    steps = settings.epochs * -(-len(users) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=max(steps, 2))
    rows = torch.from_numpy(inputs)
    taken = torch.from_numpy(lists.taken.astype(np.float32))
    stands_for = torch.from_numpy(np.where(lists.taken, 0, -np.log(rate)).astype(np.float32))
    for epoch in range(settings.epochs):
        order, loss = rng.permutation(users), torch.zeros(())
        pairs = np.flatnonzero(lists.taken | (rng.random(len(rate)) < rate))
        kept = np.searchsorted(pairs, bounds)
        for at in range(0, len(order), settings.batch_size):
            batch = order[at : at + settings.batch_size]
            sizes = kept[batch + 1] - kept[batch]
            own = np.arange(sizes.sum()) + np.repeat(kept[batch] - (np.cumsum(sizes) - sizes), sizes)
            places = torch.from_numpy(pairs[own])
            member = torch.from_numpy(np.repeat(np.arange(len(batch)), sizes))
            scores = _trained(network, rows[places], settings.dropout, rng)
            loss = _listwise(scores, stands_for[places], taken[places], member, len(batch))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        # A weight that is not a number stays so: to look once an epoch is to look at every step.
        finite(
            float(loss.detach()),
            model="late_fusion_model",
            epoch=epoch + 1,
            step=-(-len(order) // settings.batch_size),
            remedy="lower ranking.learning_rate",
        )
    return network.eval()


def _trained(
    network: torch.nn.Sequential, inputs: torch.Tensor, dropout: float, rng: np.random.Generator
) -> torch.Tensor:
    """The scores (p,) of `inputs`, some of the hidden units of each left out."""
    import torch

    first, bend, _, last = network
    hidden = bend(first(inputs))
    if dropout:
        # A byte for each unit: torch draws a number for each, which took as long as all else of a step together.
        drawn = np.frombuffer(rng.bytes(hidden.numel()), np.uint8).reshape(hidden.shape)
        out = round(256 * dropout)
        hidden = hidden * torch.from_numpy((drawn >= out).astype(np.float32) * np.float32(256 / (256 - out)))
    return last(hidden).squeeze(1)


def _listwise(
    scores: torch.Tensor, log_weight: torch.Tensor, taken: torch.Tensor, member: torch.Tensor, users: int
) -> torch.Tensor:
    """Mean over `users` of the cross-entropy between what each took, in equal parts, and the softmax of their list.

    `log_weight` (p,): log of how many candidates of the list each pair stands for, where the others were left out.
    """
    import torch

    weighted = scores + log_weight
    top = torch.full((users,), -torch.inf).scatter_reduce(0, member, weighted.detach(), "amax")
    total = torch.zeros(users).index_add(0, member, torch.exp(weighted - top[member]))
    log_share = scores - top[member] - torch.log(total)[member]
    count = torch.zeros(users).index_add(0, member, taken)
    return -(log_share * taken / count[member].clamp(min=1)).sum() / users


def _new_bonus(lists: Lists, scores: NDArray[np.float32], settings: RankingSettings) -> tuple[float, float]:
    """The largest lift of new items that costs at most the share `new_item_price` of the best NDCG, and the NDCG."""
    if lists.warm.all():
        return 0.0, ndcg(lists, scores)
    lifted = [scores + np.where(lists.warm, 0, bonus).astype(np.float32) for bonus in _BONUSES]
    warm = np.asarray([ndcg(lists, each, counted=lists.warm) for each in lifted])
    too_far = np.flatnonzero(warm < _WARM_KEPT * warm[0])
    found = np.asarray([ndcg(lists, each) for each in lifted[: int(too_far[0]) if len(too_far) else None]])
    # Only up to the first lift past the best that costs too much: a later one may look cheap by chance.
    best = int(found.argmax())
    too_dear = np.flatnonzero(found[best:] < (1 - settings.new_item_price) * found[best])
    chosen = (best + int(too_dear[0]) if len(too_dear) else len(found)) - 1
    return float(_BONUSES[chosen]), float(found[chosen])

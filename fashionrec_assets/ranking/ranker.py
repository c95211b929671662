"""The learned ranker: a few small networks over the features of a pair, trained on whole lists.

Belongs here: the networks, their listwise training, scores, calibrated probabilities, files. Does not belong here:
features, candidates, windows of time. torch is imported inside functions.

The loss is the cross-entropy between what a user took and the softmax over the user's candidates (ListNet's top-one
form, Cao et al. 2007; InfoNCE with the candidates as negatives). Users are dealt into folds; each network is trained
without one fold and scores it, so that calibration, and how far new items are lifted, are chosen on scores of users
the network never saw. The served score is the networks' mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.divergence import finite
from fashionrec_assets.ranking.features import COUNTS, NAMES
from fashionrec_assets.settings import RankingSettings

if TYPE_CHECKING:
    import torch

FORMAT = "late-fusion-1"
WEIGHTS, CONFIG = "model.safetensors", "config.json"
CLIP = 5.0
"""Standard deviations beyond which a feature says no more: a day with a sale must not carry the score away."""

ANY = "any"
_ROWS = 262_144
_CACHED = 8_192
"""Rows whose hidden units stay in the processor's cache: more at a time take twice as long."""

_BONUSES = np.arange(0, 4.01, 0.25)
_WARM_KEPT = 0.9
"""Share of the NDCG of items with events that a lift of new items must leave: a ranker that knows little would
otherwise pay nothing for showing nothing else."""


class RankerError(RuntimeError):
    """There is nothing to train a ranker on; the message says what to do."""


@dataclass(frozen=True)
class Lists:
    """Candidates of u users with what came of them: p pairs, sorted by `owner` int64 (p,), a position among the users.

    `people` int64 (u,): who each is; one person may stand for several users, at different moments.

    `values` float32 (p, features), `taken` bool (p,), `bits` uint8 (p,): the behaviours shown, as bits; `warm` bool
    (p,); `targets` int64 (u,): how many items each user took, candidates or not. `behaviours`: name -> bit.
    """

    people: NDArray[np.int64]
    owner: NDArray[np.int64]
    values: NDArray[np.float32]
    taken: NDArray[np.bool_]
    bits: NDArray[np.uint8]
    warm: NDArray[np.bool_]
    targets: NDArray[np.int64]
    behaviours: Mapping[str, int]

    def of_users(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool (p,): the pairs of `chosen` (u,) users."""
        return chosen[self.owner]


def joined(parts: Sequence[Lists]) -> Lists:
    """The lists of several windows as one: a person who is in two of them is two users."""
    starts = np.cumsum([0, *(len(part.targets) for part in parts)])
    return Lists(
        people=np.concatenate([part.people for part in parts]),
        owner=np.concatenate([part.owner + start for part, start in zip(parts, starts[:-1], strict=True)]),
        values=np.concatenate([part.values for part in parts]),
        taken=np.concatenate([part.taken for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
        warm=np.concatenate([part.warm for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        behaviours={name: bit for part in parts for name, bit in part.behaviours.items()},
    )


@dataclass(frozen=True)
class Ranker:
    """`networks` over standardised features; `new_bonus` is added to the score of items without events.

    `log_scale` float32 (f,): 0, or the number a count is divided by before its logarithm. `calibration`: behaviour ->
    (intercept, weight of the log share of the list, weight of the user's log activity).
    """

    networks: tuple[torch.nn.Module, ...]
    log_scale: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    new_bonus: float
    calibration: Mapping[str, tuple[float, float, float]]
    settings: RankingSettings
    ndcg: float
    """NDCG@20 on users the networks did not see, within the window of training."""

    def scores(self, values: NDArray[np.float32], *, lift: bool = True) -> NDArray[np.float32]:
        """float32 (p,): higher is better; comparable among the candidates of one user."""
        raw = self.of_inputs(self.inputs(values))
        return raw + self.lift(values) if lift else raw

    def inputs(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p, features): what the networks read of features, each for itself."""
        return _standard(_logs(values, self.log_scale), self.mean, self.spread)

    def of_inputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p,): `scores` without lifts, of what `inputs` gave."""
        raw = np.zeros(len(inputs), np.float32)
        for network in self.networks:
            raw += _apply(network, inputs) / len(self.networks)
        return raw

    def lift(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (p,): what is added to the scores of items without events."""
        return np.where(values[:, NAMES.index("warm")] > 0, 0, self.new_bonus).astype(np.float32)

    def probabilities(self, owner: NDArray[np.int64], values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Behaviour -> float32 (p,): the calibrated probability that it follows within the window the ranker was
        trained on, for a user who comes back and takes something new then. `any`: that any of them does."""
        return self.calibrated(owner, self.scores(values, lift=False), values)

    def calibrated(
        self, owner: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """`probabilities` from `scores` (p,) that are not lifted."""
        inputs = _calibration_inputs(owner, scores, values)
        found = {
            name: (1 / (1 + np.exp(-(inputs @ np.asarray(weights[1:]) + weights[0])))).astype(np.float32)
            for name, weights in self.calibration.items()
        }
        # Each is fitted alone, and in the tails one behaviour could come out likelier than any at all.
        return {name: np.minimum(chance, found.get(ANY, chance)) for name, chance in found.items()}

    def save(self, folder: Path) -> None:
        """Writes `model.safetensors` and `config.json` into `folder` (made if absent)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{at}.{name}": value.contiguous()
            for at, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        save_file(tensors, folder / WEIGHTS)
        config: dict[str, Any] = {
            "format": FORMAT,
            "features": NAMES,
            "networks": len(self.networks),
            "settings": self.settings.model_dump(mode="json"),
            "log_scale": self.log_scale.tolist(),
            "mean": self.mean.tolist(),
            "spread": self.spread.tolist(),
            "new_bonus": self.new_bonus,
            "calibration": dict(self.calibration),
            "ndcg": self.ndcg,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """The ranker that `save` wrote. Raises FileNotFoundError, or ValueError for other features than today's."""
        from safetensors.torch import load_file

        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["format"] != FORMAT or tuple(config["features"]) != NAMES:
            raise ValueError(f"{folder} holds a ranker of another version; materialize late_fusion_model again")
        settings = RankingSettings(**config["settings"])
        tensors = load_file(folder / WEIGHTS)
        networks: list[torch.nn.Module] = []
        for at in range(config["networks"]):
            network = network_of(len(NAMES), settings)
            prefix = f"{at}."
            state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            network.load_state_dict(state)
            networks.append(network.eval())
        log_scale, mean, spread = (np.asarray(config[name], np.float32) for name in ("log_scale", "mean", "spread"))
        calibration = {name: (float(a), float(b), float(c)) for name, (a, b, c) in config["calibration"].items()}
        return cls(tuple(networks), log_scale, mean, spread, config["new_bonus"], calibration, settings, config["ndcg"])


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
    log_scale = _log_scale(lists.values)
    logs = _logs(lists.values, log_scale)
    mean, spread = _moments(logs)
    # What hardly varies here would be blown up wherever it does.
    spread = np.where(spread < 1e-4, np.float32(1e9), spread)
    inputs = _standard(logs, mean, spread)
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
            held_out[mine] = _apply(networks[-1], inputs[mine])
            progress(number + 1, folds)
    bonus, ndcg = _new_bonus(lists, held_out, settings)
    calibration = _calibrate(lists, held_out)
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
    whole = _ndcg(part, ranker.of_inputs(inputs) + lift)
    lost: dict[str, float] = {}
    for at, name in enumerate(NAMES):
        order, own = rng.permutation(len(inputs)), inputs[:, at].copy()
        inputs[:, at] = own[order]
        lifted = lift[order] if name == "warm" else lift
        lost[name] = whole - _ndcg(part, ranker.of_inputs(inputs) + lifted)
        inputs[:, at] = own
    ordered = sorted(((value, name) for name, value in lost.items() if value > 0), reverse=True)
    return [{"feature": name, "NDCG@20 lost": round(value, 5)} for value, name in ordered]


def network_of(width: int, settings: RankingSettings) -> torch.nn.Sequential:
    """One network of a ranker over `width` features, before its first step; torch's seed decides its weights."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(width, settings.hidden), nn.SiLU(), nn.Dropout(settings.dropout), nn.Linear(settings.hidden, 1)
    )


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


def _apply(network: torch.nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(inputs[at : at + _CACHED])).squeeze(1).numpy()
            for at in range(0, len(inputs), _CACHED)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _log_scale(values: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = np.zeros(len(NAMES), np.float32)
    for name in COUNTS:
        column = values[:, NAMES.index(name)]
        positive = column[column > 0]
        scale[NAMES.index(name)] = np.median(positive) if len(positive) else 1.0
    return scale


def _logs(values: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    logs = values.copy()
    # Side by side, as counts are in the features: a list of columns would be gathered and scattered.
    for start, stop in _runs(scale > 0):
        logs[:, start:stop] = np.log1p(np.maximum(values[:, start:stop], 0) / scale[start:stop])
    return logs


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, stop) of each run of True."""
    turns = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(stop)) for start, stop in turns.reshape(-1, 2)]


def _moments(logs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every column."""
    # In float32 the sum over a million pairs drifts so far that what is constant would seem to vary. Some rows at a
    # time, as in float64 the whole would take twice the memory again.
    step = 4 * _CACHED
    parts = [logs[at : at + step] for at in range(0, len(logs), step)]
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / len(logs)
    squares = np.sum([((part - mean) ** 2).sum(axis=0) for part in parts], axis=0)
    return mean.astype(np.float32), np.sqrt(squares / len(logs)).astype(np.float32)


def _standard(logs: NDArray[np.float32], mean: NDArray[np.float32], spread: NDArray[np.float32]) -> NDArray[np.float32]:
    inputs = logs - mean
    inputs /= spread
    return np.clip(inputs, -CLIP, CLIP, out=inputs)


def _ndcg(lists: Lists, scores: NDArray[np.float32], k: int = 20, counted: NDArray[np.bool_] | None = None) -> float:
    """Mean NDCG@k of the lists' users, whose targets may be no candidate; `counted` (p,): hits that count. Of equal
    scores the pair that stands first is the better."""
    hits = np.flatnonzero(lists.taken if counted is None else lists.taken & counted)
    owner = lists.owner[hits]
    # Only what was taken needs its place in the list, which is cheaper counted than sorted.
    starts = np.searchsorted(lists.owner, owner)
    sizes = np.searchsorted(lists.owner, owner, side="right") - starts
    place = np.zeros(len(hits), np.int64)
    for part in _together(sizes, _ROWS):
        size = sizes[part]
        bounds = np.cumsum(size) - size
        rival = np.arange(size.sum()) + np.repeat(starts[part] - bounds, size)
        hit = np.repeat(hits[part], size)
        above = (scores[rival] > scores[hit]) | ((scores[rival] == scores[hit]) & (rival < hit))
        place[part] = np.add.reduceat(above, bounds, dtype=np.int64)
    gains = np.where(place < k, 1 / np.log2(place + 2.0), 0)
    ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(k) + 2.0))])
    mine = np.bincount(owner, weights=gains, minlength=len(lists.targets))
    asked = lists.targets > 0
    return float((mine[asked] / ideal[np.minimum(lists.targets[asked], k)]).mean())


def _together(sizes: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Parts of `sizes` whose sums are at most `most`, or of one element."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def _new_bonus(lists: Lists, scores: NDArray[np.float32], settings: RankingSettings) -> tuple[float, float]:
    """The largest lift of new items that costs at most the share `new_item_price` of the best NDCG, and the NDCG."""
    if lists.warm.all():
        return 0.0, _ndcg(lists, scores)
    lifted = [scores + np.where(lists.warm, 0, bonus).astype(np.float32) for bonus in _BONUSES]
    warm = np.asarray([_ndcg(lists, each, counted=lists.warm) for each in lifted])
    too_far = np.flatnonzero(warm < _WARM_KEPT * warm[0])
    found = np.asarray([_ndcg(lists, each) for each in lifted[: int(too_far[0]) if len(too_far) else None]])
    # Only up to the first lift past the best that costs too much: a later one may look cheap by chance.
    best = int(found.argmax())
    too_dear = np.flatnonzero(found[best:] < (1 - settings.new_item_price) * found[best])
    chosen = (best + int(too_dear[0]) if len(too_dear) else len(found)) - 1
    return float(_BONUSES[chosen]), float(found[chosen])


def _calibration_inputs(
    owner: NDArray[np.int64], scores: NDArray[np.float32], values: NDArray[np.float32]
) -> NDArray[np.float64]:
    users = int(owner.max(initial=-1)) + 1
    top = np.full(users, -np.inf)
    np.maximum.at(top, owner, scores)
    total = np.bincount(owner, weights=np.exp(scores - top[owner]), minlength=users)
    share = scores - top[owner] - np.log(total)[owner]
    activity = np.log1p(values[:, NAMES.index("history_items")])
    return np.column_stack([share, activity]).astype(np.float64)


def _calibrate(lists: Lists, scores: NDArray[np.float32]) -> dict[str, tuple[float, float, float]]:
    """Platt scaling (1999) of scores given to users outside of training; a behaviour nobody showed is left out."""
    from sklearn.linear_model import LogisticRegression

    inputs = _calibration_inputs(lists.owner, scores, lists.values)
    labels = {ANY: lists.taken} | {name: (lists.bits & bit) > 0 for name, bit in lists.behaviours.items()}
    found: dict[str, tuple[float, float, float]] = {}
    for name, label in labels.items():
        if label.any() and not label.all():
            fitted = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-9, max_iter=100).fit(inputs, label)
            slope = fitted.coef_[0]
            found[name] = (float(fitted.intercept_[0]), float(slope[0]), float(slope[1]))
    return found

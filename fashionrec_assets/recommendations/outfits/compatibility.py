"""How well an item completes what is there: a small log-linear model over the features of `affinity.py`.

Belongs here: the model, its file, and fitting it to baskets. Does not belong here: features, choosing what is shown.

P(j | given) is proportional to exp(w · features(given, j)). The weights maximise the likelihood of held-out items of
baskets, a composite of three parts (Lindsay, 1988): the item among negatives drawn by popularity and at random from the
whole catalog, with the correction of sampled softmax (Bengio and Senécal, 2008); the item among others of its own type,
which is where the choice between two shirts is learned; and, where it is one of them, the item among those that baskets
already had with what is given, which is what the top of a list is made of. Features come from the days before those
whose baskets are learned from, as they do when the model is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fashionrec_assets.recommendations.outfits.affinity import COUNTS, FEATURES, POPULARITY, Affinity
from fashionrec_assets.recommendations.outfits.baskets import Baskets
from fashionrec_assets.recommendations.outfits.wardrobe import Wardrobe
from fashionrec_assets.settings import OutfitSettings, digest

Progress = Callable[[int, int], None]

_FORMAT = 2
QUERY_BLOCK = 64


def quiet(done: int, total: int) -> None:
    """A progress listener that does not listen."""


@dataclass(frozen=True)
class Compatibility:
    """`weights` float64 (F,), one for each of `FEATURES`. `queries`: held-out items they were learned from.
    `behaviours`: what put an item into a basket."""

    weights: NDArray[np.float64]
    queries: int
    behaviours: tuple[str, ...] = ()

    def score(self, affinity: Affinity, given: sparse.csr_array) -> NDArray[np.float32]:
        """float32 (q, n): how well each item completes each row of `given` (q, n) of 0 and 1, natural log units."""
        return scores([self], affinity, given)[0]

    def parts(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each feature (p, F) adds to the score."""
        return features * self.weights.astype(np.float32)

    def strongest(self) -> list[tuple[str, float]]:
        """The features that are used, with their weights, the largest first."""
        named = zip(FEATURES, self.weights.tolist(), strict=True)
        return sorted(((name, weight) for name, weight in named if weight), key=lambda one: -abs(one[1]))

    def content(self) -> dict[str, object]:
        """What the file holds."""
        named = dict(zip(FEATURES, self.weights.tolist(), strict=True))
        return {
            "format": _FORMAT,
            "queries": self.queries,
            "behaviours": list(self.behaviours),
            "weights": named,
        }

    def version(self) -> str:
        """A digest of the model."""
        return digest(self.content())

    def save(self, folder: Path) -> None:
        """Write `compatibility.json`."""
        (folder / "compatibility.json").write_text(json.dumps(self.content(), indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Compatibility:
        """Read what `save` wrote. Raises ValueError if it was written by another version of the model."""
        content = json.loads((folder / "compatibility.json").read_text("utf-8"))
        if content["format"] != _FORMAT or set(content["weights"]) != set(FEATURES):
            raise ValueError(f"{folder} holds another version of the outfit model: materialize the asset outfits again")
        weights = np.array([content["weights"][name] for name in FEATURES])
        return cls(weights, int(content["queries"]), tuple(content["behaviours"]))


def scores(models: Sequence[Compatibility], affinity: Affinity, given: sparse.csr_array) -> list[NDArray[np.float32]]:
    """`Compatibility.score` of several models, their features computed once."""
    weights = np.stack([model.weights for model in models]).astype(np.float32)
    size = len(given.indptr) - 1, len(affinity.wardrobe)
    totals = [np.zeros(size, dtype=np.float32) for _ in models]
    for column, values in affinity.block(given, np.asarray(weights.any(axis=0))):
        for total, weight in zip(totals, weights[:, column], strict=True):
            if weight:
                total += weight * values
    return totals


@dataclass(frozen=True)
class Completions:
    """q questions: which item completes the rest of a basket?

    `given` (q, n) of 0 and 1, `held_out` int64 (q,), `baskets` int64 (q,) rows of the baskets they were made of,
    ascending. `given` leaves out all of the held-out item's family.
    """

    given: sparse.csr_array
    held_out: NDArray[np.int64]
    baskets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.held_out)

    @property
    def weights(self) -> NDArray[np.float64]:
        """(q,): a basket counts once, however many of its items are held out."""
        sizes = np.bincount(self.baskets)
        return 1.0 / sizes[self.baskets] if len(self) else np.zeros(0)

    def blocks(self) -> Iterator[tuple[slice, sparse.csr_array]]:
        """Questions in runs of `QUERY_BLOCK`."""
        for start in range(0, len(self), QUERY_BLOCK):
            part = slice(start, min(start + QUERY_BLOCK, len(self)))
            yield part, self.given[part.start : part.stop]


def completions(baskets: Baskets, families: NDArray[np.int64], most: int, seed: int) -> Completions:
    """Each item of each basket with several designs held out in turn; of more than `most` such baskets, a seeded
    sample."""
    several = np.flatnonzero(baskets.several(families))
    if len(several) > most:
        several = np.sort(np.random.default_rng(seed).choice(several, size=most, replace=False))
    held: list[int] = []
    owners: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    for basket in several.tolist():
        items = baskets.items[baskets.offsets[basket] : baskets.offsets[basket + 1]]
        own = families[items]
        for item, family in zip(items.tolist(), own.tolist(), strict=True):
            rest = items[own != family].tolist()
            rows += [len(held)] * len(rest)
            columns += rest
            held.append(item)
            owners.append(basket)
    shape = (len(held), baskets.n_items)
    given = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    return Completions(given, np.array(held, np.int64), np.array(owners, np.int64))


@dataclass(frozen=True)
class Examples:
    """What the model is fitted to: of q questions, features (q, c, F) of the held-out item (first) and of negatives,
    and `corrections` (q, c), -log of how often a candidate was to be expected among them; -inf leaves one out.
    `weights` (q,)."""

    features: NDArray[np.float32]
    corrections: NDArray[np.float32]
    weights: NDArray[np.float64]


def examples(
    affinity: Affinity,
    questions: Completions,
    pool: NDArray[np.bool_],
    settings: OutfitSettings,
    seed: int,
    progress: Progress = quiet,
) -> tuple[Examples, ...]:
    """Among all items, among items of its type, among items had with the given ones: each question's negatives from
    `pool` bool (n,)."""
    wardrobe, n = affinity.wardrobe, len(affinity.wardrobe)
    rng = np.random.default_rng(seed)
    half = settings.negatives // 2
    odds = np.where(pool, np.expm1(affinity.popularity[:, 1]) ** 0.75 + 1e-3, 0)
    odds = odds / odds.sum()
    uniform = pool / pool.sum()
    types = wardrobe.column("type")
    of_type = _members(types, pool)
    q, spare = len(questions), settings.negatives
    chosen = np.empty((3, q, 1 + spare), dtype=np.int64)
    chosen[:, :, 0] = questions.held_out
    chosen[0, :, 1 : 1 + half] = rng.choice(n, size=(q, half), p=odds)
    chosen[0, :, 1 + half :] = rng.choice(n, size=(q, spare - half), p=uniform)
    known = np.zeros(q, dtype=bool)
    partners = sparse.csr_array(questions.given @ affinity.together)
    for row, item in enumerate(questions.held_out.tolist()):
        partner = partners.indices[partners.indptr[row] : partners.indptr[row + 1]]
        partner = partner[pool[partner]]
        known[row] = item in partner
        chosen[2, row, 1:] = partner[rng.integers(len(partner), size=spare)] if len(partner) else item
        members = of_type[int(types[item])]
        chosen[1, row, 1:] = members[rng.integers(len(members), size=spare)] if len(members) else item
    values = np.empty((3, q, 1 + spare, len(FEATURES)), dtype=np.float32)
    for part, given in questions.blocks():
        places = chosen[:, part]
        lines = np.arange(places.shape[1])[:, None]
        for column, feature in affinity.block(given):
            values[:, part, :, column] = feature[0 if len(feature) == 1 else lines, places]
        progress(part.stop, q)
    expected = np.log(half * odds + (spare - half) * uniform + 1e-12).astype(np.float32)
    taken = sparse.csr_array(questions.given @ _same_family(wardrobe))
    taken.sort_indices()
    out: list[Examples] = []
    for side in range(3):
        corrections = -expected[chosen[0]] if side == 0 else np.zeros(chosen[side].shape, np.float32)
        flat = np.repeat(np.arange(q), spare), chosen[side, :, 1:].ravel()
        there = np.asarray(taken[flat]).reshape(q, spare) > 0
        there |= chosen[side, :, 1:] == questions.held_out[:, None]
        corrections[:, 1:][there] = -np.inf
        out.append(Examples(values[side], corrections, questions.weights * (known if side == 2 else 1)))
    return tuple(out)


def fit(
    asked: tuple[Examples, ...],
    settings: OutfitSettings,
    features: tuple[str, ...] = FEATURES,
    start: NDArray[np.float64] | None = None,
) -> Compatibility:
    """The weights of `features`, 0 for all others: maximum likelihood with a ridge, by L-BFGS.

    Counts, lifts and popularity may only add to the score: more baskets never speak against a pair. `start`: weights
    from which the search for the maximum, of which there is one, sets out.
    """
    from scipy.optimize import minimize

    among_all = asked[0]
    q = len(among_all.weights)
    used = np.array([name in features for name in FEATURES])
    if q == 0:
        return Compatibility(np.where(used & np.isin(FEATURES, (*POPULARITY[:2], *COUNTS[:1])), 1.0, 0.0), 0)
    spread = among_all.features.reshape(-1, len(FEATURES)).std(axis=0).astype(np.float64)
    used &= spread > 1e-6
    scale = np.where(used, 1 / np.where(spread > 1e-6, spread, 1), 0).astype(np.float32)
    parts = [
        ((one.features * scale).reshape(-1, len(FEATURES)), one.corrections, one.weights / one.weights.sum(), weight)
        for one, weight in zip(asked, (1.0, settings.type_weight, settings.partner_weight), strict=True)
        if weight and one.weights.sum()
    ]
    ridge = settings.ridge / q

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = ridge * float(weights @ weights), 2 * ridge * weights
        for x, corrections, shares, factor in parts:
            logits = (x @ weights.astype(np.float32)).reshape(corrections.shape) + corrections
            top = logits.max(axis=1, keepdims=True)
            odds = np.exp(logits - top)
            sums = odds.sum(axis=1, keepdims=True)
            value += factor * float(shares @ (np.log(sums) + top - logits[:, :1]).ravel())
            residual = odds / sums
            residual[:, 0] -= 1
            slope = slope + factor * ((residual * shares[:, None]).ravel().astype(np.float32) @ x)
        return value, slope

    free = {POPULARITY[-1], *FEATURES[-2:]}
    bounds = [
        ((None, None) if name in free else (0, None)) if on else (0, 0) for name, on in zip(FEATURES, used, strict=True)
    ]
    begin = np.zeros(len(FEATURES)) if start is None else np.where(used, start / np.where(used, scale, 1), 0)
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds)
    return Compatibility(np.round(found.x * scale, 5), q)


def _members(codes: NDArray[np.int32], pool: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The rows of `pool` with each code."""
    return [np.flatnonzero(pool & (codes == code)) for code in range(int(codes.max(initial=0)) + 1)]


def _same_family(wardrobe: Wardrobe) -> sparse.csr_array:
    """float32 (n, n): 1 where two items are of one family."""
    n = len(wardrobe)
    member = sparse.csr_array((np.ones(n, np.float32), (np.arange(n), wardrobe.families)))
    return sparse.csr_array(member @ member.T)

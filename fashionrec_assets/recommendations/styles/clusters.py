"""Styles as clusters of items: what an item is compared by, how many styles there are, and where an item belongs.

Belongs here: the vector of an item, spherical k-means over them, the choice of the number of styles, the map, and the
model's files. Does not belong here: names (`naming.py`), reading a shop (`reading.py`).

An item's vector joins its photo's and its text's vectors and its attributes, each centred on the catalog's mean and
scaled to its weight, so that what all items share says nothing and a part that is missing says nothing either. It is
then reduced to principal components and scaled to length one. Clusters are those of spherical k-means (Dhillon and
Modha 2001), which FAISS computes.

The number of styles, where no setting fixes it, is the largest of `COUNTS` whose mean silhouette by cosine distance
(Rousseeuw 1987), on a sample, is within a tenth of the best one's: of numbers that separate the items about equally
well, more styles say more. How stable the styles are is the adjusted Rand index of clusterings fitted to two
random halves of the catalog, over all items (Ben-Hur et al. 2002).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashionrec_assets.index.vectors import unit_rows
from fashionrec_assets.recommendations.styles.labels import Label, Labels
from fashionrec_assets.settings import StyleSettings

COUNTS = (10, 12, 14, 16, 18, 20, 24, 28, 32)
"""The numbers of styles that are tried."""

_COMPARED = {"style": 2.0, "section": 2.0, "gender": 1.0, "pattern": 1.0, "type": 0.5, "category": 0.5, "colour": 0.5}
"""Facets that enter the vector, each with its weight, however many values it has. What kind of garment an item is
counts less than what it is like: text and photo tell of the kind as well."""

_AS_GOOD = 0.9
_BLUR = 0.08
"""Difference of cosines at which a style weighs e times less for an item's place on the map."""

_COMPONENTS = 48
_SAMPLE = 2_000
_LEAST_ITEMS = 8
"""Items of a style on average at the least: fewer styles are tried for a small catalog."""

_WEIGHTS, _CONFIG = "styles.safetensors", "styles.json"


@dataclass(frozen=True)
class Content:
    """What items are compared by, in the order of `ids` (n,), sorted. `text`, `image`: float32 (n, d); rows without
    `has_text`, `has_image` bool (n,) are not read. `families` (n,): equal for variants of one design, '' for none."""

    ids: NDArray[np.str_]
    text: NDArray[np.float32]
    has_text: NDArray[np.bool_]
    image: NDArray[np.float32]
    has_image: NDArray[np.bool_]
    labels: Labels
    families: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Encoder:
    """How an item becomes a vector. `text_mean`, `image_mean`: (d,). `names`: labels of the attribute block, with
    `label_mean` (l,) and `label_scale` (l,). `components` (p, total) and `weights` (text, image, attributes)."""

    text_mean: NDArray[np.float32]
    image_mean: NDArray[np.float32]
    names: tuple[Label, ...]
    label_mean: NDArray[np.float32]
    label_scale: NDArray[np.float32]
    components: NDArray[np.float32]
    weights: tuple[float, float, float]

    @classmethod
    def fit(cls, content: Content, settings: StyleSettings) -> Encoder:
        """The encoder of a catalog; it knows the attribute values that the catalog has."""
        names = tuple(label for label in content.labels.names if label[0] in _COMPARED)
        holds = content.labels.columns(names)
        mean = holds.mean(axis=0).astype(np.float32) if len(names) else np.zeros(0, np.float32)
        # A facet's values vary by 1 - Σ share² in all: divided by it, every facet has the same say.
        spread = {
            facet: max(1e-3, 1 - float(sum(m * m for m, label in zip(mean, names, strict=True) if label[0] == facet)))
            for facet in _COMPARED
        }
        scale = np.array([(_COMPARED[label[0]] / spread[label[0]]) ** 0.5 for label in names], np.float32)
        raw = cls(
            _mean(content.text, content.has_text),
            _mean(content.image, content.has_image),
            names,
            mean,
            scale,
            np.zeros((0, 0), np.float32),
            (settings.text_weight, settings.image_weight, settings.attribute_weight),
        )
        return cls(**{**raw.__dict__, "components": _components(raw._joined(content))})

    def vectors(self, content: Content) -> NDArray[np.float32]:
        """float32 (n, p), unit rows; an item of which nothing is known is the zero vector."""
        return unit_rows(self._joined(content) @ self.components.T)

    def _joined(self, content: Content) -> NDArray[np.float32]:
        holds = content.labels.columns(self.names).astype(np.float32)
        facets = np.array([label[0] for label in self.names], np.str_)
        known = np.zeros(holds.shape, bool)
        for facet in np.unique(facets):
            mine = np.flatnonzero(facets == facet)
            known[:, mine] = np.logical_or.reduce(holds[:, mine] > 0, axis=1, keepdims=True)
        attributes = np.where(known, (holds - self.label_mean) * self.label_scale, np.float32(0))
        text = np.where(content.has_text[:, None], unit_rows(content.text) - self.text_mean, np.float32(0))
        image = np.where(content.has_image[:, None], unit_rows(content.image) - self.image_mean, np.float32(0))
        blocks = (unit_rows(text), unit_rows(image), unit_rows(attributes))
        weighted = [np.sqrt(np.float32(weight)) * one for weight, one in zip(self.weights, blocks, strict=True)]
        return np.concatenate(weighted, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Trial:
    """A number of styles that was tried."""

    count: int
    silhouette: float
    stability: float | None = None


@dataclass(frozen=True)
class StyleModel:
    """The styles of a catalog. `centres` float32 (k, p), unit rows, the largest style first. `places` float32 (k, 2):
    theirs on the map. `trials`: what chose their number."""

    encoder: Encoder
    centres: NDArray[np.float32]
    places: NDArray[np.float32]
    trials: tuple[Trial, ...]
    chosen: Trial

    def __len__(self) -> int:
        return len(self.centres)

    def assign(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The closest style of each of `vectors` (n, p), int64 (n,) from 0, the lower number if several are, and the
        cosine with its centre, float32 (n,)."""
        cosines = np.round((vectors[:, None, :] * self.centres).sum(axis=2), 5) if len(vectors) < 64 else None
        if cosines is None:
            # The last bits of a product depend on the batch, and must not decide a style.
            cosines = np.round(vectors @ self.centres.T, 5)
        style = np.argmax(cosines, axis=1)
        return style.astype(np.int64), cosines[np.arange(len(style)), style].astype(np.float32)

    def place(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates on the map, float32 (n, 2): the mean place of the styles, each weighted by how close it is."""
        cosines = np.round(vectors @ self.centres.T, 5)
        weights = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / _BLUR)
        return np.round((weights / weights.sum(axis=1, keepdims=True)) @ self.places, 5).astype(np.float32)

    def distances(self) -> NDArray[np.float32]:
        """float32 (k, k): half of one less the cosine of two centres, from 0 for the same to 1 for opposites."""
        apart = np.clip((1 - self.centres @ self.centres.T) / 2, 0, 1) * (1 - np.eye(len(self)))
        return apart.astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `styles.safetensors` and `styles.json` into `folder`."""
        from safetensors.numpy import save_file

        encoder = self.encoder
        arrays = {name: getattr(encoder, name) for name in _ARRAYS} | {"centres": self.centres, "places": self.places}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / _WEIGHTS)
        config = {
            "names": [list(label) for label in encoder.names],
            "weights": list(encoder.weights),
            "trials": [vars(trial) for trial in self.trials],
            "chosen": vars(self.chosen),
        }
        (folder / _CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> StyleModel:
        """What `save` wrote. Raises FileNotFoundError."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / _WEIGHTS)
        config = json.loads((folder / _CONFIG).read_text("utf-8"))
        text, image, attributes = config["weights"]
        encoder = Encoder(
            names=tuple((facet, value) for facet, value in config["names"]),
            weights=(text, image, attributes),
            **{name: arrays[name] for name in _ARRAYS},
        )
        trials = tuple(Trial(**one) for one in config["trials"])
        return cls(encoder, arrays["centres"], arrays["places"], trials, Trial(**config["chosen"]))


_ARRAYS = ("text_mean", "image_mean", "label_mean", "label_scale", "components")


def fit_styles(content: Content, settings: StyleSettings, seed: int) -> StyleModel:
    """The styles of a catalog; see the module's docstring. Raises ValueError for a catalog without items."""
    if not len(content):
        raise ValueError("a catalog without items has no styles")
    encoder = Encoder.fit(content, settings)
    vectors = encoder.vectors(content)
    most = max(1, len(vectors) // _LEAST_ITEMS)
    counts = [settings.count] if settings.count is not None else [count for count in COUNTS if count <= most] or [most]
    found = {count: spherical_kmeans(vectors, min(count, len(vectors)), seed) for count in counts}
    trials = [Trial(count, _silhouette(vectors, centres, seed)) for count, centres in found.items()]
    bar = max(trial.silhouette for trial in trials) * _AS_GOOD
    best = [trial for trial in trials if trial.silhouette >= bar][-1]
    centres = found[best.count]
    chosen = Trial(best.count, best.silhouette, _stability(vectors, len(centres), seed))
    sizes = np.bincount(_closest(vectors, centres), minlength=len(centres))
    centres = centres[np.argsort(-sizes, kind="stable")]
    return StyleModel(encoder, centres, _map(centres), tuple(trials), chosen)


def spherical_kmeans(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Centres float32 (at most count, p), unit rows, of unit rows `vectors` (n, p); none of them is without items."""
    import faiss

    if count <= 1 or len(vectors) <= 1:
        return unit_rows(vectors.mean(axis=0, keepdims=True))
    means = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=30,
        nredo=4,
        seed=seed,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    means.train(np.ascontiguousarray(vectors, np.float32))
    centres = unit_rows(np.asarray(means.centroids, np.float32))
    return centres[np.unique(_closest(vectors, centres))]


def _closest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.argmax(np.round(vectors @ centres.T, 5), axis=1)


def _silhouette(vectors: NDArray[np.float32], centres: NDArray[np.float32], seed: int) -> float:
    from sklearn.metrics import silhouette_score

    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:_SAMPLE])
    style = _closest(vectors[rows], centres)
    if not 1 < len(np.unique(style)) < len(rows):
        return 0.0
    return float(silhouette_score(vectors[rows], style, metric="cosine"))


def _stability(vectors: NDArray[np.float32], count: int, seed: int) -> float | None:
    from sklearn.metrics import adjusted_rand_score

    order = np.random.default_rng(seed).permutation(len(vectors))
    halves = np.array_split(order, 2)
    if count < 2 or min(map(len, halves)) < count:
        return None
    first, second = (
        _closest(vectors, spherical_kmeans(vectors[np.sort(half)], count, seed + number))
        for number, half in enumerate(halves)
    )
    return float(adjusted_rand_score(first, second))


def _mean(vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    if not present.any():
        return np.zeros(vectors.shape[1], np.float32)
    return unit_rows(vectors[present]).mean(axis=0, dtype=np.float64).astype(np.float32)


def _components(joined: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal axes float32 (p, total) of rows that are already centred, largest first, of a fixed sign."""
    second = joined.astype(np.float64).T @ joined / len(joined)
    values, axes = np.linalg.eigh(second)
    kept = axes[:, np.argsort(-values, kind="stable")[:_COMPONENTS]].T
    return _signed(kept)


def _map(centres: NDArray[np.float32], rounds: int = 300) -> NDArray[np.float32]:
    """Places float32 (k, 2) whose distances are as near as can be to the angles between the centres.

    Metric multidimensional scaling by SMACOF (de Leeuw 1977), from the centres' two principal axes.
    """
    k = len(centres)
    wanted = np.arccos(np.clip(centres.astype(np.float64) @ centres.T, -1, 1)) * (1 - np.eye(k))
    apart = centres - centres.mean(axis=0)
    _, axes = np.linalg.eigh(apart.T.astype(np.float64) @ apart)
    places = np.zeros((k, 2))
    two = _signed(axes[:, ::-1][:, :2].T)
    places[:, : len(two)] = apart @ two.T
    for _ in range(rounds):
        now = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
        pull = -np.divide(wanted, now, out=np.zeros_like(now), where=now > 1e-12)
        pull[np.arange(k), np.arange(k)] = -pull.sum(axis=1)
        places = pull @ places / k
    return np.round(places, 4).astype(np.float32)


def _signed(axes: NDArray[np.float64]) -> NDArray[np.float32]:
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return (axes * np.where(largest < 0, -1, 1)[:, None]).astype(np.float32)

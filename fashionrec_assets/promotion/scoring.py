"""What the models of a release bring on the frozen slice, user by user.

Belongs here: writing the slice down, scoring a release on it, and keeping the figures. Does not belong here: comparing
them (`decision.py`), metrics, ranking.

The slice is the test window of the ranking protocol: its users with a history, their targets, the pool, and everything
before the cut as history. A release is scored with the models it keeps for evaluation, which saw nothing from their own
cut on; it must not lie after the slice's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.catalog.reading import test_window
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.promotion.content import COMPARED, ENCODERS, STORES
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.reading import RankingInputs
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import IndexSettings, RankingSettings
from fashionrec_assets.storage.buckets import BucketStore
from fashionrec_assets.storage.parquet import write_atomically
from fashionrec_assets.storage.release_notes import Release
from fashionrec_assets.storage.releases import Releases
from fashionrec_assets.storage.vectors import VECTOR_COLUMNS, vectors_of
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.features import ItemFeatures, Modality
from fashionrec_assets.towers.reading import EVALUATION

K = 20
METRICS = ("ndcg", "recall")


class CannotBeScoredError(ValueError):
    """The models of a release cannot be measured on the slice."""


@dataclass(frozen=True)
class FrozenSlice:
    """The question both releases are asked; `name` is a digest of all of it."""

    task: RankingTask
    inputs: RankingInputs
    name: str


@dataclass(frozen=True)
class UserFigures:
    """`users` (u,): sorted ids; `values`: metric to float64 (u,), at the first `K` places."""

    users: NDArray[np.str_]
    values: dict[str, NDArray[np.float64]]


def frozen_slice(shop: Shop) -> FrozenSlice:
    """The test window as the ranking report has it, of the data as they are."""
    inputs = RankingInputs.of(shop)
    task = test_window(shop, inputs.log, shop.settings.evaluation.max_users)
    return FrozenSlice(task, inputs, slice_digest(task))


def slice_digest(task: RankingTask) -> str:
    """16 hex digits of who is asked, what counts as a hit, what may be ranked, and what was known."""
    log = task.history
    known = hashlib.sha256(f"{task.start} {task.end} {' '.join(task.behaviours)}".encode())
    for names in (log.user_ids, log.item_ids):
        known.update("\n".join(names.tolist()).encode("utf-8"))
    arrays = (task.users, task.target_offsets, task.target_items, task.target_bits, task.pool)
    for array in (*arrays, log.users, log.items, log.times, log.behaviours):
        known.update(np.ascontiguousarray(array).tobytes())
    return known.hexdigest()[:16]


def figures_of(releases: Releases, release: Release, frozen: FrozenSlice, current: dict[str, str]) -> UserFigures:
    """The figures of a release on the slice: those that were kept, else measured now and kept.

    `current` are the ids of the encoders in force, by modality. Raises CannotBeScoredError.
    """
    path = releases.scores(release.version) / f"{frozen.name}.parquet"
    if path.exists():
        return _read(path)
    made = _measured(releases.folder(release.version), release, frozen, current)
    columns = {name: pa.array(values) for name, values in made.values.items()}
    write_atomically(path, pa.table({"user_id": pa.array(made.users.tolist(), pa.string()), **columns}))
    return made


class Gauge:
    """The frozen slice of a shop, written down once it is needed."""

    def __init__(self, shop: Shop, releases: Releases) -> None:
        self._shop, self._releases = shop, releases

    @cached_property
    def frozen(self) -> FrozenSlice:
        return frozen_slice(self._shop)

    def figures(self, release: Release) -> UserFigures:
        """A release's figures on the slice. Raises CannotBeScoredError."""
        current = {modality: self._shop.model_id(encoder) for modality, encoder in ENCODERS.items()}
        return figures_of(self._releases, release, self.frozen, current)

    def evaluation(self) -> str:
        """The slice's name."""
        return self.frozen.name


def _read(path: Path) -> UserFigures:
    table = pq.read_table(path)
    users = np.asarray(table.column("user_id").to_pylist(), np.str_)
    return UserFigures(users, {name: table.column(name).to_numpy() for name in METRICS})


def _measured(folder: Path, release: Release, frozen: FrozenSlice, current: dict[str, str]) -> UserFigures:
    task = frozen.task
    tower, ranker, ranking = _models(folder, release)
    latest = max(release.made_from.cut, tower.cut)
    if latest > task.start:
        raise CannotBeScoredError(
            f"release {release.version} was trained on events up to {_moment(latest)}, after the slice begins "
            f"({_moment(task.start)}): it would know the answers"
        )
    known = _inputs(folder, release, frozen.inputs, current).knowledge(task.start, tower)
    lists = rank(task, LateFusionRecommender(ranker, known, ranking), K)
    found = slice_metrics(task, find_hits(task, lists), "overall", (K,))
    return UserFigures(task.history.user_ids[task.users[found.rows]], {name: found.values[name, K] for name in METRICS})


def _models(folder: Path, release: Release) -> tuple[TwoTower, Ranker, RankingSettings]:
    """The models kept for evaluation, and the settings they ranked with."""
    try:
        towers, rankers = (folder / "models" / name / EVALUATION for name in COMPARED)
        return TwoTower.load(towers), Ranker.load(rankers), RankingSettings(**_section(release, "ranking"))
    except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
        raise CannotBeScoredError(
            f"the models of release {release.version} cannot be read by this version of the software "
            f"({type(error).__name__})"
        ) from error


def _inputs(folder: Path, release: Release, inputs: RankingInputs, current: dict[str, str]) -> RankingInputs:
    """The inputs with the release's settings, and with its own vectors where another encoder is in force now."""
    try:
        index = IndexSettings(**_section(release, "index"))
    except (ValidationError, KeyError) as error:
        raise CannotBeScoredError(f"the index settings of release {release.version} are unknown today") from error
    seed = int(release.made_from.settings.get("seed", inputs.settings.seed))
    features = inputs.features
    for modality, encoder in ENCODERS.items():
        if release.models.get(encoder) != current.get(modality):
            features = _with_kept(features, modality, folder / "vectors" / STORES[modality])
    settings = inputs.settings.model_copy(update={"index": index, "seed": seed})
    return replace(inputs, settings=settings, features=features)


def _with_kept(features: ItemFeatures, modality: str, kept: Path) -> ItemFeatures:
    """The features with the vectors of a release; items it never saw have none."""
    keys, vectors = vectors_of(BucketStore(kept, 1, VECTOR_COLUMNS).scan())
    values = np.zeros((len(features), vectors.shape[1]), np.float32)
    present = np.isin(features.item_ids, np.asarray(keys, np.str_))
    if present.any():
        values[present] = vectors[np.searchsorted(np.asarray(keys, np.str_), features.item_ids[present])]
    return replace(features, modalities={**features.modalities, modality: Modality(values, present)})


def _section(release: Release, name: str) -> dict[str, Any]:
    return dict(release.made_from.settings[name])


def _moment(seconds: int) -> str:
    return str(np.datetime64(seconds, "s")).replace("T", " ") + " UTC"

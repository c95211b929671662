"""Nothing that is evaluated on the test days has seen them: what happens then changes none of it, to the last bit."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy import sparse

from fashionrec_assets.catalog.event_log import Cuts
from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.catalog.reading import cuts, launched
from fashionrec_assets.evaluation.ncf.grid import Variant
from fashionrec_assets.evaluation.ncf.inputs import NcfTrainer
from fashionrec_assets.ranking.assets import _tower_before
from fashionrec_assets.ranking.candidates import Scores, retrieve
from fashionrec_assets.ranking.features import pairs_of
from fashionrec_assets.ranking.knowledge import DAY
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.reading import WITHOUT_TOWER, RankingInputs
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.resources.shop import Shop, StageRun
from fashionrec_assets.storage.ledger import ModelPlan
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.ncf import assets as ncf_assets
from fashionrec_assets.towers.ncf import augmentation
from fashionrec_assets.towers.ncf import reading as ncf_reading
from fashionrec_assets.towers.ncf.examples import KeptBack
from fashionrec_assets.towers.ncf.model import Ncf
from fashionrec_assets.towers.ncf.reading import NcfInputs
from fashionrec_assets.towers.ncf.recommender import recommender_of
from fashionrec_assets.towers.reading import EVALUATION, SELECTION, SERVED
from fashionrec_assets_tests.end_to_end.place import Place

TRAINED_AGAIN = " or ".join(
    f"key:{name}"
    for name in (
        "interactions",
        "users",
        "splits",
        "two_tower_model",
        "late_fusion_model",
        "augmentation_sweep",
        "vae_model",
        "vae_synthetic_samples",
        "ncf_model",
    )
)
MODELS = ("two_tower_model", "late_fusion_model")


@dataclass(frozen=True)
class Side:
    """One of two shops that differ in what happened on the test days alone."""

    shop: Shop
    inputs: RankingInputs
    split: Cuts

    @classmethod
    def of(cls, place: Place) -> Side:
        shop = place.shop()
        return cls(shop, RankingInputs.of(shop), cuts(shop))

    def tower(self, name: str) -> TwoTower:
        return TwoTower.load(self.shop.current("two_tower_model") / name)


@dataclass(frozen=True)
class Planted:
    """`before` the future marker, and `after`: one `item` (its row) of a family that nobody had touched, taken by
    `users`."""

    before: Side
    after: Side
    item: int
    users: NDArray[np.int32]


@pytest.fixture(scope="module")
def planted(first_run: tuple[Place, RunResult], tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """On the test days everybody with a history buys an item that is new then, and looks at an unpopular one."""
    done, result = first_run
    assert result.success, result.errors
    before = Side.of(done)
    log, split = before.inputs.log, before.split
    past = log.between(None, split.test)
    people = np.bincount(past.items, minlength=log.n_items)
    family = before.inputs.features.categories["family_id"]
    untouched = (people == 0) & ~np.isin(family, family[people > 0]) & (launched(before.shop) < split.end)
    new = int(np.flatnonzero(untouched)[0])
    unpopular = int(np.flatnonzero(people == people[people > 0].min())[0])
    users = np.unique(past.users)
    last = int(log.times.max())

    place = done.copied(tmp_path_factory.mktemp("planted"))
    with (place.raw / "UserBehavior.csv").open("a", encoding="utf-8") as file:
        for number, user in enumerate(users):
            at = split.test + number % (last - split.test)
            file.write(f"{log.user_ids[user]},{log.item_ids[new]},4001,buy,{at}\n")
            file.write(f"{log.user_ids[user]},{log.item_ids[unpopular]},4001,pv,{at}\n")
    # From the beginning: what goes on from an earlier model is another model, whatever it sees.
    result = place.run("full_refresh", select=TRAINED_AGAIN)
    assert result.success, result.errors
    return Planted(before, Side.of(place), new, users)


def arrays(value: object, name: str = "") -> dict[str, NDArray[np.generic]]:
    """Every array and number in `value`, however deep, by its path."""
    if isinstance(value, np.ndarray):
        return {name: value}
    if isinstance(value, sparse.csr_array):
        return {f"{name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
    if isinstance(value, dict):
        return {key: found for at, part in value.items() for key, found in arrays(part, f"{name}.{at}").items()}
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return {key: found for at, part in parts.items() for key, found in arrays(part, f"{name}.{at}").items()}
    return {name: np.asarray(value)} if isinstance(value, int | float | str) else {}


def different(one: dict[str, NDArray[np.generic]], other: dict[str, NDArray[np.generic]]) -> list[str]:
    """The names of what is not equal to the last bit."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one
        or name not in other
        or one[name].dtype != other[name].dtype
        or one[name].tobytes() != other[name].tobytes()
    )


def weights(side: Side, model: str, name: str) -> dict[str, NDArray[np.generic]]:
    return dict(load_file(side.shop.current(model) / name / "model.safetensors"))


def of_file(folder: Path) -> dict[str, NDArray[np.generic]]:
    """All that is learned in `folder`."""
    return {
        f"{path.name}.{name}": value
        for path in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(path).items()
    }


def facts(folder: Path) -> dict[str, object]:
    """What a model's files say of it, its name aside: that is made of all data, so that a run knows what is stale."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("*.json")):
        found[path.name] = untimed(json.loads(path.read_text("utf-8")))
    assert found
    return found


def untimed(said: object) -> object:
    """Without the name of a model and the seconds that something took, however deep."""
    if isinstance(said, dict):
        return {key: untimed(value) for key, value in said.items() if key not in ("model_id", "seconds")}
    return [untimed(value) for value in said] if isinstance(said, list) else said


def test_the_marker_is_in_the_test_days_and_nowhere_else(planted: Planted) -> None:
    before, after = planted.before, planted.after
    assert before.split == after.split
    one, other = before.inputs.log, after.inputs.log
    assert np.array_equal(one.user_ids, other.user_ids)
    past, same_past = (log.between(None, before.split.test) for log in (one, other))
    assert different(arrays(past), arrays(same_past)) == []
    assert planted.item not in past.items
    taken = other.items[other.times >= before.split.test] == planted.item
    assert taken.sum() >= len(planted.users) > 50


@pytest.mark.parametrize("name", [SELECTION, EVALUATION])
def test_evaluated_towers_did_not_see_it(planted: Planted, name: str) -> None:
    sides = (planted.before, planted.after)
    one, other = (weights(side, "two_tower_model", name) for side in sides)
    assert len(one) > 10
    assert different(one, other) == []
    said, again = (facts(side.shop.current("two_tower_model") / name) for side in sides)
    assert said == again
    vectors, same = (side.tower(name).item_vectors(side.inputs.features) for side in sides)
    assert vectors.tobytes() == same.tobytes()


def test_the_tower_of_an_earlier_window_did_not_see_it(planted: Planted) -> None:
    """The one that is trained only for the ranker's second window, a day before validation."""
    states: list[dict[str, NDArray[np.generic]]] = []
    for side in (planted.before, planted.after):
        model = _tower_before(side.shop, side.inputs, side.split, side.split.validation - DAY)
        assert model.cut == side.split.validation - DAY
        states.append({name: value.numpy() for name, value in model.module.state_dict().items()})
    assert different(*states) == []


@pytest.mark.parametrize("name", [EVALUATION, WITHOUT_TOWER])
def test_evaluated_rankers_did_not_see_it(planted: Planted, name: str) -> None:
    sides = (planted.before, planted.after)
    one, other = (weights(side, "late_fusion_model", name) for side in sides)
    assert different(one, other) == []
    said, again = (facts(side.shop.current("late_fusion_model") / name) for side in sides)
    assert said == again


def test_what_is_known_at_the_cut_does_not_hold_it(planted: Planted) -> None:
    found: list[dict[str, NDArray[np.generic]]] = []
    for side in (planted.before, planted.after):
        known = side.inputs.knowledge(side.split.test, side.tower(EVALUATION))
        assert known.tower is not None
        found.append({**arrays(known), "tower": known.tower.vectors})
    assert {".recent", ".knn.similarity.data", ".families.codes", ".shelf_days", ".log.items"} <= found[0].keys()
    assert different(*found) == []


def test_candidates_features_and_scores_of_the_test_users_do_not_show_it(planted: Planted) -> None:
    before = planted.before
    task = ranking_task(before.inputs.log, name="test", start=before.split.test, end=before.split.end)
    users = task.users[task.has_history]
    found: list[dict[str, NDArray[np.generic]]] = []
    for side in (before, planted.after):
        known = side.inputs.knowledge(side.split.test, side.tower(EVALUATION))
        settings = side.shop.settings.ranking
        available = ~known.matrix[users].toarray().astype(bool)
        scores = Scores.of(known, users)
        ranker = Ranker.load(side.shop.current("late_fusion_model") / EVALUATION)
        found.append(
            {
                **arrays(scores, "scores"),
                **dict(zip(("owner", "item"), retrieve(known, users, scores, available, settings), strict=True)),
                **arrays(pairs_of(known, users, available, settings), "pairs"),
                "late_fusion": LateFusionRecommender(ranker, known, settings).score(users),
            }
        )
    assert len(users) > 20
    assert len(found[0]["item"]) > 20 * len(users)
    assert different(*found) == []


@pytest.mark.parametrize("model", ["ncf_model", "vae_model"])
def test_models_of_ncf_and_synthesis_did_not_see_it(planted: Planted, model: str) -> None:
    one, other = (side.shop.current(model) for side in (planted.before, planted.after))
    assert one != other
    assert len(of_file(one)) > 10
    assert different(of_file(one), of_file(other)) == []
    assert facts(one) == facts(other)


def test_trials_of_the_sweep_did_not_see_it(planted: Planted) -> None:
    one, other = (side.shop.current("augmentation_sweep") for side in (planted.before, planted.after))
    assert one != other
    trials = json.loads((one / "chosen.json").read_text("utf-8"))["trials"]
    assert len(trials) == 2
    assert trials[0]["validation NDCG@20"] > 0
    assert facts(one) == facts(other)


def test_synthetic_rows_did_not_see_it(planted: Planted) -> None:
    found: list[list[tuple[object, ...]]] = []
    for side in (planted.before, planted.after):
        with side.shop.warehouse.reader() as connection:
            described = connection.execute("DESCRIBE vae_synthetic_samples").fetchall()
            columns = ", ".join(f'"{row[0]}"' for row in described if "model" not in row[0] and "version" not in row[0])
            found.append(connection.execute(f"SELECT {columns} FROM vae_synthetic_samples ORDER BY sample").fetchall())
    assert len(found[0]) > 500
    assert found[0] == found[1]


def test_scores_of_ncf_for_the_test_users_do_not_show_it(planted: Planted) -> None:
    before = planted.before
    task = ranking_task(before.inputs.log, name="test", start=before.split.test, end=before.split.end)
    users = task.users[task.has_history]
    scores: list[bytes] = []
    for side in (before, planted.after):
        inputs = NcfInputs.of(side.shop)
        model = Ncf.load(side.shop.current("ncf_model"))
        assert model.cut <= side.split.test
        past = inputs.log.between(None, side.split.test)
        synthesis = side.shop.settings.synthesis
        made = recommender_of(model, past, inputs.items, inputs.users, synthesis, filling="vae", seed=0)
        scores.append(made.score(users).tobytes())
    assert scores[0] == scores[1]


def test_a_model_of_the_study_did_not_see_it(planted: Planted) -> None:
    """With VAE samples, so that their generator is one that saw nothing either."""
    variant = Variant("vae", 3, "VAE samples", changes={"cold_items": "neighbours"}, augmentation="vae", degree=0.5)
    found: list[dict[str, NDArray[np.generic]]] = []
    for side in (planted.before, planted.after):
        inputs = NcfInputs.of(side.shop)
        task = ranking_task(inputs.log, name="test", start=side.split.test, end=side.split.end, max_cold_users=0)
        trained = NcfTrainer(side.shop, inputs, epochs=1)(variant, task.history, task, 1)
        asked = planted.users[:30]
        found.append(
            {
                **{name: value.numpy() for name, value in trained.trained.model.module.state_dict().items()},
                **arrays(trained.kept, "kept"),
                "scores": trained.recommender().score(asked),
                "kept_back": trained.kept_back_recommender("vae").score(asked),
            }
        )
    assert found[0]["scores"].shape[0] == 30
    assert different(*found) == []


class GivenError(Exception):
    """Ends a sweep before it trains."""


def test_the_sweep_is_not_given_its_own_validation_days(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other events on those days: what its models and its generator are made of stays the same, to the last bit."""
    side = planted.before
    log, split = side.inputs.log, side.split
    judged = (log.times >= split.validation) & (log.times < split.test)
    moved = np.where(judged, log.items[::-1], log.items).astype(np.int32)
    logs = (log, replace(log, items=moved), log.select(~judged | (np.arange(len(log)) % 2 == 0)))
    given: list[dict[str, NDArray[np.generic]]] = []
    asked: list[NDArray[np.int32]] = []

    def stopped(kept: KeptBack, task: RankingTask, *others: object, **knobs: object) -> NoReturn:
        given.append({**arrays(kept, "kept"), **arrays(others[2], "content")})
        asked.append(task.target_items)
        raise GivenError

    monkeypatch.setattr(augmentation, "sweep", stopped)
    for some in logs:
        monkeypatch.setattr(ncf_reading, "event_log", lambda shop, some=some: some)
        with pytest.raises(GivenError):
            ncf_assets._sweep(side.shop, cast(StageRun, SimpleNamespace(progress=None)), cast(ModelPlan, None))
    assert {"kept.training.items", "kept.task.history.items", "content.available", "content.values"} <= given[0].keys()
    assert different(given[0], given[1]) == []
    assert different(given[0], given[2]) == []
    assert asked[0].tolist() != asked[1].tolist()


@pytest.mark.parametrize("model", MODELS)
def test_the_served_models_saw_it(planted: Planted, model: str) -> None:
    """What shows that the tests above could fail: the same marker reaches what was fitted on all days."""
    one, other = (weights(side, model, SERVED) for side in (planted.before, planted.after))
    assert different(one, other)


def test_a_moment_after_the_marker_knows_it(planted: Planted) -> None:
    one, other = (arrays(side.inputs.knowledge(side.split.end, None)) for side in (planted.before, planted.after))
    assert {".recent", ".people", ".knn.similarity.data", ".families.people"} <= set(different(one, other))

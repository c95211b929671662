"""Nothing that is evaluated on the test days has seen them: what happens then changes none of it, to the last bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy import sparse

from fashionrec_assets.catalog.event_log import Cuts
from fashionrec_assets.catalog.ranking_task import ranking_task
from fashionrec_assets.catalog.reading import cuts, launched
from fashionrec_assets.ranking.assets import _tower_before
from fashionrec_assets.ranking.candidates import Scores, retrieve
from fashionrec_assets.ranking.features import pairs_of
from fashionrec_assets.ranking.knowledge import DAY
from fashionrec_assets.ranking.late_fusion import LateFusionRecommender
from fashionrec_assets.ranking.ranker import Ranker
from fashionrec_assets.ranking.reading import WITHOUT_TOWER, RankingInputs
from fashionrec_assets.resources.runs import RunResult
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.towers.artifact import TwoTower
from fashionrec_assets.towers.reading import EVALUATION, SELECTION, SERVED
from fashionrec_assets_tests.end_to_end.place import Place

TRAINED_AGAIN = " or ".join(
    f"key:{name}" for name in ("interactions", "users", "splits", "two_tower_model", "late_fusion_model")
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

    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(done.raw, folder / "shop", copy_function=shutil.copy2)
    shutil.copytree(done.raw.parent / "shop_truth", folder / "shop_truth")
    shutil.copytree(done.home, folder / "home", copy_function=shutil.copy2)
    place = Place(folder / "shop", folder / "home")
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


def facts(folder: Path) -> dict[str, object]:
    """What a model's files say of it, its name aside: that is made of all data, so that a run knows what is stale."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text("utf-8"))
        said.pop("model_id", None)
        found[path.name] = said
    assert found
    return found


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


@pytest.mark.parametrize("model", MODELS)
def test_the_served_models_saw_it(planted: Planted, model: str) -> None:
    """What shows that the tests above could fail: the same marker reaches what was fitted on all days."""
    one, other = (weights(side, model, SERVED) for side in (planted.before, planted.after))
    assert different(one, other)


def test_a_moment_after_the_marker_knows_it(planted: Planted) -> None:
    one, other = (arrays(side.inputs.knowledge(side.split.end, None)) for side in (planted.before, planted.after))
    assert {".recent", ".people", ".knn.similarity.data", ".families.people"} <= set(different(one, other))

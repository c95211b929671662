"""How a variant of the study becomes a trained model, on a small shop of arrays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fashionrec_assets.catalog.ranking_task import RankingTask, ranking_task
from fashionrec_assets.embeddings.reading import Tokens
from fashionrec_assets.evaluation.ncf import inputs as glue
from fashionrec_assets.evaluation.ncf.grid import Variant
from fashionrec_assets.evaluation.ncf.inputs import NcfTrainer, TrainedVariant
from fashionrec_assets.evaluation.ncf.study import LeftOutError
from fashionrec_assets.evaluation.recommender import Recommender
from fashionrec_assets.resources.shop import Shop
from fashionrec_assets.settings import Settings
from fashionrec_assets.synthesis.reduction import TooFewRowsError
from fashionrec_assets.synthesis.rows import ItemContent
from fashionrec_assets.towers.features import Modality
from fashionrec_assets.towers.ncf import augmentation, training
from fashionrec_assets.towers.ncf.inputs import NcfItems, NcfUsers
from fashionrec_assets.towers.ncf.reading import NcfInputs
from fashionrec_assets_tests.evaluation.shop import CUTS, DAY, random_shop

SETTINGS = Settings(
    ncf={"dim": 8, "token_dim": 8, "mlp": (8, 4), "batch_size": 64, "negatives": 16, "learning_rate": 1e-2},
    synthesis={"epochs": 1, "least_steps": 20, "content_dim": 4, "latent": 3, "hidden": 8},
)
PLAIN = Variant("plain", 1, "Plain", changes={"cold_items": "unknown"})


def augmented(kind: str, degree: float = 0.5, **others: object) -> Variant:
    return Variant(f"{kind}={degree}", 3, kind, augmentation=kind, degree=degree, **others)  # type: ignore[arg-type]


class World:
    """The inputs of a study, and how often each costly thing was made of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        log, launched = random_shop(4, n_users=160)
        rng = np.random.default_rng(1)
        n = log.n_items
        text, image = (
            Tokens(rng.normal(size=(n, length, 6)).astype(np.float16), np.ones((n, length), bool)) for length in (3, 2)
        )
        pooled = {
            name: Modality(found.states.astype(np.float32).mean(axis=1), np.ones(n, bool))
            for name, found in (("text", text), ("image", image))
        }
        items = NcfItems(log.item_ids, text, image, pooled)
        self.inputs = NcfInputs(SETTINGS, log, items, NcfUsers(), launched, 2 * DAY)
        self.made: list[str] = []
        self.synthetic: list[object] = []

        def content(shop: object, history: object, cut: int) -> ItemContent:
            self.made.append("content")
            found = items.content(("text", "image"))
            colours = np.array(["red", "blue"])[np.arange(n) % 2]
            types = np.array(["shirt", "skirt", "hat"])[np.arange(n) % 3]
            return ItemContent(found.values, found.present, types, colours, launched < cut)

        reduce, generator, train = training.reduce_tokens, augmentation.generator, training.train_ncf

        def reduced(*given: object):
            self.made.append("tokens")
            return reduce(*given)  # type: ignore[arg-type]

        def generated(kind: str, *given: object, **knobs: object):
            self.made.append(f"generator {kind}")
            return generator(kind, *given, **knobs)  # type: ignore[arg-type]

        def trained(*given: object, **knobs: object):
            self.synthetic.append(knobs["synthetic"])
            return train(*given, **knobs)  # type: ignore[arg-type]

        monkeypatch.setattr(glue, "item_content", content)
        monkeypatch.setattr(training, "reduce_tokens", reduced)
        monkeypatch.setattr(training, "train_ncf", trained)
        monkeypatch.setattr(augmentation, "generator", generated)
        self.trainer = NcfTrainer(cast(Shop, SimpleNamespace()), self.inputs, epochs=1)

    def task(self, start: int = CUTS.test) -> RankingTask:
        return ranking_task(
            self.inputs.log,
            name="test",
            start=start,
            end=start + 2 * DAY,
            launched_at=self.inputs.launched_at,
            max_cold_users=0,
        )

    def train(self, variant: Variant, seed: int = 0, task: RankingTask | None = None) -> TrainedVariant:
        asked = task or self.task()
        return self.trainer(variant, asked.history, asked, seed)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def scores(found: Recommender, task: RankingTask) -> np.ndarray:
    return found.score(task.users)


def test_recommenders_score_everybody_of_their_task(world: World) -> None:
    found = world.train(PLAIN)
    assert found.seconds > 0
    assert found.kept_back.end <= found.task.start
    assert found.kept_back.start == found.task.start - 2 * DAY
    for task, recommender in (
        (found.task, found.recommender()),
        (found.task, found.recommender("vae")),
        (found.kept_back, found.kept_back_recommender()),
        (found.kept_back, found.kept_back_recommender("neighbours")),
    ):
        made = scores(recommender, task)
        assert made.shape == (len(task.users), world.inputs.log.n_items)
        assert len(made) > 20
        assert np.isfinite(made).all()


def test_people_kept_back_are_asked_as_of_where_their_window_starts(world: World) -> None:
    found = world.train(PLAIN)
    recommender = found.kept_back_recommender()
    assert recommender.log.times.max() < found.kept_back.start  # type: ignore[attr-defined]
    hidden = np.isin(found.kept.training.users, found.kept_back.users)
    assert found.kept.training.times[hidden].max() < found.kept_back.start
    assert found.kept.training.times.max() < found.task.start
    # For the task itself they are asked with all they did before it.
    assert found.recommender().log.times.max() >= found.kept_back.start  # type: ignore[attr-defined]


def test_filling_moves_cold_items_only(world: World) -> None:
    found = world.train(PLAIN)
    cold = ~np.isin(world.inputs.log.item_ids, found.trained.model.item_ids)
    assert cold.sum() >= 10
    unknown, made = (scores(found.recommender(filling), found.task) for filling in ("unknown", "neighbours"))
    assert np.array_equal(unknown, scores(found.recommender(), found.task))
    assert np.array_equal(unknown[:, ~cold], made[:, ~cold])
    assert (unknown[:, cold] != made[:, cold]).any()
    kept, filled = (scores(found.kept_back_recommender(filling), found.kept_back) for filling in (None, "neighbours"))
    assert (kept[:, cold] != filled[:, cold]).any()


def test_synthetic_rows_change_a_model_and_their_making_counts(world: World) -> None:
    plain = world.train(PLAIN)
    none = world.train(augmented("random", 0.0))
    assert np.array_equal(scores(plain.recommender(), plain.task), scores(none.recommender("unknown"), none.task))
    assert none.making == 0
    for kind in ("vae", "neighbours", "attributes", "random"):
        some = world.train(augmented(kind))
        rows = world.synthetic[-1]
        assert rows is not None
        assert len(rows) > 50  # type: ignore[arg-type]
        assert rows.times.max() < some.task.start  # type: ignore[attr-defined]
        assert rows.weight == glue.WEIGHT  # type: ignore[attr-defined]
        assert some.making > 0
        assert some.seconds == some.trained.seconds + some.making
        assert not np.array_equal(
            scores(plain.recommender(), plain.task), scores(some.recommender("unknown"), some.task)
        )


def test_rows_are_made_of_what_training_sees(world: World) -> None:
    """Not of the days that were taken away from the people kept back."""
    found = world.train(augmented("vae"))
    source, _ = world.trainer._source(
        augmented("vae"), found.kept, found.task, (found.task.start, len(found.task.history), None), 0
    )
    liked = source.rows.labels == 1
    pairs = set(zip(source.rows.users[liked].tolist(), source.rows.items[liked].tolist(), strict=True))
    log = found.kept.training
    assert pairs == set(zip(log.users.tolist(), log.items.tolist(), strict=True))
    assert len(pairs) < len(set(zip(found.task.history.users.tolist(), found.task.history.items.tolist(), strict=True)))


def test_what_variants_share_is_made_once(world: World) -> None:
    for variant in (PLAIN, augmented("vae", 0.25), augmented("vae", 1.0), augmented("random")):
        world.train(variant)
    assert sorted(world.made) == ["content", "generator random", "generator vae", "tokens"]
    world.train(augmented("vae", 0.25), seed=1)
    assert world.made.count("generator vae") == 2
    assert world.made.count("tokens") == 1
    world.train(Variant("wide", 1, "Wide", changes={"token_dim": 4}))
    assert world.made.count("tokens") == 2
    world.train(PLAIN, task=world.task(CUTS.test - 2 * DAY))
    assert world.made.count("tokens") == 3


def test_a_variant_with_fewer_events_is_trained_on_them(world: World) -> None:
    task = world.task()
    fewer = task.history.select(np.isin(task.history.users, np.arange(0, 160, 2)))
    found = world.trainer(Variant("few", 5, "Few", keep=0.5), fewer, task, 0)
    whole = world.train(PLAIN)
    assert len(found.kept.training) < 0.6 * len(whole.kept.training)
    assert len(found.trained.model.user_ids) < len(whole.trained.model.user_ids)
    # People are asked with their whole history all the same.
    assert len(found.recommender().log) == len(task.history)  # type: ignore[attr-defined]


def test_models_are_by_seed(world: World) -> None:
    first, again, other = (scores(world.train(PLAIN, seed).recommender(), world.task()) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_too_few_rows_for_a_generator_leave_a_variant_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **knobs: object) -> None:
        raise TooFewRowsError("no two items differ")

    monkeypatch.setattr(augmentation, "generator", refuse)
    with pytest.raises(LeftOutError, match="no two items differ"):
        world.train(augmented("vae"))

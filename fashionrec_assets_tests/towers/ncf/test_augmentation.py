from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fashionrec_assets.catalog.ranking_task import RankingTask
from fashionrec_assets.synthesis.rows import ItemContent, SyntheticRows
from fashionrec_assets.towers.ncf import augmentation
from fashionrec_assets.towers.ncf.augmentation import Source, Sweep, Trial, paired, records, sweep
from fashionrec_assets.towers.ncf.examples import KeptBack, WeightedRows
from fashionrec_assets_tests.towers.ncf.world import COLD, CUT, ITEMS, SETTINGS, SYNTHESIS, World, task_after


def content_of(shop: World) -> ItemContent:
    found = shop.items.content(("text", "image"))
    unknown = np.full(ITEMS, "")
    return ItemContent(found.values, found.present, unknown, unknown, np.ones(ITEMS, bool))


def test_a_source_draws_rows_for_each_real_one_at_the_times_of_their_sources(shop: World) -> None:
    content = content_of(shop)
    source = Source.of("random", shop.kept.training, content, SYNTHESIS, seed=1)
    assert source.draw(0.0, weight=1.0, temperature=1.0, seed=1) is None
    made = source.draw(0.5, weight=0.25, temperature=1.0, seed=1)
    assert made is not None
    raw = source.generator.draw(round(0.5 * len(source.rows)), temperature=1.0, seed=1)
    assert len(made) == len(raw) == round(0.5 * len(source.rows))
    assert made.weight == 0.25
    assert np.array_equal(made.times, source.rows.times[raw.sources])
    assert len(np.unique(made.times)) > 50
    assert np.array_equal(made.users, raw.users)
    assert np.array_equal(made.labels, raw.labels)
    assert made.times.max() < CUT


@dataclass
class Pieces:
    """Cheap stand-ins for what a sweep calls: the more rows, the more the truth shows, by `worth` for each degree."""

    task: RankingTask
    worth: float
    drawn: list[tuple[float, float, float]]

    def source(self, *given: object, **knobs: object) -> Pieces:
        return self

    def draw(self, degree: float, *, weight: float, temperature: float, seed: int) -> WeightedRows:
        self.drawn.append((temperature, weight, degree))
        none = np.zeros(0, np.int32)
        return WeightedRows(none, none, np.zeros(0, np.float32), np.zeros(0, np.int64), degree * weight)

    def train(self, *given: object, synthetic: WeightedRows | None, **knobs: object) -> Pieces:
        self.model = 0.0 if synthetic is None else synthetic.weight
        self.seconds = 1.0
        return self

    def recommender(self, model: float, *given: object, **knobs: object) -> Pieces:
        self.strength = model
        return self

    def score(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        noise = np.random.default_rng(5).normal(size=(self.task.history.n_users, ITEMS))
        truth = np.zeros(noise.shape)
        truth[self.task.users[self.task.target_rows], self.task.target_items] = 1
        return (noise + (0.5 + self.worth * self.strength) * truth)[rows].astype(np.float32)


def swept(shop: World, monkeypatch: pytest.MonkeyPatch, worth: float) -> tuple[Sweep, Pieces, list[tuple[int, int]]]:
    task = task_after(shop.log)
    pieces, heard = Pieces(task, worth, []), []
    monkeypatch.setattr(augmentation.Source, "of", pieces.source)
    monkeypatch.setattr(augmentation, "reduce_tokens", lambda *given: (None, None))
    monkeypatch.setattr(augmentation, "train_ncf", pieces.train)
    monkeypatch.setattr(augmentation, "recommender_of", pieces.recommender)
    settings = SETTINGS.model_copy(
        update={"sweep_degrees": (0.25, 1.0), "sweep_weights": (0.5, 1.0), "sweep_temperatures": (0.7, 1.0)}
    )
    found = sweep(
        shop.kept,
        task,
        shop.items,
        shop.users,
        content_of(shop),
        settings,
        SYNTHESIS,
        seed=1,
        progress=lambda done, total: heard.append((done, total)),
    )
    return found, pieces, heard


def test_the_sweep_chooses_what_serves_people_best(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found, pieces, heard = swept(shop, monkeypatch, worth=3.0)
    assert pieces.drawn == [(t, w, d) for t in (0.7, 1.0) for w in (0.5, 1.0) for d in (0.25, 1.0)]
    assert heard == [(done, 9) for done in range(1, 10)]
    first, *others = found.trials
    assert (first.degree, first.gain, first.low, first.high) == (0.0, None, None, None)
    for trial in others:
        assert trial.gain == pytest.approx(trial.ndcg - first.ndcg)
        assert trial.low is not None
        assert trial.high is not None
        assert trial.low < trial.gain < trial.high
    assert (found.best.degree, found.best.weight) == (1.0, 1.0)
    assert found.best.ndcg == max(trial.ndcg for trial in others)
    assert found.pays
    assert found.chosen() == {"degree": 1.0, "weight": 1.0, "temperature": 0.7, "pays": True}
    shown = records(found.trials)
    assert len(shown) == 9
    assert shown[0]["gain"] is None
    assert shown[-1]["validation NDCG@20"] == round(found.trials[-1].ndcg, 4)


def test_what_hurts_does_not_pay_and_the_least_bad_is_named(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = swept(shop, monkeypatch, worth=-3.0)
    assert not found.pays
    assert (found.best.degree, found.best.weight) == (0.25, 0.5)
    assert found.best.ndcg < found.trials[0].ndcg


def test_a_gain_within_chance_does_not_pay(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def trial(low: float | None) -> Trial:
        return Trial(0.5, 1.0, 1.0, 0.2, 0.01, low, 0.03, 1.0)

    assert Sweep((trial(None), trial(0.001)), trial(0.001)).pays
    assert not Sweep((trial(None), trial(-0.001)), trial(-0.001)).pays
    assert not Sweep((trial(None), trial(0.0)), trial(0.0)).pays


def test_an_empty_grid_is_refused(shop: World) -> None:
    settings = SETTINGS.model_copy(update={"sweep_degrees": ()})
    with pytest.raises(ValueError, match="nothing to sweep"):
        sweep(shop.kept, task_after(shop.log), shop.items, shop.users, content_of(shop), settings, SYNTHESIS, seed=1)


def test_the_interval_is_that_of_a_paired_test() -> None:
    rng = np.random.default_rng(3)
    second = rng.random(800)
    first = second + rng.normal(0.02, 0.3, 800)
    gain, low, high = paired(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert gain == pytest.approx(float((first - second).mean()))
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=2e-4)
    drawn = rng.choice(first - second, (2000, 800)).mean(axis=1)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=3e-3)
    assert paired(first[:1], second[:1])[1:] == (-np.inf, np.inf)


def test_a_sweep_is_by_seed_and_trains_on_nothing_of_the_days_it_measures(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, bytes]] = []
    rows: list[SyntheticRows | WeightedRows | None] = []
    train = augmentation.train_ncf

    def spied(kept: KeptBack, *given: object, **knobs: object):
        found = train(kept, *given, **knobs)
        states.append({name: value.numpy().tobytes() for name, value in found.model.module.state_dict().items()})
        rows.append(knobs["synthetic"])
        return found

    monkeypatch.setattr(augmentation, "train_ncf", spied)
    settings = SETTINGS.model_copy(update={"sweep_degrees": (0.5,), "sweep_epochs": 1})
    task = task_after(shop.log)
    rng = np.random.default_rng(1)
    other = replace(task, target_items=rng.permutation(task.target_items))

    def run(asked: RankingTask) -> list[float]:
        found = sweep(shop.kept, asked, shop.items, shop.users, content_of(shop), settings, SYNTHESIS, seed=1)
        return [trial.ndcg for trial in found.trials]

    first, again, changed = run(task), run(task), run(other)
    assert first == again
    assert first[0] != changed[0]
    assert len(states) == 6
    assert states[0] == states[2] == states[4]
    assert states[1] == states[3] == states[5]
    assert states[0] != states[1]
    assert rows[0] is None
    assert rows[1] is not None
    assert len(rows[1]) > 200
    assert np.isin(COLD, rows[1].items).any()

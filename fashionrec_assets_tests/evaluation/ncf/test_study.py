from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.metrics import find_hits, rank, slice_metrics
from fashionrec_assets.evaluation.ncf.grid import BASELINE, variants
from fashionrec_assets.evaluation.ncf.preference import calibrate, pair_scores, preference_pairs, squared_errors
from fashionrec_assets.evaluation.ncf.report import judge
from fashionrec_assets.evaluation.ncf.study import study_slices, windows_of
from fashionrec_assets.evaluation.tables import NCF_ABLATIONS
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.evaluation.ncf.study_shop import FakeTrainer, settings_of, study
from fashionrec_assets_tests.evaluation.shop import CUTS, DAY, random_shop


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return study(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def report(done):
    return done[0]


def figures_of(report, name):
    return {key: figure.interval for key, figure in report.find(name).figures.items()}


def test_one_model_is_trained_once(done):
    report, trainer = done
    grid = variants(settings_of(), ("text", "image"))
    keys = [one.training(Settings().ncf) for one in grid if not one.baseline]
    assert len(trainer.trained) == len(set(keys)) < len(keys)
    assert [one.variant.name for one in report.outcomes] == [one.name for one in grid]
    for name in ("fusion=intermediate", "augmentation=none", "keep=100", "scorer=neumf", "cold=unknown:50"):
        assert figures_of(report, name) == figures_of(report, "modalities=all")
    assert figures_of(report, "augmentation=vae:50") == figures_of(report, "vae_over_random:50")
    assert figures_of(report, "cold=vae:50") != figures_of(report, "cold=unknown:50")


def test_what_helps_pays_and_what_hurts_harms(report):
    said = {one.variant.name: one.headline.judgement for one in report.outcomes}
    assert said["augmentation=none"] == "reference"
    assert said["augmentation=vae:50"] == "pays", "it adds the samples, and is better"
    assert said["augmentation=random:50"] == "harms", "it adds the samples, and is worse"
    assert said["vae_over_random:50"] == "pays"
    assert said["fusion=late"] == "pays", "the reference has intermediate fusion, and is better"
    assert said["modalities=text"] == "pays", "IDs help, and it has none"
    assert said["fusion=early"] == "cannot_tell"
    assert report.find("fusion=early").headline.difference.value == 0
    assert said["cold=vae:50"] == "pays"
    errors = {one.variant.name: one.figures["overall", "mse"] for one in report.outcomes}
    assert errors["augmentation=vae:50"].difference.high < 0
    assert errors["augmentation=vae:50"].judgement == "pays", "less error is better"
    assert errors["augmentation=random:50"].judgement == "harms"


def test_judgements_know_which_side_has_the_technique():
    adds, lacks = (
        next(one for one in variants(settings_of(), ("text", "image")) if one.name == name)
        for name in ("fusion=intermediate+vae", "fusion=early")
    )
    up, down, unclear = Interval(0.02, 0.01, 0.03), Interval(-0.02, -0.03, -0.01), Interval(0.01, -0.01, 0.03)
    assert (judge(adds, up, "ndcg"), judge(adds, down, "ndcg")) == ("pays", "harms")
    assert (judge(lacks, up, "ndcg"), judge(lacks, down, "ndcg")) == ("harms", "pays")
    assert (judge(adds, up, "mse"), judge(adds, down, "mse")) == ("harms", "pays")
    assert (judge(lacks, up, "mse"), judge(lacks, down, "mse")) == ("pays", "harms")
    assert judge(adds, unclear, "ndcg") == "cannot_tell"
    assert judge(adds, None, "ndcg") == "cannot_tell", "its reference has no figures"
    # The interval over people is beyond zero, but one training run points the other way.
    assert judge(adds, up, "ndcg", [0.05, 0.03, -0.02]) == "cannot_tell"
    assert judge(adds, up, "ndcg", [0.05, 0.03, 0.01]) == "pays"


def test_figures_are_those_of_the_metrics(done, tmp_path):
    report, trainer = done
    variant, _, _, seed = trainer.trained[0]
    log, launched = random_shop(4, n_users=160)
    task = windows_of(log, CUTS, [0], settings_of().evaluation, launched_at=launched, seed=seed)[0].task
    scores = trainer(variant, log.between(None, task.start), task, seed).recommender("unknown")
    hits = find_hits(task, rank(task, scores, 10))
    for name in ("overall", "warm", "cold", "cold_users"):
        values = slice_metrics(task, hits, name, [10]).values
        for metric in ("ndcg", "recall", "precision"):
            figure = report.find("modalities=all").figures[name, metric]
            assert figure.value == pytest.approx(values[metric, 10].mean())
            assert figure.people == len(values[metric, 10])
    pairs = preference_pairs(task, seed)
    kept_back = trainer(variant, log.between(None, task.start), task, seed)
    calibration = calibrate(
        kept_back.kept_back, kept_back.kept_back_recommender("unknown"), before=task.start, seed=seed
    )
    foretold = calibration.probabilities(pair_scores(task, pairs, scores))
    wanted = {"overall": pairs.items >= 0, "warm": task.warm[pairs.items], "cold": ~task.warm[pairs.items]}
    for name, chosen in wanted.items():
        errors = squared_errors(pairs, foretold, task.has_history, chosen)
        assert report.find("modalities=all").figures[name, "mse"].value == pytest.approx(errors.mean()), name
    del trainer.trained[-2:]


def test_people_are_told_apart_by_their_events(report):
    log, launched = random_shop(4, n_users=160)
    task = windows_of(log, CUTS, [0], settings_of().evaluation, launched_at=launched, seed=17)[0].task
    slices = study_slices(task)
    events = np.bincount(task.history.users, minlength=log.n_users)[task.users]
    assert (events[slices["cold_users"][0]] == 0).all()
    assert (events[slices["history_6_20"][0]] > 5).all() and (events[slices["history_6_20"][0]] <= 20).all()
    figures = report.find("modalities=all").figures
    assert {name for name, _ in figures} >= {"overall", "warm", "cold", "cold_users", "history_6_20"}
    own = sum(figures[name, "ndcg"].people for name, _ in figures if _ == "ndcg" and name.startswith("history"))
    assert own == figures["overall", "ndcg"].people


def test_a_killed_study_goes_on_where_it_stopped(done, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, FakeTrainer(stop_after=3))
    again, trainer = study(tmp_path)
    assert len(trainer.trained) == len(done[1].trained) - 3
    for one in done[0].outcomes:
        assert figures_of(again, one.variant.name) == figures_of(done[0], one.variant.name)
        assert again.find(one.variant.name).seconds == one.seconds or one.variant.baseline
    assert study(tmp_path)[1].trained == [], "nothing is left to train"
    assert len(study(tmp_path, recipe="b")[1].trained) == len(done[1].trained), "other data, and nothing of it counts"


def test_a_missing_filling_alone_is_measured_anew(tmp_path):
    first, _ = study(tmp_path, ncf_experiments=(1,))
    more, trainer = study(tmp_path, ncf_experiments=(1, 4))
    trained = [variant.name for variant, *_ in trainer.trained]
    assert trained == ["cold=neighbours:50", "cold=unknown:0"], "each model once, for all its missing fillings"
    assert figures_of(more, "modalities=all") == figures_of(first, "modalities=all")


def test_progress_counts_models_and_seeds(tmp_path):
    heard = []
    study(tmp_path, heard=heard, ncf_experiments=(1,), ncf_seeds=2)
    assert heard == [(number, 8) for number in range(1, 9)]


def test_several_seeds_give_a_deviation(tmp_path):
    report, trainer = study(tmp_path, ncf_experiments=(1,), ncf_seeds=3)
    assert {seed for *_, seed in trainer.trained} == {17, 18, 19}
    one = report.find("modalities=all")
    assert one.seeds == 3
    assert one.headline.deviation > 0
    single, _ = study(tmp_path, ncf_experiments=(1,), ncf_seeds=1)
    assert single.find("modalities=all").headline.deviation is None
    assert single.find("modalities=all").headline.value != one.headline.value


def test_events_are_thinned_in_training_and_nested():
    log, launched = random_shop(4, n_users=160)
    window = windows_of(log, CUTS, [0], settings_of().evaluation, launched_at=launched, seed=17)[0]
    half, tenth = window.kept(0.5, 3), window.kept(0.1, 3)
    assert 0.4 < len(half) / len(window.sample) < 0.6
    key = lambda part: set(zip(part.users, part.items, part.times, strict=True))  # noqa: E731
    assert key(tenth) < key(half) < key(window.sample)
    assert window.kept(1.0, 3) is window.sample
    assert not np.array_equal(window.kept(0.5, 4).times, half.times)


def test_models_see_only_what_their_window_allows(done):
    by_name = {(task, round(variant.keep, 2)): events for variant, events, task, _ in done[1].trained}
    assert by_name["test", 0.25] < 0.4 * by_name["test", 1.0]
    assert by_name["test-1", 1.0] < by_name["test", 1.0]
    facts = {one.number: one for one in done[0].windows}
    assert facts[1].end == facts[0].start == CUTS.test
    assert facts[0].cold_users > 0


def test_a_window_before_which_nothing_happened_is_left_out(tmp_path):
    log, launched = random_shop(4)
    found = windows_of(log, CUTS, [0, 1, 9], settings_of().evaluation, launched_at=launched, seed=1)
    assert sorted(found) == [0, 1]
    assert found[1].task.start == CUTS.test - 2 * DAY
    assert (
        len(windows_of(log, CUTS, [0], settings_of(ncf_users=5).evaluation, launched_at=launched, seed=1)[0].task.users)
        <= 10
    )


def test_what_cannot_be_trained_is_left_out_with_a_reason(tmp_path):
    report, _ = study(tmp_path, FakeTrainer(left_out="attributes"), ncf_experiments=(3,))
    assert report.left_out == {"augmentation=attributes:50": "no item has attributes"}
    assert report.find("augmentation=attributes:50") is None
    against = report.find("vae_over_attributes:50").headline
    assert (against.difference, against.judgement) == (None, "cannot_tell")
    diverged, _ = study(tmp_path / "b", FakeTrainer(diverges="fusion=late"), ncf_experiments=(2,))
    assert diverged.left_out == {"fusion=late": "the loss became nan"}
    assert set(diverged.completeness()["planned"]) >= set(diverged.left_out)


def test_without_people_to_calibrate_on_there_is_no_squared_error(tmp_path):
    class Lonely(FakeTrainer):
        def __call__(self, variant, log, task, seed):
            found = super().__call__(variant, log, task, seed)
            nobody = windows_of(log, CUTS, [9], settings_of().evaluation, launched_at=None, seed=1)
            assert not nobody
            empty = found.kept_back
            found.kept_back = type(empty)(
                **{
                    **empty.__dict__,
                    "users": empty.users[:0],
                    "target_offsets": np.zeros(1, np.int64),
                    "target_items": empty.target_items[:0],
                    "has_history": empty.has_history[:0],
                }
            )
            return found

    report, _ = study(tmp_path, Lonely(), ncf_experiments=(1,))
    assert ("overall", "mse") not in report.find("modalities=all").figures
    assert ("overall", "ndcg") in report.find("modalities=all").figures
    assert "Only photos" in report.notes[0]


def test_content_knn_stands_beside_the_model_untrained(done):
    report, trainer = done
    one = report.find(BASELINE)
    assert not any(variant.baseline for variant, *_ in trainer.trained)
    assert one.figures["cold", "ndcg"].difference is not None
    assert one.figures["overall", "mse"].value < 1
    assert one.headline.judgement == "pays", "the model knows the targets; random vectors do not"


def test_records_fit_the_table(report):
    records = report.records()
    assert all(set(record) == set(NCF_ABLATIONS.column_names) for record in records)
    keys = [tuple(record[name] for name in NCF_ABLATIONS.key) for record in records]
    assert len(set(keys)) == len(keys)
    for column in NCF_ABLATIONS.columns:
        values = {record[column.name] for record in records}
        assert column.nullable or None not in values, column.name
        assert not column.values or values <= set(column.values), column.name
        assert column.minimum is None or min(v for v in values | {1e9} if v is not None) >= column.minimum
    assert pa.table({name: [record[name] for record in records] for name in NCF_ABLATIONS.column_names}).num_rows
    flat = report.flat()
    assert flat["ncf_ablations.default.augmentation=vae:50.overall.ndcg@10.difference"] > 0
    assert flat["ncf_ablations.default.augmentation=vae:50.overall.mse"] > 0
    assert np.isfinite(list(flat.values())).all()

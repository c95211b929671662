from __future__ import annotations

from dataclasses import replace

import pytest

from fashionrec_assets.evaluation.bootstrap import Interval
from fashionrec_assets.evaluation.ncf.diagnosis import LOW_ORDER, diagnose
from fashionrec_assets.evaluation.ncf.grid import variants
from fashionrec_assets.evaluation.ncf.report import Figure, NcfReport, Outcome, judge
from fashionrec_assets.settings import Settings

GRID = {one.name: one for one in variants(Settings(), ("text", "image"))}
SOUND = {"ndcg": 0.10, "precision": 0.05, "mse": 0.12}
CHOSEN = ("modalities=all", "modalities=text", "fusion=intermediate", "fusion=early", "fusion=late")
CHOSEN += ("fusion=intermediate+vae", "augmentation=none", "augmentation=random:50", "keep=100", "keep=25")
SAME = ("modalities=all", "fusion=intermediate", "augmentation=none", "keep=100")
"""They are one model."""


def outcome(name, values=None, *, gap=0.0, mse_gap=0.0, width=0.004, seconds=10.0):
    """A variant with `values`, `gap` above its reference in ranking and `mse_gap` in error, give or take `width`."""
    variant = GRID[name]
    values = {**SOUND, "base_mse": 0.16, **(values or {})}
    figures = {}
    for metric, value in values.items():
        difference = None
        if variant.reference and metric != "base_mse":
            middle = mse_gap if metric == "mse" else gap
            difference = Interval(middle, middle - width, middle + width)
        interval = Interval(value, value - width, value + width)
        figures["overall", metric] = Figure(interval, difference, judge(variant, difference, metric), None, 100)
    return Outcome(variant, variant.recipe(Settings().ncf), figures, 1, seconds)


def report_of(**changed):
    """A study in which nothing is wrong but for the `changed` outcomes, by name with `=` as `__`."""
    found = {name: outcome(name, {"ndcg": 0.1 + 1e-6 * at}) for at, name in enumerate(CHOSEN)}
    found.update({one.variant.name: one for one in changed.pop("planted", [])})
    return NcfReport("default", 10, 3, (), tuple(GRID.values()), tuple(found.values()), {})


def signatures(report):
    return [(one.signature, one.variant) for one in diagnose(report)]


def test_a_sound_study_has_no_findings():
    assert diagnose(report_of()) == ()


def test_low_precision_with_a_high_error():
    bad = outcome("fusion=late", {"precision": 0.03, "ndcg": 0.06, "mse": 0.15}, gap=-0.02, mse_gap=0.03)
    report = report_of(planted=[bad])
    assert signatures(report) == [("imprecise_and_far_off", "fusion=late")]
    (finding,) = diagnose(report)
    assert ".0300" in finding.evidence and ".1500" in finding.evidence and "Intermediate" in finding.evidence
    assert "fused" in finding.cause and "ncf.fusion" in finding.remedy
    # One of the two alone is no signature.
    assert diagnose(report_of(planted=[outcome("fusion=late", gap=-0.02)])) == ()
    assert diagnose(report_of(planted=[outcome("fusion=late", mse_gap=0.03)])) == ()


def test_its_cause_is_looked_for_in_the_samples_where_samples_differ():
    bad = outcome("augmentation=random:50", {"precision": 0.03, "ndcg": 0.06, "mse": 0.15}, gap=-0.02, mse_gap=0.03)
    (finding,) = diagnose(report_of(planted=[bad]))
    assert finding.signature == "imprecise_and_far_off"
    assert "samples" in finding.cause and "synthesis.degree" in finding.remedy


def test_fewer_events_and_less_content_are_meant_to_be_worse():
    for name in ("keep=25", "modalities=text"):
        bad = outcome(name, {"precision": 0.03, "ndcg": 0.06, "mse": 0.15}, gap=-0.02, mse_gap=0.03)
        assert diagnose(report_of(planted=[bad])) == ()


def test_one_modality_that_beats_all_of_them_is_bad_fusion():
    better = outcome("modalities=text", {"precision": 0.06, "ndcg": 0.12, "mse": 0.10}, gap=0.02, mse_gap=-0.03)
    (finding,) = diagnose(report_of(planted=[better]))
    assert (finding.signature, finding.variant) == ("imprecise_and_far_off", "modalities=all")
    assert "Only text" in finding.evidence and "fused" in finding.cause


def test_a_model_that_is_worse_than_the_base_rate():
    bad = [outcome(name, {"precision": 0.01, "ndcg": 0.02, "mse": 0.2}) for name in SAME]
    (finding,) = diagnose(report_of(planted=bad))
    assert (finding.signature, finding.variant) == ("imprecise_and_far_off", "modalities=all"), "one model, named once"
    assert "base rate" in finding.evidence and ".1600" in finding.evidence
    believed = [outcome(name, {"precision": 0.01, "ndcg": 0.02, "mse": 0.15}) for name in SAME]
    assert diagnose(report_of(planted=believed)) == (), "imprecise, but better than the base rate"
    precise = [outcome(name, {"precision": 0.04, "ndcg": 0.08, "mse": 0.2}) for name in SAME]
    assert diagnose(report_of(planted=precise)) == ()


def test_the_right_items_in_the_wrong_places():
    blurred = outcome("fusion=early", {"precision": 0.055, "ndcg": 0.08})
    (finding,) = diagnose(report_of(planted=[blurred]))
    assert (finding.signature, finding.variant) == ("wrong_order", "fusion=early")
    assert ".1100" in finding.evidence and ".0800" in finding.evidence, "what others get for the same precision"
    assert diagnose(report_of(planted=[outcome("fusion=early", {"precision": 0.055, "ndcg": 0.102})])) == ()
    low = outcome("fusion=early", {"precision": 0.03, "ndcg": 0.03})
    assert diagnose(report_of(planted=[low])) == (), "its precision is not high"
    assert 0 < LOW_ORDER < 1


def test_a_long_training_for_nothing():
    slow = outcome("fusion=intermediate+vae", {"ndcg": 0.1003}, seconds=25.0)
    (finding,) = diagnose(report_of(planted=[slow]))
    assert (finding.signature, finding.variant) == ("slow_for_nothing", "fusion=intermediate+vae")
    assert "2.5 times" in finding.evidence and "synthesis.epochs" in finding.remedy
    assert "2.49 s" in finding.evidence and "1.00 s" in finding.evidence, "seconds per point of NDCG"
    assert diagnose(report_of(planted=[replace(slow, seconds=19.0)])) == (), "not twice as long"
    worth = outcome("fusion=intermediate+vae", {"ndcg": 0.12}, gap=0.02, seconds=25.0)
    assert diagnose(report_of(planted=[worth])) == (), "it gained something"


def test_a_blink_is_not_long(monkeypatch):
    report = report_of(planted=[outcome("fusion=intermediate+vae", seconds=0.3)])
    quick = tuple(replace(one, seconds=min(one.seconds, 0.1)) for one in report.outcomes if one.seconds != 0.3)
    slow = tuple(one for one in report.outcomes if one.seconds == 0.3)
    assert diagnose(replace(report, outcomes=(*quick, *slow))) == ()


@pytest.mark.parametrize(("gap", "mse_gap", "said"), [(-0.02, 0.0, "NDCG@10"), (0.0, 0.03, "MSE")])
def test_samples_that_hurt(gap, mse_gap, said):
    bad = outcome("fusion=intermediate+vae", gap=gap, mse_gap=mse_gap)
    (finding,) = diagnose(report_of(planted=[bad]))
    assert (finding.signature, finding.variant) == ("harmful_samples", "fusion=intermediate+vae")
    assert said in finding.evidence and "synthesis.degree" in finding.remedy
    assert diagnose(report_of(planted=[outcome("fusion=intermediate+vae", gap=0.02, mse_gap=-0.03)])) == ()


def test_one_model_in_two_experiments_is_named_once():
    grid = variants(Settings(), ("text", "image"))
    same = [one for one in grid if one.name in ("fusion=intermediate+vae", "augmentation=vae:50")]
    assert len(same) == 2
    values = {"precision": 0.055, "ndcg": 0.08}
    planted = [outcome(one.name, values) for one in same]
    found = [one for one in diagnose(report_of(planted=planted)) if one.signature == "wrong_order"]
    assert len(found) == 1

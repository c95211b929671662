from __future__ import annotations

import numpy as np
import pytest

from fashionrec_assets.embeddings.arms import ARMS, FULL, Arm
from fashionrec_assets.evaluation.bootstrap import paired_difference
from fashionrec_assets.evaluation.retrieval import ALL, own_figures, own_places
from fashionrec_assets.evaluation.retrieval_report import (
    COMMONEST,
    ArmVectors,
    HeldOut,
    arm_key,
    ceiling,
    evaluate_retrieval,
    served_arm,
)
from fashionrec_assets.evaluation.shopper_phrases import shopper_phrases
from fashionrec_assets.evaluation.tables import RETRIEVAL_REPORT, TECHNIQUE_EFFECTS
from fashionrec_assets_tests.evaluation.arms import planted, unit

ALL_HELP = {"tuned": 0.3, "grounded": 0.3, "clarified": 0.3}
ORIGINALS = tuple(arm for arm in ARMS if not arm.tuned)


@pytest.fixture(scope="module")
def report():
    return planted(gains=ALL_HELP)


def judgements(report):
    return {finding.technique: finding.judgement for finding in report.findings}


def verdict(report, technique):
    return next(finding.verdict for finding in report.findings if finding.technique == technique)


def test_planted_effects_are_found(report):
    assert judgements(report) == {"tuned": "pays", "grounded": "pays", "clarified": "pays"}
    assert [verdict(report, name).tone for name in ALL_HELP] == ["good"] * 3
    assert verdict(report, "grounded").text.startswith("Grounding: pays")
    assert "NDCG@10" in verdict(report, "clarified").text


def test_a_technique_that_does_nothing_is_not_praised():
    said = [judgements(planted(gains={"tuned": 0.3, "clarified": 0.3}, seed=seed))["grounded"] for seed in range(5)]
    assert "pays" not in said
    assert "harms" not in said


def test_a_technique_that_makes_it_worse_harms():
    report = planted(gains={"tuned": 0.3, "grounded": -0.5, "clarified": 0.3})
    assert judgements(report)["grounded"] == "harms"
    assert verdict(report, "grounded").tone == "bad"


def test_an_open_question_says_how_many_items_would_settle_it():
    few, many = (planted(n, gains={"tuned": 0.3, "grounded": 0.04, "clarified": 0.3}) for n in (60, 1200))
    finding = next(finding for finding in few.findings if finding.technique == "grounded")
    assert finding.judgement == "cannot_tell"
    assert finding.needed_items is not None
    assert finding.needed_items > 5 * 60
    assert f"cannot tell yet: needs about {finding.needed_items:,} items" in finding.verdict.text
    assert few.figures()["retrieval.effect.grounded.needed_items"] == finding.needed_items
    errors = [r.effect("grounded", "added_last", "text_to_image", metric=("mrr", 0)).error for r in (few, many)]
    assert errors[1] < errors[0] / 2


def test_clarified_text_does_not_win_by_asking_easier_questions():
    same = planted(gains={"tuned": 0.3, "grounded": 0.3, "clarified": 0.6}, phrase_gains={"tuned": 0.3})
    assert same.effect("clarified", "added_last", "text_to_image").difference.low > 0
    assert judgements(same)["clarified"] in ("cannot_tell", "does_not_pay")
    assert "another question" in verdict(same, "clarified").text
    worse = planted(gains=ALL_HELP | {"clarified": 0.6}, phrase_gains={"tuned": 0.3, "clarified": -2.0})
    assert judgements(worse)["clarified"] == "harms"
    assert "easier to find" in verdict(worse, "clarified").text


def test_every_arm_is_measured_on_every_task(report):
    figures = report.figures()
    for arm in ("original", "tuned", "grounded+clarified", "full"):
        for task in ("text_to_image", "image_to_text", "image_to_image", "phrase_to_image"):
            for metric in ("hits@1", "hits@5", "hits@10", "mrr", "ndcg@10"):
                key = f"retrieval.{arm}.{task}.{metric}"
                assert 0 <= figures[f"{key}.low"] <= figures[key] <= figures[f"{key}.high"] <= 1, key
    assert figures["retrieval.full.text_to_image.hits@5"] > figures["retrieval.original.text_to_image.hits@5"]
    assert figures["retrieval.full.small_garment.text_to_image.hits@5"] > 0
    assert "retrieval.full.worn.text_to_image.hits@5" not in figures
    assert figures["retrieval.effect.grounded.added_last.text_to_image.hits@5.low"] > 0
    assert (
        figures["retrieval.full.zero_shot.colour.accuracy"]
        > figures[f"retrieval.{COMMONEST}.zero_shot.colour.accuracy"]
    )
    assert figures["retrieval.items"] == 200
    assert figures["retrieval.families"] == 100


def test_slices_make_up_the_whole(report):
    small, large, whole = (
        report.row("full", "text_to_image", name, ("mrr", 0)) for name in ("small_garment", "large_garment", ALL)
    )
    assert small.queries + large.queries == whole.queries
    mean = (small.value.value * small.queries + large.value.value * large.queries) / whole.queries
    assert whole.value.value == pytest.approx(mean)


def test_an_effect_is_the_paired_difference_of_its_arms():
    texts, images = (unit(np.random.default_rng(seed).normal(size=(40, 8))) for seed in (1, 2))
    arms = [
        ArmVectors(FULL, images, unit(images + 0.5 * texts), np.zeros((0, 8), np.float32)),
        ArmVectors(Arm(True, False, True), texts, unit(images + 0.5 * texts), np.zeros((0, 8), np.float32)),
    ]
    held_out = HeldOut([str(n) for n in range(40)], [str(n) for n in range(40)], {}, {}, {True: ["t"] * 40}, 200)
    nothing = shopper_phrases({}, held_out.item_ids, 10)
    report = evaluate_retrieval(held_out, arms, nothing, [], worth=0.02, draws=4000, seed=3)
    effect = report.effect("grounded", "added_last", "text_to_image", metric=("mrr", 0))
    first, second = (own_figures(own_places(arm.texts, arm.images), 40).values["mrr", 0] for arm in arms)
    expected = paired_difference(first, second, draws=4000, seed=3)
    assert effect.difference.value == pytest.approx(expected.value)
    # A little wider than the plain interval: 40 families are few.
    assert expected.low - 0.02 < effect.difference.low < expected.low + 0.005
    assert effect.error == pytest.approx((first - second).std() / np.sqrt(40), rel=0.1)


def test_records_fit_the_tables(report):
    for table, records in ((RETRIEVAL_REPORT, report.records()), (TECHNIQUE_EFFECTS, report.effect_records())):
        assert records
        assert all(set(record) == set(table.column_names) for record in records)
        keys = [tuple(record[name] for name in table.key) for record in records]
        assert len(set(keys)) == len(keys)
        for column in table.columns:
            values = {record[column.name] for record in records}
            assert column.nullable or None not in values, column.name
            assert not column.values or values <= set(column.values), column.name
    told = [record for record in report.effect_records() if record["verdict"]]
    assert {record["technique"] for record in told} == set(ALL_HELP)


def test_a_model_from_scratch_is_not_compared_with_chance():
    report = planted(gains=ALL_HELP, original_is_random=True)
    assert report.effect("grounded", "added_first", "text_to_image") is None
    assert report.effect("tuned", "added_first", "text_to_image") is not None
    assert any("random weights" in one.text for one in report.verdicts)


def test_without_fine_tuned_arms_the_originals_are_compared():
    report = planted(gains=ALL_HELP, arms=ORIGINALS)
    assert report.served == Arm(False, True, True)
    said = judgements(report)
    assert said["tuned"] is None
    assert said["grounded"] == "pays"
    # The weights are the same in both arms, so phrases cannot speak for or against the text.
    assert said["clarified"] == "pays"
    assert "another question" in verdict(report, "clarified").text
    assert "not measured" in verdict(report, "tuned").text


def test_without_ablations_only_what_was_trained_is_judged():
    report = planted(gains=ALL_HELP, arms=(*ORIGINALS, FULL))
    assert judgements(report)["tuned"] == "pays"
    assert report.effect("grounded", "added_last", "text_to_image") is None
    assert judgements(report)["grounded"] == "pays"
    assert "added to the original model" in verdict(report, "grounded").text
    alone = planted(gains=ALL_HELP, arms=(FULL,))
    assert set(judgements(alone).values()) == {None}
    assert "clip.ablations" in verdict(alone, "grounded").text


@pytest.mark.parametrize("n", [0, 7])
def test_too_few_items_are_said_in_a_sentence(n):
    ids = [str(row) for row in range(n)]
    held_out = HeldOut(ids, ids, {}, {}, {False: ids, True: ids}, n)
    vectors = unit(np.ones((n, 4)))
    arm = ArmVectors(FULL, vectors, vectors, np.zeros((0, 4), np.float32))
    report = evaluate_retrieval(held_out, [arm], shopper_phrases({}, ids, 5), [], worth=0.02, draws=50, seed=0)
    assert report.missing
    assert f"{n} items" in report.verdicts[0].text
    assert report.figures() == {}
    assert report.records() == report.effect_records() == []
    nobody = evaluate_retrieval(held_out, [], shopper_phrases({}, ids, 5), [], worth=0.02, draws=50, seed=0)
    assert nobody.missing


def test_no_fields_and_no_families_leave_those_parts_out():
    n = 12
    ids = [str(row) for row in range(n)]
    held_out = HeldOut(ids, ids, {}, {}, {False: ids, True: ids}, n)
    vectors = unit(np.random.default_rng(0).normal(size=(n, 4)))
    arm = ArmVectors(FULL, vectors, vectors, np.zeros((0, 4), np.float32))
    report = evaluate_retrieval(held_out, [arm], shopper_phrases({}, ids, 5), [], worth=0.02, draws=50, seed=0)
    assert {row.task for row in report.rows} == {"text_to_image", "image_to_text"}
    # A perfect score has an interval all the same.
    row = report.row("full", "text_to_image", ALL, ("hits", 5))
    assert (row.value.value, row.value.low, row.value.high) == (1.0, 0.75, 1.0)


def test_examples_are_chosen_by_a_hash_and_show_failures_too():
    report = planted(gains={"tuned": 0.1}, examples=6)
    assert [example.found for example in report.examples] == [True] * 3 + [False] * 3
    for example in report.examples:
        assert len(set(example.best)) == 5
        assert (example.rank <= 5) == example.found
        assert example.text == f"item {example.row} clear"
    assert planted(gains={"tuned": 0.1}, examples=6).examples == report.examples
    perfect = planted(gains=ALL_HELP, examples=4)
    assert [example.found for example in perfect.examples] == [True, True]
    assert planted(gains=ALL_HELP, examples=0).examples == ()


def test_equal_texts_set_a_ceiling():
    assert ceiling(["a", "b", "c"], 5) == 1.0
    assert ceiling(["a"] * 10 + ["b"] * 10, 5) == 0.5
    assert ceiling([], 5) == 0.0


def test_same_seed_same_report(report):
    again = planted(gains=ALL_HELP)
    assert again.rows == report.rows
    assert again.effects == report.effects
    assert again.verdicts == report.verdicts


def test_names():
    assert arm_key(FULL) == "full"
    assert arm_key(Arm(False, False, False)) == "original"
    assert served_arm(ARMS) == FULL
    assert served_arm(ORIGINALS) == Arm(False, True, True)
    assert served_arm([]) is None

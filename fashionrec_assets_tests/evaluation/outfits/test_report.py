from pathlib import Path

import numpy as np
import pytest

from fashionrec_assets.catalog.event_log import Cuts, EventLog
from fashionrec_assets.evaluation.outfits.methods import CATEGORY, COUNTS, MODEL, POPULAR, RANDOM
from fashionrec_assets.evaluation.outfits.page import outfit_page, outfit_verdicts
from fashionrec_assets.evaluation.outfits.report import OutfitReport, figures_of, measure, per_question
from fashionrec_assets.evaluation.outfits.tables import OUTFIT_REPORT
from fashionrec_assets.evaluation.outfits.task import completion_task
from fashionrec_assets.evaluation.render import write_page
from fashionrec_assets.recommendations.outfits.baskets import DAY
from fashionrec_assets.settings import OutfitSettings
from fashionrec_assets_tests.recommendations.outfits.shop import DAYS, basket_log, catalog, everything, row, wardrobe

SETTINGS = OutfitSettings(enough_baskets=10, negatives=10, evaluated_baskets=60, train_baskets=100)
CUTS = Cuts((DAYS - 2) * DAY, (DAYS - 1) * DAY, DAYS * DAY)


def _quiet(done: int, total: int) -> None:
    pass


def _report(log: EventLog) -> OutfitReport:
    rows = catalog(i00={"title": "<script>alert(1)</script>", "product_type": "<b>shirt</b>"})
    clothes = wardrobe(rows)
    on_sale = np.zeros(len(clothes), dtype=np.int64)
    return measure(log, clothes, CUTS, on_sale, SETTINGS, draws=60, seed=3, progress=_quiet)


@pytest.fixture(scope="module")
def report() -> OutfitReport:
    return _report(basket_log())


def test_the_model_finds_the_rule_that_popularity_cannot(report: OutfitReport) -> None:
    for rival in (POPULAR, RANDOM):
        behind = report.figures["any", rival, "ndcg"].behind
        assert behind is not None
        assert behind.low > 0
    own = report.figures["any", MODEL, "ndcg"].value.value
    category = report.figures["any", CATEGORY, "ndcg"].value.value
    assert own > category > report.figures["any", POPULAR, "ndcg"].value.value
    assert report.figures["any", MODEL, "ndcg"].behind is None
    assert report.behaviours == ("buy",)


def test_types_that_meet_beyond_chance_are_told(report: OutfitReport) -> None:
    pairs = {frozenset((pair.first, pair.second)) for pair in report.pairs}
    assert frozenset(("bag", "sneakers")) in pairs
    assert all("jacket" not in pair for pair in pairs)
    for pair in report.pairs:
        assert pair.baskets >= 5


def test_planted_test_baskets_change_the_figures_and_nothing_that_is_learned(report: OutfitReport) -> None:
    leaked = _report(basket_log([(row("i00"), row("i30"))] * 100))
    assert leaked.weights == report.weights
    assert leaked.pairs == report.pairs
    assert leaked.without == report.without
    assert leaked.eligible == report.eligible + 100
    counts = ("any", COUNTS, "recall")
    # Baskets that counts had learned from would be found by them.
    assert leaked.figures[counts].value.value < report.figures[counts].value.value


def test_a_basket_counts_once_and_people_are_drawn_whole() -> None:
    planted = [(row("i00"), row("i01"))]
    log = basket_log(planted, a_day=2)
    clothes = wardrobe()
    start = (DAYS - 1) * DAY
    task = completion_task(
        log, clothes, ("buy",), start=start, end=start + DAY, pool=everything(len(clothes)), most=99, seed=0
    )
    baskets = task.questions.baskets
    assert len(np.unique(baskets)) == 3
    ranks = np.where(baskets == baskets[0], 1, 100)
    ranks[0] = 100
    figures, asked = figures_of(task, {MODEL: ranks, "other": np.full(len(ranks), 1)}, 50, 0)
    assert (asked.baskets, asked.questions) == (3, 6)
    assert figures[MODEL, "recall"].value.value == pytest.approx(0.5 / 3)
    behind = figures["other", "recall"].behind
    assert behind is not None
    assert behind.value == pytest.approx(0.5 / 3 - 1)


def test_metrics_of_one_right_answer() -> None:
    found = per_question(np.array([1, 3, 10, 11]))
    assert found["recall"].tolist() == [1, 1, 1, 0]
    assert found["ndcg"].tolist() == pytest.approx([1, 0.5, 1 / np.log2(11), 0])
    assert found["mrr"].tolist() == pytest.approx([1, 1 / 3, 0.1, 1 / 11])


def test_the_page_says_what_the_figures_say_and_is_plain_text(report: OutfitReport, tmp_path: Path) -> None:
    html, _ = write_page(outfit_page(report), tmp_path, "outfits")
    text = html.read_text("utf-8")
    assert "<b>shirt</b>" not in text
    assert "&lt;b&gt;shirt" in text
    verdict = next(one for one in outfit_verdicts(report) if "beats popularity" in one.text)
    assert verdict.tone == "good"
    assert f"{report.figures['any', MODEL, 'recall'].value.value:.4f}".removeprefix("0") in verdict.text


def test_the_table_has_a_row_for_every_figure(report: OutfitReport) -> None:
    records = report.records()
    assert {tuple(record) for record in records} == {OUTFIT_REPORT.column_names}
    assert len(records) == len(report.figures) == len(report.flat())
    assert len({tuple(record[name] for name in OUTFIT_REPORT.key) for record in records}) == len(records)

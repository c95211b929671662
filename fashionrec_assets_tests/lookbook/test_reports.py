from __future__ import annotations

from pathlib import Path

from fashionrec_assets.evaluation.plots import Bar, interval_plot
from fashionrec_assets.evaluation.render import Drawing, Page, Section, write_page
from fashionrec_assets.evaluation.words import Verdict
from fashionrec_assets.lookbook.reports import read_reports, reports_digest

WORDS = "A_B beats <b>C</b> & *D* by .1 | [x]"


def page(title: str, *drawings: Drawing) -> Page:
    verdicts = [Verdict("good", WORDS), Verdict("undecided", "Nobody can tell.")]
    sections = [Section("One", drawings=drawings, points=["**Yes**: no verdict"]), Section("Two")]
    return Page(title, "kicker", "What is asked?", verdicts, sections, "footer")


def plot(name: str, title: str) -> Drawing:
    return Drawing(title, interval_plot(name, [Bar("a", 1.0, 0.5, 1.5), Bar("b", 2.0)], "x"), "a hint")


def test_a_published_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_page(
        page("Ranking <report>", plot("one", "First & best"), plot("two", "Second"), plot("three", "T")),
        tmp_path,
        "ranking",
    )
    (report,) = read_reports(tmp_path)
    assert (report.name, report.title, report.lead) == ("ranking", "Ranking <report>", "What is asked?")
    assert report.page == "ranking.html"
    assert [(one.word, one.text) for one in report.verdicts] == [("Yes", WORDS), ("Undecided", "Nobody can tell.")]
    assert [one.caption for one in report.plots] == ["One · First & best", "One · Second"]
    assert all(one.svg.startswith("<svg") and one.svg.endswith("</svg>") for one in report.plots)


def test_drawings_of_two_reports_share_no_id(tmp_path: Path) -> None:
    for name in ("ranking", "outfits"):
        write_page(page(name, plot("same", "A")), tmp_path, name)
    first, second = (one.plots[0].svg for one in read_reports(tmp_path))
    assert str(first) != str(second)
    assert 'id="ranking-0-' in first and 'id="outfits-0-' in second
    assert "#same" not in first and "url(#same" not in first


def test_reports_on_what_shoppers_see_come_first_and_the_lookbook_is_none(tmp_path: Path) -> None:
    for name in ("ablations", "outfits", "ranking", "lookbook"):
        (tmp_path / f"{name}.html").write_text("<p>", "utf-8")
    found = read_reports(tmp_path)
    assert [one.name for one in found] == ["ranking", "outfits", "ablations"]
    assert found[2].title == "ablations" and not found[2].verdicts and not found[2].plots


def test_the_digest_changes_with_what_is_shown(tmp_path: Path) -> None:
    write_page(page("A"), tmp_path, "ranking")
    before = reports_digest(tmp_path)
    assert reports_digest(tmp_path) == before
    write_page(page("A", plot("one", "New")), tmp_path, "ranking")
    assert reports_digest(tmp_path) != before

from __future__ import annotations

from pathlib import Path

import pytest

from fashionrec_assets.lookbook.inspection import faults, large_pages


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://example.org/a.png">',
        '<img src="//example.org/a.png">',
        '<a href="http://example.org">x</a>',
        '<a href="javascript:alert(1)">x</a>',
        "<script>1</script>",
        '<p onclick="x()">',
        '<svg><image href="https://example.org/a.png"/></svg>',
    ],
)
def test_what_reaches_out_or_runs_is_found(tmp_path: Path, markup: str) -> None:
    (tmp_path / "index.html").write_text(f"<p>https://example.org is only text</p>{markup}", "utf-8")
    assert len(faults(tmp_path).reaching_out) == 1


def test_a_style_sheet_that_names_an_address_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p { background: url(https://example.org/a.png) }", "utf-8")
    assert faults(tmp_path).reaching_out == ["a.css: an address"]


def test_links_to_nowhere_are_found_and_others_are_not(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "in").mkdir(parents=True)
    (tmp_path / "report one.html").write_text("<p>", "utf-8")
    (site / "in" / "b.html").write_text('<p id="here"><a href="../a.html#there">', "utf-8")
    (site / "a.html").write_text(
        '<p id="there"><a href="in/b.html#here"><a href="#there"><a href="../report%20one.html"><img src="data:,">'
        '<a href="in/b.html#gone"><a href="in/c.html"><a href="#gone">',
        "utf-8",
    )
    found = faults(site)
    assert found.broken == ["a.html: #gone", "a.html: in/b.html#gone", "a.html: in/c.html"]
    assert (found.reaching_out, found.pages) == ([], 2)


def test_large_pages_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("x" * 11, "utf-8")
    (tmp_path / "b.html").write_text("x" * 10, "utf-8")
    assert large_pages(tmp_path, 10) == ["a.html: 11 bytes"]

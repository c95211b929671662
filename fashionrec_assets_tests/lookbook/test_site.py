"""The lookbook's pages, made of content in which every text of the catalog is hostile."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fashionrec_assets.lookbook.content import Content
from fashionrec_assets.lookbook.inspection import faults
from fashionrec_assets.lookbook.pages import item_href, shopper_href
from fashionrec_assets.lookbook.pictures import slug
from fashionrec_assets.lookbook.site import Built, build
from fashionrec_assets.settings import Settings
from fashionrec_assets_tests.lookbook.book import CONTENT, EMPTY, HOSTILE, KNOWN, STRANGER, crops


def quiet(done: int, total: int) -> None:
    """Nobody listens."""


def made(tmp_path: Path, content: Content = CONTENT, *pictured: str) -> tuple[Path, Built]:
    """The site's folder, and what was built."""
    settings = Settings.load(home=tmp_path / "home", raw=tmp_path)
    reports = tmp_path / "home" / "reports"
    built = build(content, crops(tmp_path / "crops", *(pictured or ("a", "b"))), reports, settings, quiet)
    return reports / "lookbook", built


class Read(HTMLParser):
    """A page as a browser reads it: its elements and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def test_a_catalog_text_with_markup_is_shown_as_text(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    for page in site.rglob("*.html"):
        read = Read(page)
        assert "49 <img" not in read.text, page
        assert not read.all("script"), page
        assert not [name for _, attrs in read.elements for name in attrs if name.startswith("on")], page
        assert not [attrs for attrs in read.all("img") if "example" in str(attrs.get("src"))], page
    item = Read(site / item_href("b"))
    assert HOSTILE in item.text
    assert any(HOSTILE in str(attrs.get("alt")) for attrs in item.all("img"))
    assert HOSTILE in Read(site / shopper_href(KNOWN)).text
    assert HOSTILE in Read(site / "styles.html").text


def test_no_page_reaches_out_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    site, built = made(tmp_path)
    found = faults(site)
    assert (found.reaching_out, found.broken) == ([], [])
    assert found.pages == built.pages == 4 + len(CONTENT.shoppers) + len(CONTENT.paged)
    for page in site.rglob("*.html"):
        policy = next(attrs["content"] for attrs in Read(page).all("meta") if attrs.get("http-equiv"))
        assert str(policy).startswith("default-src 'none'; img-src 'self' file: data:; style-src 'self' file:;")
        assert "script-src" not in str(policy)


def test_item_ids_name_no_files(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CONTENT, "../d")
    assert (site / item_href("../d")).is_file()
    assert sorted(path.name for path in (site / "photos").iterdir()) == [f"{slug('../d')}.jpg"]
    assert not (site / "d.html").exists()


def test_pages_fit_a_phone_and_follow_the_readers_wishes(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    style = (site / "lookbook.css").read_text("utf-8")
    for wish in ("(max-width: 520px)", "prefers-color-scheme: dark", "prefers-reduced-motion", ":focus-visible"):
        assert wish in style, wish
    for page in site.rglob("*.html"):
        read = Read(page)
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in read.all("meta"), page
        assert read.all("html") == [{"lang": "en"}], page
        assert len(read.all("h1")) == len(read.all("main")) == 1, page
        assert all(attrs.get("alt") for attrs in read.all("img")), page


def test_an_item_without_a_photo_has_a_placeholder_that_says_so(tmp_path: Path) -> None:
    site, _ = made(tmp_path, CONTENT, "a")
    shown = Read(site / item_href("../d"))
    assert any(attrs.get("role") == "img" and "Blue bag" in str(attrs.get("aria-label")) for attrs in shown.all("span"))
    assert not any("Blue bag" in str(attrs.get("alt")) for attrs in shown.all("img"))


def test_a_shoppers_page_has_reasons_evidence_picks_and_answers(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    read = Read(site / shopper_href(KNOWN))
    assert "Shopper u<1>" in read.text and "Turned to 2 different items in 7 events, last on 31 March." in read.text
    # Weights as factors: e^0.9, and e^-0.2 for what pulled it down.
    assert "×2.5" in read.text and "×0.82" in read.text
    assert "Likeness of the photo to “Red dress”: 0.31" in read.text
    assert "Already bought on 31 March" in read.text
    # What held it back stands before what spoke for it: e^-0.5 and e^0.3.
    assert read.text.index("×0.61") < read.text.index("×1.35")
    assert "A change." in read.text and "50%" in read.text
    widths = [attrs["width"] for attrs in read.all("rect") if attrs.get("class") == "fill"]
    assert widths[:3] == ["100", "22", "44"]


def test_a_strangers_page_shows_what_is_popular_and_says_why(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    read = Read(site / shopper_href(STRANGER))
    assert "A new visitor" in read.text and "Nothing is known yet" in read.text
    assert "Popular now" in read.text and "Red dress" in read.text and "Nothing is known." in read.text
    assert "Lately" not in read.text and "Styles they turn to" not in read.text


def test_only_items_with_a_page_are_links(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    links = [attrs.get("href") for attrs in Read(site / item_href("a")).all("a")]
    assert f"../{item_href('b')}" in links and f"../{item_href('../d')}" in links
    assert f"../{item_href('c')}" not in links


def test_products_that_made_nothing_are_said_to_have_made_nothing(tmp_path: Path) -> None:
    site, _ = made(tmp_path, EMPTY)
    assert faults(site).broken == []
    assert "No looks" in Read(site / "looks.html").text and "No styles" in Read(site / "styles.html").text
    assert "No report" in Read(site / "reports.html").text
    assert "No page has been published" in Read(site / shopper_href(STRANGER)).text


def test_the_same_content_is_the_same_site_and_other_content_replaces_it(tmp_path: Path) -> None:
    site, first = made(tmp_path)
    _, again = made(tmp_path)
    assert again == first
    _, other = made(tmp_path, replace(CONTENT, paged=("a",)))
    assert other.digest != first.digest and not (site / item_href("b")).exists()
    assert (site.parent / "lookbook.html").is_file()
    assert sorted(path.name for path in site.parent.iterdir()) == ["lookbook", "lookbook.html"]


def test_a_build_that_fails_leaves_the_old_site(tmp_path: Path) -> None:
    site, _ = made(tmp_path)
    with pytest.raises(KeyError):
        made(tmp_path, replace(CONTENT, paged=("nowhere",)))
    assert faults(site).pages == 4 + len(CONTENT.shoppers) + len(CONTENT.paged)
    assert not list(site.parent.glob(".lookbook*"))

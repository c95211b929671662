"""Markup, entities and Unicode are taken out of what sellers type."""

from __future__ import annotations

import pytest

from fashionrec_assets.descriptions.cleaning import clean_text, sentences


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("Women&#39;s Tee", "Women's Tee"),
        ("Bellamy &amp;amp; Co", "Bellamy & Co"),
        ("<script>alert('x')</script>Blue jeans", "Blue jeans"),
        ("<b>Red</b><br/>dress", "Red dress"),
        ("&lt;script&gt;steal()&lt;/script&gt; hat", "hat"),
        ("<!-- hidden --> scarf", "scarf"),
        ("coat <script>never closed", "coat"),
        ("size 3 < 4 and 5 > 2", "size 3 < 4 and 5 > 2"),
        ("ＦＡＳＨＩＯＮ　ＴＥＥ", "FASHION TEE"),
        ("a\x00b \u200bc\td\r\ne", "a b c d e"),
        ("🔥🔥 dress ✨", "dress"),
        ("see https://shop.example/x?y=1 now", "see now"),
        ("连衣裙 红色", "连衣裙 红色"),
        ("cafÃ© dress", "café dress"),
        ("", ""),
        ("\ud800 broken", "broken"),
    ],
)
def test_what_remains_is_plain(typed: str, plain: str) -> None:
    assert clean_text(typed) == plain


def test_cleaning_twice_changes_nothing_more() -> None:
    for typed in ("&amp;lt;b&amp;gt; x", "Ａ&nbsp;<i>b", "50% OFF!!! 连衣裙 ❤"):
        once = clean_text(typed)
        assert clean_text(once) == once


def test_sentences_end_at_their_marks() -> None:
    assert sentences("One. Two! Three 3.5 cm? 四。 ") == ["One.", "Two!", "Three 3.5 cm?", "四。"]

"""What is shown of the crops, and pictures that are drawn once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from PIL import Image

from fashionrec_assets.crops import album
from fashionrec_assets.crops.tables import CROPS
from fashionrec_assets.storage.ledger import LEDGER


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """30 shirts of which 6 are kept whole, 5 hats that are all kept whole, one item without a type."""
    with duckdb.connect() as opened:
        opened.execute(
            "CREATE TABLE items (item_id VARCHAR, product_type VARCHAR, category VARCHAR, image_digest VARCHAR, "
            "image_ref VARCHAR)"
        )
        opened.execute(CROPS.ddl())
        opened.execute(LEDGER.ddl())
        for number in range(36):
            kind = "shirt" if number < 30 else "hat" if number < 35 else None
            whole = number % 5 == 0 or kind == "hat"
            side = 100 if whole else 20 + number
            method, reason = ("whole_image", "no foreground") if whole else ("segmentation", None)
            opened.execute("INSERT INTO items VALUES (?, ?, NULL, 'd', 'r')", [str(number), kind])
            opened.execute(
                "INSERT INTO crops VALUES (?, 0, 0, ?, 100, 100, 100, ?, ?, 0.5, [])",
                [str(number), side, method, reason],
            )
            opened.execute("INSERT INTO ledger VALUES ('grounded_crops', ?, 'i', 'c', 'o')", [str(number)])
        yield opened


def test_types_have_their_counts_and_the_quantiles_of_the_boxes_found(connection: duckdb.DuckDBPyConnection) -> None:
    shirt, hat, none = album.by_type(connection)
    assert (shirt.kind, shirt.photos, shirt.whole) == ("shirt", 30, 6)
    assert shirt.areas is not None
    assert shirt.areas == tuple(sorted(shirt.areas))
    assert 0.2 < shirt.areas[0] < shirt.areas[4] < 0.5
    assert shirt.as_dict()["fallback_share"] == 0.2
    assert (hat.photos, hat.whole, hat.areas) == (5, 5, None)
    assert (none.kind, none.photos) == ("(none)", 1)
    assert album.reasons(connection) == [{"reason": "no foreground", "photos": 12}]


def test_a_type_with_fallbacks_shows_one(connection: duckdb.DuckDBPyConnection) -> None:
    shown = album.examples(connection)
    assert [one.kind for one in shown] == ["shirt"] * 4 + ["hat"] * 4 + ["(none)"]
    assert [one.reason is None for one in shown[:4]].count(False) >= 1
    assert shown == album.examples(connection)


def test_the_fingerprint_follows_whatever_is_shown(connection: duckdb.DuckDBPyConnection) -> None:
    before = album.fingerprint(connection, "grounded_crops")
    assert album.fingerprint(connection, "grounded_crops") == before
    seen = {before}
    for change in (
        "UPDATE items SET product_type = 'cap' WHERE item_id = '31'",
        "UPDATE crops SET x1 = 99 WHERE item_id = '0'",
        "UPDATE crops SET reason = 'other' WHERE item_id = '0'",
        "UPDATE ledger SET output_fp = 'p' WHERE key = '0'",
        "DELETE FROM crops WHERE item_id = '0'",
    ):
        connection.execute(change)
        seen.add(album.fingerprint(connection, "grounded_crops"))
    assert len(seen) == 6


def test_the_plot_is_a_picture_with_a_line_for_each_type(connection: duckdb.DuckDBPyConnection) -> None:
    types = album.by_type(connection)
    copies = [replace(types[0], kind=str(number)) for number in range(100)]
    pictures = [Image.open(io.BytesIO(album.area_plot(some))) for some in (types, copies)]
    assert {picture.format for picture in pictures} == {"PNG"}
    assert pictures[0].height < pictures[1].height < 1200
    hostile = album.TypeRow("$\\frac{连衣裙\x00<b>" * 9, 3, 1, (0.1, 0.2, 0.3, 0.4, 0.5))
    assert album.area_plot([hostile])[:4] == b"\x89PNG"


def test_pictures_are_drawn_only_when_the_fingerprint_changes(tmp_path: Path) -> None:
    drawn: list[str] = []

    def draw(*names: str) -> dict[str, bytes]:
        drawn.append(",".join(names))
        return {name: name.encode() for name in names}

    first = album.drawn_once(tmp_path, "1", lambda: draw("a.png", "b.png"))
    assert album.drawn_once(tmp_path, "1", lambda: draw("never")) == first == {"a.png": b"a.png", "b.png": b"b.png"}
    assert album.drawn_once(tmp_path, "2", lambda: draw("a.png")) == {"a.png": b"a.png"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "pictures.json"]
    assert drawn == ["a.png,b.png", "a.png"]


@pytest.mark.parametrize("harm", ["lost picture", "lost list", "damaged list", "foreign list", "killed"])
def test_what_is_lost_is_drawn_again(tmp_path: Path, harm: str) -> None:
    album.drawn_once(tmp_path, "1", lambda: {"a.png": b"old"})
    listed = tmp_path / "pictures.json"
    if harm == "lost picture":
        (tmp_path / "a.png").unlink()
    elif harm == "lost list":
        listed.unlink()
    elif harm == "killed":

        def killed() -> dict[str, bytes]:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            album.drawn_once(tmp_path, "2", killed)
    else:
        listed.write_text("{" if harm == "damaged list" else "[]", "utf-8")
    assert album.drawn_once(tmp_path, "1", lambda: {"a.png": b"new"}) == {"a.png": b"new"}

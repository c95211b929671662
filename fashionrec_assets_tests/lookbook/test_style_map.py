from __future__ import annotations

from fashionrec_assets.lookbook.rows import Style
from fashionrec_assets.lookbook.style_map import HEIGHT, WIDTH, style_map


def style(number: int, size: int, x: float, y: float, name: str = "A style") -> Style:
    return Style(number, name, size, x, y, (), ())


def test_everything_lies_within_the_drawing_and_up_is_up() -> None:
    drawn = style_map([style(1, 9, -3.0, 5.0), style(2, 1, 4.0, -2.0)], [(1, -9.0, 9.0), (2, 9.0, -9.0), (3, 0.0, 0.0)])
    assert [centre.style_id for centre in drawn.centres] == [1, 2]
    assert len(drawn.points) == 2, "an item of a style that is not shown has no place"
    for place in (*drawn.points, *drawn.centres):
        assert 0 < place.x < WIDTH and 0 < place.y < HEIGHT
    assert drawn.centres[0].y < drawn.centres[1].y and drawn.centres[0].x < drawn.centres[1].x
    assert drawn.centres[0].radius > drawn.centres[1].radius
    for centre in drawn.centres:
        assert (
            centre.peek_x >= 0 and centre.peek_x + 96 <= WIDTH and centre.peek_y >= 0 and centre.peek_y + 128 <= HEIGHT
        )


def test_of_two_names_in_one_place_the_larger_styles_is_shown() -> None:
    crowded = [
        style(1, 9, 0.5, 0.5, "Large"),
        style(2, 1, 0.5, 0.5, "Small"),
        style(3, 1, 0.0, 1.0),
        style(4, 1, 1.0, 0.0),
    ]
    labels = {centre.style_id: centre.label for centre in style_map(crowded, []).centres}
    assert (labels[1], labels[2]) in {("Large", ""), ("", "")} and labels[2] == ""
    apart = [style(1, 9, 0.5, 0.5, "Large"), style(2, 1, 0.5, 1.0, "Small")]
    assert [centre.label for centre in style_map(apart, []).centres] == ["Large", "Small"]


def test_a_long_name_is_cut_and_nothing_at_all_is_an_empty_map() -> None:
    (centre,) = style_map([style(1, 1, 0.0, 0.0, "x" * 80)], []).centres
    assert centre.name == "x" * 80 and len(centre.label) <= 34
    assert style_map([], []).centres == ()

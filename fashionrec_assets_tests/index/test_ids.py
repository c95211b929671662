from __future__ import annotations

import pyarrow as pa
import pytest

from fashionrec_assets.index.ids import strings


@pytest.mark.parametrize(
    "given",
    [["a", "bb", ""], ["10", "9", "100"], ["jupe été", "ж", "衣", "plain"], ["", ""], [], ["x" * 300, "y"]],
)
def test_strings_are_those_of_arrow(given: list[str]) -> None:
    for column in (pa.array(given, pa.string()), pa.chunked_array([given[:1], given[1:]], pa.string())):
        assert strings(column).tolist() == given
    assert strings(pa.array(["before", *given], pa.string()).slice(1)).tolist() == given

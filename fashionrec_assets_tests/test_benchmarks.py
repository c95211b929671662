"""What benchmarks state: ratios, slopes, turns, other environments, tables. The benchmarks themselves are not tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fashionrec_assets_tests.benchmarks import comparisons, results
from fashionrec_assets_tests.benchmarks.comparisons import Comparison, Growth, Others, in_a_process, in_turns, keep


def test_a_ratio_is_the_median_of_the_rounds_ours_over_theirs() -> None:
    found = Comparison("a", "b", ours=[1.0, 3.0, 2.0], theirs=[2.0, 2.0, 2.0], bar=1.0)
    assert found.ratios == [0.5, 1.5, 1.0]
    assert found.ratio == 1.0
    assert found.met
    assert Comparison("a", "b", [1.2], [1.0], bar=1.1).met is False
    assert Comparison("a", "b", [1.2], [1.0]).met is None


def test_a_slope_is_that_of_the_logarithms() -> None:
    linear = Growth("a", "rows", [10, 100, 1_000], [0.2, 2.0, 20.0], [1, 1, 1])
    square = Growth("a", "rows", [10, 100, 1_000], [1.0, 100.0, 10_000.0], [1, 1, 1])
    assert linear.slope == pytest.approx(1.0)
    assert linear.met
    assert square.slope == pytest.approx(2.0)
    assert square.met is False


def test_turns_alternate_and_a_float_is_a_time() -> None:
    calls: list[str] = []

    def ours() -> float:
        calls.append("ours")
        return 2.5

    ours_s, theirs_s = in_turns(ours, lambda: calls.append("theirs"), rounds=2, warm_up=1)
    assert calls == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert ours_s == [2.5, 2.5]
    assert len(theirs_s) == 2
    assert all(0 <= seconds < 1 for seconds in theirs_s)


def test_a_script_of_another_environment_answers_and_may_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "others"
    folder.mkdir()
    serving = Path(comparisons.__file__).parent / "others" / "serving.py"
    (folder / "serving.py").write_text(serving.read_text("utf-8"), "utf-8")
    (folder / "adder.py").write_text(
        "from serving import serve\n"
        "def add(a, b):\n    print('a library says this')\n    return {'seconds': a + b}\n"
        "serve({'add': add})\n",
        "utf-8",
    )
    monkeypatch.setattr(comparisons, "OTHERS_PYTHON", Path(sys.executable))
    monkeypatch.setattr(comparisons, "__file__", str(tmp_path / "comparisons.py"))
    others = Others("adder")
    try:
        assert others.seconds("add", a=1, b=2) == 3.0
        with pytest.raises(RuntimeError, match="ended with"):
            others.ask("nothing of that name")
    finally:
        others.close()


def test_a_process_of_its_own_is_measured(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import json, sys\nheld = b'x' * 200_000_000\nprint(json.dumps({'seconds': 1.5, 'rows': sys.argv[1]}))\n",
        "utf-8",
    )
    found = in_a_process("work", "7", environment={"PYTHONPATH": str(tmp_path)})
    assert found.seconds == 1.5
    assert found.said == {"rows": "7"}
    assert 190 < found.mib < 1_000


def test_kept_results_become_a_table_here_and_in_the_docs(tmp_path: Path) -> None:
    folder, docs = tmp_path / "benchmarks", tmp_path / "benchmarks.md"
    docs.write_text(f"How.\n\n{results._FROM}\nold\n{results._TO}\n\nMore.\n", "utf-8")
    keep("one", [Comparison("search", "raw FAISS", [1.2], [1.0], bar=1.1, equal="rows")], folder)
    keep("two", [Growth("build", "items", [10, 100], [1.0, 10.0], [5, 6])], folder)
    stages = [{"kind": "Lineage", "stages": {"items": 2.0}, "before": {"items": 4.0}, "total": 2.5, "peak_mib": 10}]
    (folder / "three.json").write_text(json.dumps([{**row, "machine": "m", "day": "d"} for row in stages]), "utf-8")
    results.write(folder, docs)
    table = (folder / "README.md").read_text("utf-8")
    assert "| search | raw FAISS | 1.2 | 1 | **1.200** (1.200 to 1.200) | 1.1: **missed** | rows | - |" in table
    assert "| build | 10, 100 items | 1, 10 | 5, 6 | **1.00** | 1.1: met | - |" in table
    assert "| items | 2 | 4 |" in table
    page = docs.read_text("utf-8")
    assert "old" not in page
    assert page.startswith("How.") and page.endswith("More.\n") and "raw FAISS" in page

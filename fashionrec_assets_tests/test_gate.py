"""The texts of the gate: what stands in a JUnit report and in a Markdown summary, and what cannot get into them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from fashionrec_assets.gate import MOST_CHARS, MOST_ROWS, code, junit, markdown, passed, strict, unexpected_work
from fashionrec_assets.summary import AssetSummary, CheckOutcome, CheckSummary, StepError, Summary

HOSTILE = (
    "a\x00b\x1b[31m <script>alert(1)</script> [x](javascript:alert(1)) | `tick` \ud800 \ufffe @team #1\n"
    "## not a heading"
)


def outcome(name: str, status: str = "passed", **values: object) -> CheckOutcome:
    asset, check = name.split(":")
    return CheckOutcome.model_validate({"asset": asset, "check": check, "status": status, **values})


def summary_of(*outcomes: CheckOutcome, **values: object) -> Summary:
    names = {status: [one.name for one in outcomes if one.status == status] for status in ("failed", "warned")}
    checks = CheckSummary(
        passed=sum(one.status == "passed" for one in outcomes),
        missing=[one.name for one in outcomes if one.status == "missing"],
        results=list(outcomes),
        **names,
    )
    given = {
        "success": True,
        "job": "checks_only",
        "run_id": "r-1",
        "started": "2031-05-06T07:08:09+00:00",
        "home": "home",
        "source": "taobao",
        "preset": "quick",
        "seconds": 12.4,
        "peak_memory_mb": 1.0,
        "checks": checks,
    }
    return Summary.model_validate({**given, **values})


EVERY_STATUS = (
    outcome("items:keys", seconds=0.25, metadata={"rows": 9}),
    outcome("items:prices", "failed", blocking=True, seconds=0.5, description="three prices are negative"),
    outcome("homepage:fresh", "warned", description="two days old"),
    outcome("homepage:full", "missing"),
)


def assets(**work: tuple[int, int, int]) -> dict[str, AssetSummary]:
    return {
        name: AssetSummary(unit="items", new=new, stale=stale, orphaned=gone, reused=5, seconds=1.0)
        for name, (new, stale, gone) in work.items()
    }


@pytest.mark.parametrize(
    ("status", "opens"), [("passed", True), ("warned", True), ("failed", False), ("missing", False)]
)
def test_the_gate_opens_unless_a_check_failed_or_did_not_run(status: str, opens: bool) -> None:
    held = summary_of(outcome("items:keys"), outcome("items:prices", status))
    assert passed(held) is opens
    assert not passed(held.model_copy(update={"success": False}))


def test_a_strict_gate_takes_warnings_for_failures() -> None:
    lenient = summary_of(outcome("items:keys"), outcome("homepage:fresh", "warned", description="two days old"))
    held = strict(lenient)
    assert passed(lenient) and not passed(held)
    assert held.checks.failed == lenient.checks.warned == ["homepage:fresh"]
    assert held.checks.warned == [] and held.checks.passed == 1
    assert 'message="two days old"' in junit(held) and "<failure" in junit(held)
    assert "### Failed" in markdown(held) and "### Warned" not in markdown(held)


def test_junit_has_a_suite_for_each_asset_and_a_case_for_each_check() -> None:
    root = ElementTree.fromstring(junit(summary_of(*EVERY_STATUS)))
    assert root.attrib == {
        "name": "fashionrec check",
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "time": "0.750",
    }
    suites = {suite.get("name"): suite for suite in root.findall("testsuite")}
    assert list(suites) == ["run", "homepage", "items"]
    for suite in suites.values():
        assert suite.get("timestamp") == "2031-05-06T07:08:09"
        assert suite.get("tests") == str(len(suite.findall("testcase")))
    counted = suites["homepage"]
    assert [counted.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["2", "0", "1", "1"]
    cases = {f"{case.get('classname')}:{case.get('name')}": case for case in root.iter("testcase")}
    failure = cases["items:prices"].find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "blocking", "message": "three prices are negative"}
    assert cases["items:prices"].get("time") == "0.500"
    warned = cases["homepage:fresh"].find("skipped")
    assert warned is not None and warned.get("message") == "WARN: two days old"
    missing = cases["homepage:full"].find("error")
    assert missing is not None and "did not run" in (missing.text or "")
    measured = cases["items:keys"].find("system-out")
    assert measured is not None and measured.text == "rows: 9"


def test_junit_keeps_to_the_schema_of_its_readers() -> None:
    """Elements and attributes as the xUnit plugin of Jenkins has them, the strictest of its readers."""
    told = {"failure": ({"type", "message"}, set()), "error": ({"type", "message"}, set())}
    schema: dict[str, tuple[set[str], set[str]]] = {
        "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
        "testsuite": (
            {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
            {"properties", "testcase"},
        ),
        "testcase": ({"name", "time", "classname"}, {"skipped", "error", "failure", "system-out"}),
        "properties": (set(), {"property"}),
        "property": ({"name", "value"}, set()),
        "skipped": ({"message"}, set()),
        "system-out": (set(), set()),
        **told,
    }
    text = junit(summary_of(*EVERY_STATUS, errors=[StepError(step="items", message="gone")], versions={"torch": "9"}))
    seen: set[str] = set()
    for element in ElementTree.fromstring(text).iter():
        attributes, children = schema[element.tag]
        assert set(element.keys()) <= attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
        seen.add(element.tag)
    assert seen == schema.keys()


def test_junit_says_what_was_looked_at_and_which_step_failed() -> None:
    figures = {"ranking.blend.ndcg@20": 0.25, "ranking.blend.ndcg@20.low": 0.2, "ranking.blend.ndcg@20.high": 0.3}
    failed = summary_of(
        success=False,
        errors=[StepError(step="items", message="no such folder\nmore of it")],
        versions={"torch": "9.9"},
        figures={**figures, "ranking.blend.cold.ndcg@20": 0.1},
    )
    root = ElementTree.fromstring(junit(failed))
    facts = {one.get("name"): one.get("value") for one in root.findall("testsuite/properties/property")}
    assert facts["version.torch"] == "9.9"
    assert facts["ranking.blend.ndcg@20.low"] == "0.200000"
    assert facts["preset"] == "quick"
    (error,) = root.iter("error")
    assert error.get("message") == "no such folder" and error.text == "no such folder\nmore of it"
    assert root.get("errors") == "1"
    unsaid = ElementTree.fromstring(junit(summary_of(success=False)))
    assert unsaid.get("errors") == "1", "a run that failed without a step's error is an error all the same"
    assert ElementTree.fromstring(junit(summary_of())).get("errors") == "0"


def test_junit_survives_what_xml_cannot_hold() -> None:
    hostile = outcome("items:keys", "failed", description=HOSTILE, metadata={"worst\x01": HOSTILE})
    text = junit(summary_of(hostile, errors=[StepError(step="a\x02", message=HOSTILE)]))
    root = ElementTree.fromstring(text.encode("utf-8"))
    told = root.find("testsuite[@name='items']/testcase/failure")
    assert told is not None
    assert told.text is not None and told.text.startswith("a\\x00b\\x1b[31m <script>") and "\\xd800" in told.text
    assert "worst\\x01: a\\x00b" in "".join(root.itertext())


def test_markdown_tells_what_holds_it_up_first_and_nothing_of_what_passed() -> None:
    last = summary_of(assets=assets(items=(0, 1, 0), crops=(0, 0, 0)), job="daily_refresh", seconds=33.0)
    figures = {"ranking.a.ndcg@20": 0.1, "ranking.b.ndcg@20": 0.25, "ranking.b.ndcg@20.low": 0.2}
    figures |= {"ranking.b.ndcg@20.high": 0.3, "ranking.b.recall@20": 0.4}
    text = markdown(summary_of(*EVERY_STATUS, figures=figures), last)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert headings == [
        "Asset checks: failed",
        "Failed",
        "Did not run",
        "Warned",
        "Ranking on the held-out days",
        "What the last run computed (daily_refresh, 33 s)",
    ]
    assert "**1 checks passed, 1 failed, 1 warned, 1 did not run**" in text
    assert "| `items` | `prices` | `three prices are negative` | `yes` |" in text
    assert "`keys`" not in text
    assert "| `b` | `0.2500` | `0.2000 – 0.3000` | `0.4000` | `-` |" in text
    assert text.index("`b`") < text.index("`a`"), "the best method first"
    assert "| `items` | `items` | `0` | `1` | `0` | `5` | `1.0` |" in text
    assert "`crops`" not in text
    unchanged = markdown(summary_of(outcome("items:keys")), summary_of(assets=assets(items=(0, 0, 0))))
    assert "## Asset checks: passed" in unchanged
    assert "Nothing: 1 assets were up to date." in unchanged


def test_markdown_holds_catalog_text_as_text() -> None:
    text = markdown(summary_of(outcome("items:keys", "failed", description=HOSTILE)))
    (row,) = [line for line in text.splitlines() if line.startswith("| `items`")]
    # Cells end at pipes that no backslash precedes; the text itself is one cell and one code span.
    cells = re.split(r"(?<!\\)\|", row)
    assert len(cells) == 6
    span = cells[3].strip()
    assert span.startswith("``") and span.endswith("``")
    assert "``" not in span.strip("`")
    assert "<script>alert(1)</script> [x](javascript:alert(1)) \\| `tick`" in span
    assert "\n## not a heading" not in text
    assert "\x1b" not in text and "\x00" not in text and "\ud800" not in text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("", "-"),
        (" \n\t ", "-"),
        ("`", "`` ` ``"),
        ("a``b", "```a``b```"),
        ("a|b", "`a\\|b`"),
        ("a\\|b", "`a\\ \\|b`"),
        ("two\nlines", "`two lines`"),
    ],
)
def test_a_code_span_is_one_line_that_its_text_cannot_end(text: str, span: str) -> None:
    assert code(text) == span


def test_long_texts_and_tables_are_cut_with_a_word_about_it() -> None:
    assert code("x" * 5000) == f"`{'x' * (MOST_CHARS - 1)}…`"
    many = [outcome(f"items:check_{number:04}", "warned", description="y" * 5000) for number in range(1000)]
    text = markdown(summary_of(*many))
    assert text.count("| `items` |") == MOST_ROWS
    assert f"And {1000 - MOST_ROWS} more." in text
    assert len(text.encode()) < 2**20


def test_work_that_nobody_expected_is_named() -> None:
    run = summary_of(assets=assets(items=(1, 2, 3), crops=(0, 0, 0)))
    assert unexpected_work(run, {}) == []
    assert unexpected_work(run, {"items": 6, "crops": 0}) == []
    (said,) = unexpected_work(run, {}, nothing_else=True)
    assert said == "items computed or deleted 6 (1 new, 2 stale, 3 orphaned; unit: items), expected 0"
    assert unexpected_work(run, {"crops": 1}) == [
        "crops computed or deleted 0 (0 new, 0 stale, 0 orphaned; unit: items), expected 1"
    ]
    assert unexpected_work(run, {"towers": 0}) == ["towers was not made by this run, expected 0"]

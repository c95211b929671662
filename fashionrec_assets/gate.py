"""What a gate says of a shop: a JUnit report, a Markdown summary, and whether a run did more than it should.

Belongs here: turning the plain results of a run into those texts, escaped: what a check says may quote a catalog. Does
not belong here: running checks (`resources/runs.py`), files, and the terminal (`cli/gate.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from xml.etree import ElementTree

from fashionrec_assets.summary import CheckOutcome, StepError, Summary

MOST_ROWS = 200
"""Of one table of the Markdown summary: GitHub refuses a summary beyond 1 MiB."""
MOST_CHARS = 400
"""Of one cell of it."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RUNS_OF_TICKS = re.compile("`+")


def passed(summary: Summary) -> bool:
    """Whether the gate opens: the run succeeded, every expected check ran, and no ERROR check failed."""
    return summary.success and not any(outcome.status in ("failed", "missing") for outcome in summary.checks.results)


def strict(summary: Summary) -> Summary:
    """`summary` with every WARN check that does not hold as a failed one."""
    outcomes = [
        one.model_copy(update={"status": "failed"}) if one.status == "warned" else one for one in summary.checks.results
    ]
    checks = summary.checks.model_copy(
        update={"failed": [*summary.checks.failed, *summary.checks.warned], "warned": [], "results": outcomes}
    )
    return summary.model_copy(update={"checks": checks})


def unexpected_work(summary: Summary, wanted: Mapping[str, int], *, nothing_else: bool = False) -> list[str]:
    """A sentence for each asset that computed or deleted another number of units than `wanted` says.

    Assets that `wanted` does not name may do anything, or nothing if `nothing_else`.
    """
    said: list[str] = []
    for name in dict.fromkeys([*wanted, *summary.assets]):
        asset, most = summary.assets.get(name), wanted.get(name, 0)
        if asset is None:
            said.append(f"{name} was not made by this run, expected {most}")
        elif asset.work != most and (name in wanted or nothing_else):
            counts = f"{asset.new} new, {asset.stale} stale, {asset.orphaned} orphaned"
            said.append(f"{name} computed or deleted {asset.work} ({counts}; unit: {asset.unit}), expected {most}")
    return said


def junit(summary: Summary) -> str:
    """The run as JUnit XML: a suite for each asset and one for the run, a case for each check.

    A failed check is a `failure`, a check that did not run and a failed step an `error`, and a WARN check that
    does not hold is `skipped` with its message: the nearest that JUnit has to a result which fails nothing.
    """
    root = ElementTree.Element("testsuites", name="fashionrec check")
    steps = [_step(error) for error in summary.errors]
    if not summary.success and not steps:
        steps.append(_step(StepError(step="run", message="the run failed")))
    cases = {"run": steps or [ElementTree.Element("testcase", classname="run", name="the_run_succeeds", time="0")]}
    for asset, outcomes in groupby(sorted(summary.checks.results, key=lambda one: one.name), key=lambda one: one.asset):
        cases[asset] = [_case(outcome) for outcome in outcomes]
    for name, made in cases.items():
        suite = ElementTree.SubElement(root, "testsuite", name=_xml(name), timestamp=summary.started[:19])
        _count(suite, made)
        if name == "run":
            kept = ElementTree.SubElement(suite, "properties")
            for fact, value in _facts(summary).items():
                ElementTree.SubElement(kept, "property", name=_xml(fact), value=_xml(value))
        suite.extend(made)
    _count(root, [case for made in cases.values() for case in made])
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(summary: Summary, last_run: Summary | None = None) -> str:
    """The gate as GitHub-flavoured Markdown: what holds it up, what someone should look at, the figures of the ranking
    report, and what `last_run` computed."""
    checks = summary.checks
    verdict = "passed" if passed(summary) else "failed"
    parts = [
        f"## Asset checks: {verdict}",
        f"**{checks.passed} checks passed, {len(checks.failed)} failed, {len(checks.warned)} warned, "
        f"{len(checks.missing)} did not run**, in {summary.seconds:.0f} s. Preset {code(summary.preset)}, source "
        f"{code(summary.source)}, run {code(summary.run_id)}.",
    ]
    if not summary.success and not summary.errors:
        parts.append("The run failed.")
    parts += _section("Failed steps", ("step", "error"), [(one.step, one.message) for one in summary.errors])
    for heading, status in (("Failed", "failed"), ("Did not run", "missing"), ("Warned", "warned")):
        found = [one for one in checks.results if one.status == status]
        parts += _section(
            heading,
            ("asset", "check", "what it says", "blocks what follows"),
            [(one.asset, one.check, one.description, "yes" if one.blocking else "no") for one in found],
        )
    parts += _section(
        "Ranking on the held-out days",
        ("method", "NDCG@20", "95 % interval", "Recall@20", "cold-item Recall@20"),
        [
            (
                row.method,
                f"{row.ndcg:.4f}",
                f"{row.low:.4f} – {row.high:.4f}",
                f"{row.recall:.4f}",
                "-" if row.cold_recall is None else f"{row.cold_recall:.4f}",
            )
            for row in summary.ranking()
        ],
    )
    if last_run is not None:
        parts += _work(last_run)
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """`text` as a code span on one line, which may stand in a table: nothing in it is markup, a link or a mention."""
    line = " ".join(_xml(text).split())
    if len(line) > MOST_CHARS:
        line = line[: MOST_CHARS - 1] + "…"
    if not line:
        return "-"
    # Readers differ in whether a backslash before an escaped pipe escapes the backslash: no such pair is written.
    line = line.replace("\\|", "\\ |").replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in _RUNS_OF_TICKS.findall(line)), default=0))
    edge = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{edge}{line}{edge}{ticks}"


def _section(heading: str, columns: Sequence[str], rows: Sequence[Iterable[str]]) -> list[str]:
    """A heading and a table whose cells are all text; nothing if there are no rows."""
    if not rows:
        return []
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(code(cell) for cell in row) + " |" for row in rows[:MOST_ROWS]]
    more = [f"And {len(rows) - MOST_ROWS} more."] if len(rows) > MOST_ROWS else []
    return [f"### {heading}", "\n".join(lines), *more]


def _work(run: Summary) -> list[str]:
    heading = f"What the last run computed ({run.job}, {run.seconds:.0f} s)"
    worked = [
        (name, one.unit, str(one.new), str(one.stale), str(one.orphaned), str(one.reused), f"{one.seconds:.1f}")
        for name, one in run.assets.items()
        if one.work
    ]
    if worked:
        return _section(heading, ("asset", "unit", "new", "stale", "orphaned", "reused", "seconds"), worked)
    failed = "" if run.success else " It failed."
    return [f"### {heading}", f"Nothing: {len(run.assets)} assets were up to date.{failed}"]


def _facts(summary: Summary) -> dict[str, str]:
    """What the gate looked at, and the figures it would be compared by."""
    facts = {"run_id": summary.run_id, "job": summary.job, "source": summary.source, "preset": summary.preset}
    facts |= {f"version.{name}": version for name, version in summary.versions.items()}
    for row in summary.ranking():
        key = f"ranking.{row.method}.ndcg@20"
        facts |= {key: f"{row.ndcg:.6f}", f"{key}.low": f"{row.low:.6f}", f"{key}.high": f"{row.high:.6f}"}
    return facts


def _case(outcome: CheckOutcome) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=_xml(outcome.asset), name=_xml(outcome.check), time=f"{outcome.seconds or 0:.3f}"
    )
    if outcome.status == "failed":
        case.append(_told("failure", outcome.description, "blocking" if outcome.blocking else "failed"))
    elif outcome.status == "missing":
        case.append(_told("error", "the check is defined and did not run", "missing"))
    elif outcome.status == "warned":
        ElementTree.SubElement(case, "skipped", message=_xml(f"WARN: {outcome.description}"))
    # Not properties: the schema of JUnit readers has them for suites alone.
    measured = [f"{name}: {value}" for name, value in outcome.metadata.items()]
    if said := [text for text in (outcome.description, *measured) if text]:
        ElementTree.SubElement(case, "system-out").text = _xml("\n".join(said))
    return case


def _step(error: StepError) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="run", name=_xml(error.step), time="0")
    case.append(_told("error", error.message, "failed step"))
    return case


def _told(tag: str, text: str, kind: str) -> ElementTree.Element:
    told = ElementTree.Element(tag, type=kind, message=_xml(text.strip().split("\n")[0]))
    told.text = _xml(text)
    return told


def _count(element: ElementTree.Element, cases: Sequence[ElementTree.Element]) -> None:
    element.set("tests", str(len(cases)))
    for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        if element.tag == "testsuite" or tag != "skipped":
            element.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _xml(text: str) -> str:
    """`text` with the characters that XML cannot hold written out, such as `\\x07`."""
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)

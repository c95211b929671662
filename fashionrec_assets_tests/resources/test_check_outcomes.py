"""What a run says of its checks, on a lineage of two assets."""

from __future__ import annotations

import math

import dagster as dg
import pytest

from fashionrec_assets.resources.runs import CHECKS_ONLY, RunResult, run_job

COUNTS = {"unit": "rows", "new": 1, "stale": 0, "orphaned": 0, "reused": 0, "seconds": 0.5}


class Lineage:
    """`first` and `second`, with checks that are told how to end."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.broken = False

    def definitions(self) -> dg.Definitions:
        @dg.asset
        def first() -> dg.MaterializeResult:
            self.made.append("first")
            if self.broken:
                raise ValueError("cannot be read")
            return dg.MaterializeResult(metadata=COUNTS)

        @dg.asset(deps=[first])
        def second() -> dg.MaterializeResult:
            self.made.append("second")
            return dg.MaterializeResult(metadata=COUNTS)

        @dg.asset_check(asset=first, blocking=True)
        def keys() -> dg.AssetCheckResult:
            table = dg.MetadataValue.table([dg.TableRecord({"a": 1})])
            measured = {"rows": 3, "share": 0.5, "said": "three", "undefined": math.nan, "table": table}
            return dg.AssetCheckResult(passed=True, metadata=measured, description="three rows")

        @dg.asset_check(asset=second)
        def prices() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=False, description="two are negative")

        @dg.asset_check(asset=second)
        def freshness() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="old")

        jobs = [
            dg.define_asset_job("refresh", selection=dg.AssetSelection.all()),
            dg.define_asset_job(CHECKS_ONLY, selection=dg.AssetSelection.all_asset_checks()),
        ]
        return dg.Definitions(
            assets=[first, second],
            asset_checks=[keys, prices, freshness],
            jobs=jobs,
            executor=dg.in_process_executor,
        )

    def run(self, job: str, select: str | None = None) -> RunResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return run_job(self.definitions(), instance, job, select)


def statuses(result: RunResult) -> dict[str, str]:
    return {outcome.name: outcome.status for outcome in result.checks.results}


def test_every_check_has_its_outcome() -> None:
    result = Lineage().run("refresh")
    assert statuses(result) == {"first:keys": "passed", "second:freshness": "warned", "second:prices": "failed"}
    checks = result.checks
    assert (checks.passed, checks.failed, checks.warned, checks.missing) == (
        1,
        ["second:prices (two are negative)"],
        ["second:freshness (old)"],
        [],
    )
    keys = checks.results[0]
    assert keys.blocking and not checks.results[1].blocking
    assert keys.description == "three rows"
    assert keys.seconds is not None and keys.seconds >= 0
    # A number that JSON does not have would come back as something else; tables are for the UI.
    assert keys.metadata == {"rows": 3, "share": 0.5, "said": "three"}
    assert type(keys)(**keys.model_dump()) == type(keys).model_validate_json(keys.model_dump_json()) == keys


def test_a_check_that_could_not_run_is_missing() -> None:
    lineage = Lineage()
    lineage.broken = True
    result = lineage.run("refresh")
    assert not result.success
    assert set(statuses(result).values()) == {"missing"}
    assert result.checks.missing == ["first:keys", "second:freshness", "second:prices"]
    assert "cannot be read" in result.errors[0][1]


@pytest.mark.parametrize("select", [None, 'key:"second"', '+key:"second"'])
def test_checks_compute_nothing_and_can_be_selected(select: str | None) -> None:
    lineage = Lineage()
    result = lineage.run(CHECKS_ONLY, select)
    assert lineage.made == [] and result.assets == {}
    assert len(statuses(result)) == (2 if select == 'key:"second"' else 3)
    assert "missing" not in statuses(result).values()


def test_a_selection_without_checks_is_an_error() -> None:
    @dg.asset
    def third() -> None: ...

    job = dg.define_asset_job(CHECKS_ONLY, selection=dg.AssetSelection.all_asset_checks())
    bare = dg.Definitions(assets=[third], jobs=[job])
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(ValueError, match="no asset that has a check"):
        run_job(bare, instance, CHECKS_ONLY, 'key:"third"')

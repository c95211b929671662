"""A little lineage under the real policies, on an instance of its own, evaluated tick by tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from fashionrec_assets.automation import automated
from fashionrec_assets.settings import AutomationSettings

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class World:
    """`source` -> `middle` -> `tip`, and `source` -> `tip`: a diamond; `study_ablations` reads `middle`.

    `source` stands for everything before, and is made by hand. `middle` also reads `raw_file`, which stands for the raw
    sources. `blocked` says whether a blocking check of `source` fails; None: it has no check.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        names = ("raw_file", "source", "middle", "tip", "study_ablations")
        self.versions: dict[str, str] = dict.fromkeys(names, "1")
        self.code: dict[str, str] = dict.fromkeys(self.versions, "1")
        self.broken: set[str] = set()
        self.blocked: bool | None = None
        self.now = datetime(2026, 3, 4, 12, 1, tzinfo=UTC)
        self._cursor: Any = None

    def definitions(self) -> dg.Definitions:
        """The lineage, with the code versions as they are now."""

        def asset_of(name: str, *deps: str, group: str | None = None) -> dg.AssetsDefinition:
            @dg.asset(name=name, deps=list(deps), code_version=self.code[name], group_name=group)
            def made() -> dg.MaterializeResult:
                return dg.MaterializeResult(data_version=dg.DataVersion(self.versions[name]))

            return made

        @dg.asset_check(asset="source", blocking=True)
        def holds() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=not self.blocked)

        followers = [asset_of("middle", "raw_file", "source"), asset_of("tip", "source", "middle")]
        followers.append(asset_of("study_ablations", "middle"))
        assets = [asset_of("raw_file", group="raw"), asset_of("source"), *automated(followers, AutomationSettings())]
        checks = [] if self.blocked is None else [holds]
        job = dg.define_asset_job("everything", selection=dg.AssetSelection.all())
        return dg.Definitions(assets=assets, asset_checks=checks, jobs=[job], executor=dg.in_process_executor)

    def make(self, *names: str) -> bool:
        """Make these assets, as one run would, up to the first that is broken; whether all were made."""
        for number, name in enumerate(names):
            if name in self.broken:
                self.instance.report_run_failed(self.plan(*names[number:]))
                return False
            tags = {"dagster/data_version": self.versions[name]}
            self.instance.report_runless_asset_event(dg.AssetMaterialization(name, tags=tags))
        return True

    def make_and_check_source(self) -> None:
        """Make `source` in a real run, which its check is part of."""
        job = self.definitions().resolve_job_def("everything")
        job.execute_in_process(
            instance=self.instance, run_config=_QUIET, asset_selection=[dg.AssetKey("source")], raise_on_error=False
        )

    def tick(self, later: timedelta = timedelta(minutes=1)) -> set[str]:
        """What one evaluation requests, `later` than the one before."""
        self.now += later
        result = dg.evaluate_automation_conditions(
            self.definitions(), self.instance, evaluation_time=self.now, cursor=self._cursor
        )
        self._cursor = result.cursor
        return {name for name in self.versions if result.get_num_requested(dg.AssetKey(name))}

    def plan(self, *names: str) -> dg.DagsterRun:
        """A run of these assets that is at work and has made none of them yet."""
        keys = {dg.AssetKey(name) for name in names}
        job = self.definitions().resolve_job_def("everything").get_subset(asset_selection=keys)
        return self.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset(keys)
        )

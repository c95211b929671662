from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import dagster as dg
import httpx
import pytest

from fashionrec_assets.catalog.contract import ContractError
from fashionrec_assets.definitions import open_shop
from fashionrec_assets.resources.glue import ShopParam
from fashionrec_assets.resources.lease import RunBusyError
from fashionrec_assets.resources.retries import is_transient, retry_of, wait_before
from fashionrec_assets.resources.runs import run_job
from fashionrec_assets.settings import AutomationSettings, Settings
from fashionrec_assets.storage.ledger import Counts, Stage
from fashionrec_assets.storage.warehouse import WarehouseBusyError

QUICK = AutomationSettings(retry_wait_s=0.001, longest_retry_wait_s=0.002)


@pytest.mark.parametrize(
    "error",
    [
        WarehouseBusyError("busy"),
        RunBusyError("busy"),
        BlockingIOError(errno.EAGAIN, "again"),
        OSError(errno.EBUSY, "busy"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        httpx.ConnectError("no route"),
    ],
)
def test_what_passes_by_itself(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        ContractError("catalog.csv", "no column", "Add it."),
        OSError(errno.ENOSPC, "full"),
        PermissionError(errno.EACCES, "closed"),
        FileNotFoundError(errno.ENOENT, "gone"),
        ValueError("code"),
        MemoryError(),
    ],
)
def test_what_would_only_fail_again(error: Exception) -> None:
    assert not is_transient(error)


def test_the_wait_doubles_up_to_its_cap_and_is_drawn_from_its_upper_half() -> None:
    settings = AutomationSettings(retry_wait_s=10, longest_retry_wait_s=35)
    assert [wait_before(attempt, settings, lambda: 1.0) for attempt in range(4)] == [10, 20, 35, 35]
    assert wait_before(0, settings, lambda: 0.0) == 5
    assert wait_before(10_000, settings) <= 35


def attempts_at(error: Exception, times: int, tmp_path: Path) -> tuple[bool, int, list[tuple[str, str]]]:
    """Run an asset that raises `error` the first `times` times: success, attempts, errors told."""
    settings, tried = Settings.load(home=tmp_path), Counter[str]()

    @dg.asset
    def stumbling(shop: ShopParam) -> dg.MaterializeResult:
        with shop.stage(Stage("stumbling", "table", version="1")):
            tried["stumbling"] += 1
            if tried["stumbling"] <= times:
                raise error
        return dg.MaterializeResult(metadata={"unit": "table", **Counts(new=1).as_dict(), "seconds": 0.1})

    def shop(context: dg.InitResourceContext) -> object:
        assert context.run is not None
        return open_shop(settings, retry=retry_of(QUICK, context.instance, context.run.run_id))

    definitions = dg.Definitions(
        assets=[stumbling],
        jobs=[dg.define_asset_job("job")],
        resources={"shop": dg.ResourceDefinition(resource_fn=shop)},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(definitions, instance, "job")
    return result.success, tried["stumbling"], list(result.errors)


def test_a_busy_warehouse_is_tried_again_and_succeeds(tmp_path: Path) -> None:
    assert attempts_at(WarehouseBusyError("busy"), 2, tmp_path) == (True, 3, [])


def test_attempts_end_and_the_error_itself_is_told(tmp_path: Path) -> None:
    success, attempts, errors = attempts_at(WarehouseBusyError("the other run holds it"), 99, tmp_path)
    assert (success, attempts) == (False, 1 + QUICK.max_retries)
    assert [step for step, _ in errors] == ["stumbling"] and "the other run holds it" in errors[0][1]


def test_an_error_of_the_data_fails_at_once(tmp_path: Path) -> None:
    success, attempts, errors = attempts_at(ContractError("catalog.csv", "no column", "Add it."), 1, tmp_path)
    assert (success, attempts) == (False, 1) and "no column" in errors[0][1]

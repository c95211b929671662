from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fashionrec_assets.resources import lease
from fashionrec_assets.resources.lease import Holder, Owner, RunBusyError, owner_of, run_lease

HOLD = """
import sys, time
from pathlib import Path
from fashionrec_assets.resources.lease import run_lease
with run_lease(Path(sys.argv[1]), sys.argv[2], joins=len(sys.argv) > 3):
    print("held", flush=True)
    sys.stdin.read()
print("given back", flush=True)
"""


class Other:
    """Another process that holds the lease of `home` until it is told to end."""

    def __init__(self, home: Path, run_id: str, *joins: str) -> None:
        command = [sys.executable, "-c", HOLD, str(home), run_id, *joins]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.held = self.line() == "held"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("", timeout=300)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)


def on_file(home: Path) -> dict[str, Any]:
    return json.loads((home / "run.json").read_text("utf-8"))


def write_owner(home: Path, *holders: Holder, run_id: str = "earlier") -> None:
    home.mkdir(exist_ok=True)
    owner = Owner(run_id=run_id, what=f"the run {run_id}", since="2026-03-01 03:15:00 UTC", holders=holders)
    (home / "run.json").write_text(owner.model_dump_json(), "utf-8")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "POLL_S", 0.02)


def test_the_file_names_the_run_while_it_works_and_is_gone_after(tmp_path: Path) -> None:
    with run_lease(tmp_path, "r1", what="the nightly run"):
        assert on_file(tmp_path)["what"] == "the nightly run"
        assert [holder["pid"] for holder in on_file(tmp_path)["holders"]] == [os.getpid()]
        assert owner_of(tmp_path) is not None
    assert not (tmp_path / "run.json").exists()
    assert owner_of(tmp_path) is None


def test_another_run_waits_says_for_whom_and_goes_on_when_the_first_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REMIND_S", 0.2)
    other = Other(tmp_path, "the first run")
    said: list[str] = []

    def hear(message: str) -> None:
        said.append(message)
        if len(said) == 2:
            threading.Thread(target=other.end).start()

    started = time.monotonic()
    with run_lease(tmp_path, "r2", say=hear):
        waited = time.monotonic() - started
        assert on_file(tmp_path)["run_id"] == "r2"
    assert waited >= 0.2
    assert "the first run (process " in said[0] and str(other.process.pid) in said[0] and "since 2" in said[0]
    assert "so far" not in said[0] and "s so far) for another run" in said[1]
    assert said[-1].startswith("Waited ")
    assert len(said) <= 2 + waited / 0.2


def test_giving_up_tells_what_to_do(tmp_path: Path) -> None:
    other = Other(tmp_path, "the first run")
    with (
        pytest.raises(RunBusyError, match=rf"process {other.process.pid}.*Ctrl-C.*storage.run_wait_s"),
        run_lease(tmp_path, "r2", wait_s=0.1, say=lambda message: None),
    ):
        pytest.fail("two runs at once")
    assert on_file(tmp_path)["run_id"] == "the first run"
    other.end()


def test_a_killed_run_never_blocks_the_next(tmp_path: Path) -> None:
    other = Other(tmp_path, "the first run")
    # Not waited for: it stays a zombie, which still has its pid and its start.
    other.kill()
    said: list[str] = []
    with run_lease(tmp_path, "r2", wait_s=10, say=said.append):
        assert on_file(tmp_path)["run_id"] == "r2"
    other.end()


def test_a_pid_that_now_belongs_to_another_process_does_not_count(tmp_path: Path) -> None:
    me = Holder.of(os.getpid())
    write_owner(tmp_path, me.model_copy(update={"started": me.started - 100, "started_after_boot": 1.0}))
    with run_lease(tmp_path, "r2", wait_s=0.1, say=pytest.fail):
        pass


def test_a_clock_that_was_set_does_not_make_a_living_run_look_dead(tmp_path: Path) -> None:
    other = Other(tmp_path, "the first run")
    there = on_file(tmp_path)
    there["holders"][0]["started"] += 3600
    (tmp_path / "run.json").write_text(json.dumps(there), "utf-8")
    with pytest.raises(RunBusyError), run_lease(tmp_path, "r2", wait_s=0.1, say=lambda message: None):
        pass
    other.end()


def test_processes_of_one_run_share_the_lease_and_the_last_one_gives_it_back(tmp_path: Path) -> None:
    step = Other(tmp_path, "r1", "joins")
    with run_lease(tmp_path, "r1", joins=True, wait_s=0.1, say=pytest.fail):
        assert len(on_file(tmp_path)["holders"]) == 2
        step.end()
        assert [holder["pid"] for holder in on_file(tmp_path)["holders"]] == [os.getpid()]
    assert not (tmp_path / "run.json").exists()


def test_two_commands_of_one_name_do_not_share_it(tmp_path: Path) -> None:
    other = Other(tmp_path, "fashionrec erase")
    with pytest.raises(RunBusyError), run_lease(tmp_path, "fashionrec erase", wait_s=0.1, say=lambda message: None):
        pass
    other.end()


def test_the_parent_of_the_steps_keeps_it_between_them_until_it_dies_or_the_run_is_over(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    for _ in range(2):
        with run_lease(tmp_path, "r1", joins=True, worker=parent.pid, wait_s=0.1, say=pytest.fail):
            assert len(on_file(tmp_path)["holders"]) == 2
    with pytest.raises(RunBusyError), run_lease(tmp_path, "r2", wait_s=0.1, say=lambda message: None):
        pass
    with run_lease(tmp_path, "r2", wait_s=0.1, say=pytest.fail, is_over=lambda run_id: run_id == "r1"):
        pass
    with run_lease(tmp_path, "r1", joins=True, worker=parent.pid):
        pass
    parent.kill()
    with run_lease(tmp_path, "r2", wait_s=10, say=lambda message: None):
        pass
    parent.communicate()


def test_a_step_whose_parent_is_gone_still_takes_the_lease(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    with run_lease(tmp_path, "r1", joins=True, worker=parent.pid):
        assert [holder["pid"] for holder in on_file(tmp_path)["holders"]] == [os.getpid()]


def test_a_run_on_another_host_counts_until_it_gives_no_sign_of_life(tmp_path: Path) -> None:
    away = Holder.of(os.getpid()).model_copy(update={"host": "elsewhere pid:[1]"})
    write_owner(tmp_path, away)
    signs = threading.Timer(0.3, os.utime, [tmp_path / "run.json"])
    signs.start()
    said: list[str] = []
    started = time.monotonic()
    with run_lease(tmp_path, "r2", silent_s=0.5, wait_s=20, say=said.append):
        assert 0.75 <= time.monotonic() - started < 10
    assert f"process {os.getpid()} on elsewhere, since" in said[0]


def test_a_look_takes_a_silent_run_on_another_host_for_dead(tmp_path: Path) -> None:
    write_owner(tmp_path, Holder.of(os.getpid()).model_copy(update={"host": "elsewhere pid:[1]"}))
    assert owner_of(tmp_path) is not None
    long_ago = time.time() - 3600
    os.utime(tmp_path / "run.json", (long_ago, long_ago))
    assert owner_of(tmp_path) is None
    # One on this host is looked at, however long it gave no sign.
    write_owner(tmp_path, Holder.of(os.getpid()))
    os.utime(tmp_path / "run.json", (long_ago, long_ago))
    assert owner_of(tmp_path) is not None


def test_a_run_at_work_gives_signs_of_life(tmp_path: Path) -> None:
    with run_lease(tmp_path, "r1", silent_s=0.2):
        os.utime(tmp_path / "run.json", (1, 1))
        time.sleep(0.1)
        assert (tmp_path / "run.json").stat().st_mtime > 1


def test_a_block_inside_a_block_shares_it_and_an_error_gives_it_back(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        run_lease(tmp_path, "fashionrec run"),
        run_lease(tmp_path / ".", "r1", wait_s=0.1, say=pytest.fail),
    ):
        assert on_file(tmp_path)["run_id"] == "fashionrec run"
        1 / 0  # noqa: B018
    assert not (tmp_path / "run.json").exists()
    with run_lease(tmp_path, "r2", wait_s=0.1, say=pytest.fail):
        assert on_file(tmp_path)["run_id"] == "r2"


def test_two_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work(number: int) -> None:
        nonlocal inside, most
        for turn in range(3):
            with run_lease(tmp_path, f"r{number}.{turn}", say=lambda message: None):
                inside += 1
                most = max(most, inside)
                time.sleep(0.01)
                inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_file_that_cannot_be_read_is_ignored_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run.json").write_bytes(b'{"run_id": "r0", "what')
    with run_lease(tmp_path, "r1", wait_s=0.1):
        assert on_file(tmp_path)["run_id"] == "r1"
    assert "cannot be read and is ignored" in caplog.text

"""Runs that are killed, again and again: no orphan after five seconds, nothing lost, and the same bytes in the end."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from checkouts import Checkout
from figures import enter
from test_workflow import hashes

from trusteq.errors import ArtefactError
from trusteq.store import read_table, record, verify, write_table
from trusteq.study.graph import begin
from trusteq.study.results import Results

KILLS = {"the whole group": 60, "the main process": 60, "the main process, as a job begins": 20}
COMMAND = "python -m pytest -m slow tests/test_kills.py"
LONGEST_SECONDS = 20  # into a run that is killed at a random moment
ORPHANS_END_WITHIN = 5


def processes_of(main: int) -> list[int]:
    """Return the processes that a run has started, however they are related to it now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TRUSTEQ_MAIN", "").split(" ")[1:2] == [str(main)] and process.pid != main:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def killed(checkout: Checkout, how: str, chance: random.Random, scratch: Path) -> tuple[bool, list[int]]:
    """Start a run and kill it; return whether it was still at work, and the processes that outlive it by too long."""
    environment = os.environ | {"PYTHONPATH": str(checkout.folder), "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(checkout.command(), cwd=checkout.folder, env=environment, start_new_session=True, **quiet)
    _wait_for_the_moment(run, checkout.results / "small" / "logs", how, chance)
    was_at_work = run.poll() is None
    os.killpg(run.pid, signal.SIGKILL) if how == "the whole group" else run.kill()
    run.wait()
    until = time.monotonic() + ORPHANS_END_WITHIN
    while (orphans := processes_of(run.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    return was_at_work, orphans


def _wait_for_the_moment(run: subprocess.Popen, logs: Path, how: str, chance: random.Random) -> None:
    began = time.time()
    until = began + (300 if "begins" in how else chance.uniform(0, LONGEST_SECONDS))
    nth = chance.randrange(3)  # of the jobs that this run begins
    while time.time() < until and run.poll() is None:
        if "begins" in how and sum(log.stat().st_mtime > began for log in logs.glob("*.log")) > nth:
            time.sleep(chance.uniform(0, 0.3))
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("how", KILLS)
def test_kills_lose_nothing_and_leave_no_orphan(checkout, small, tmp_path, how):
    elsewhere, chance = Checkout(checkout.folder), random.Random(how)
    scratch = Path(tempfile.mkdtemp(prefix="kills-"))  # short: a socket has 107 letters
    elsewhere.results, outlived, kills = tmp_path / "results", [], 0
    while kills < int(os.environ.get("TRUSTEQ_KILLS", KILLS[how])):
        was_at_work, orphans = killed(elsewhere, how, chance, scratch)
        outlived += orphans
        kills += was_at_work
        if not was_at_work:
            shutil.rmtree(elsewhere.results)
    done = elsewhere.call(elsewhere.command(), TMPDIR=str(scratch))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    again = Results.open(elsewhere.results / "small")
    changed = sum(hashes(again)[name] != of for name, of in hashes(small).items())
    what = f"kills of {how}: orphans after {ORPHANS_END_WITHIN} s, results that differ in the end"
    print(f"{len(outlived)} orphans, {changed} changed")
    enter(what, COMMAND, tried=kills, failed=len(outlived) + changed)
    assert outlived == []
    assert verify(again.folder)[1] == []
    assert hashes(again) == hashes(small)
    left = [path for path in again.folder.rglob(".*") if path.is_dir() and path.name not in (".jobs", ".snakemake")]
    assert [path for path in left if ".snakemake" not in path.parts] == []
    assert list(scratch.glob("trusteq-run-*")) == []
    scratch.rmdir()


@pytest.mark.slow
def test_a_kill_while_a_table_is_written_leaves_the_one_before_or_the_one_after(tmp_path):
    path, chance, halves = tmp_path / "comparison" / "demo" / "table.parquet", random.Random(0), 0
    begin(tmp_path)
    _write(path, 0)
    for _ in range(200):
        writer = os.fork()
        if writer == 0:
            for number in range(1, 10**6):
                _write(path, number)
        time.sleep(chance.uniform(0.001, 0.1))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        halves += not _is_whole(path)
        _write(path, 0)  # as the next run does, which finds it under another key
        assert verify(tmp_path)[1] == []
    enter("kills in the middle of a write: tables read that are neither old nor new", COMMAND, tried=200, failed=halves)
    assert halves == 0


def _write(path: Path, number: int) -> None:
    write_table(pd.DataFrame({"value": np.full(50_000, number)}), path, key=str(number))
    record(path)


def _is_whole(path: Path) -> bool:
    """Return whether a table is whole, or refused because its manifest or the list is of the other one."""
    try:
        return read_table(path, made_by="the test")["value"].nunique() == 1
    except ArtefactError:
        return pd.read_parquet(path)["value"].nunique() == 1

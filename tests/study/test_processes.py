"""No process outlives its run, no two write the same, and what a killed one left is removed."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trusteq.errors import DataError, ExperimentError, error_line
from trusteq.project import root
from trusteq.study import processes
from trusteq.study.workflow import _failure

SLEEPER = "from trusteq.study.processes import end_with_main; end_with_main(); print('on', flush=True)\n"
SLEEPER += "import time; time.sleep(100)"
# A run's main process, whose job is in a session of its own, under a shell that no signal reaches.
MAIN = """
import subprocess, sys
from pathlib import Path
from trusteq.study.processes import alone
with alone(Path(sys.argv[1])):
    job = [sys.executable, "-c", sys.argv[2]]
    subprocess.run(["bash", "-c", '"$@" & echo $! ; wait', "shell", *job], start_new_session=True)
"""
WRITER = """
import sys, time
from pathlib import Path
from trusteq.study.processes import sole_writer
with sole_writer(Path(sys.argv[1]), "job"):
    print("writes", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def of_this_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(root()))


def started(code: str, *arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def ends_within(process: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if processes._start_of(process) is None:
            return True
        time.sleep(0.05)
    return False


def test_a_job_ends_with_the_main_process_whatever_lies_between_them(tmp_path):
    with started(MAIN, tmp_path, SLEEPER) as main:
        job = int(main.stdout.readline())
        assert main.stdout.readline() == "on\n"
        assert not ends_within(job, 1)
        main.kill()
        assert ends_within(job, 5)
    with processes.alone(tmp_path):  # which removes its temporary files
        pass


@pytest.mark.parametrize("state", ["ended", "another process has its number now"])
def test_a_job_that_starts_after_the_end_of_its_main_process_ends_at_once(tmp_path, monkeypatch, state):
    process = os.getpid() if "another" in state else 2**22 + 1
    monkeypatch.setenv("TRUSTEQ_MAIN", f"{processes.here()} {process} 1")
    done = started(SLEEPER)
    assert done.communicate(timeout=60)[0] == ""
    assert done.returncode == 1


@pytest.mark.parametrize("where", ["elsewhere", f"{processes.socket.gethostname()}:pid:[1]"])
def test_a_job_on_another_machine_or_in_a_container_does_not_look_for_its_main_process_here(monkeypatch, where):
    monkeypatch.setenv("TRUSTEQ_MAIN", f"{where} 1 1")
    with started(SLEEPER) as job:
        assert job.stdout.readline() == "on\n"
        job.kill()


def test_a_child_of_a_parent_that_was_quicker_to_end_does_not_go_on():
    done = started("from trusteq.study.processes import end_with_parent; end_with_parent(1); print('on')")
    assert done.communicate()[0] == ""
    assert done.returncode == 1


def test_two_processes_do_not_write_the_same_at_a_time(tmp_path):
    with started(WRITER, tmp_path, 2) as first:
        first.stdout.readline()
        began = time.monotonic()
        with started(WRITER, tmp_path, 0, stderr=subprocess.PIPE) as second:
            assert "waiting for job of an earlier run to end" in second.stderr.readline()
            assert second.stdout.readline() == "writes\n"
    assert time.monotonic() - began > 1.5


def test_a_run_waits_for_the_jobs_of_an_earlier_one(tmp_path, capsys):
    with started(WRITER, tmp_path, 2) as orphan:
        orphan.stdout.readline()
        with processes.alone(tmp_path):
            assert orphan.wait(timeout=1) == 0
    assert "waiting for job" in capsys.readouterr().err


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with processes.alone(tmp_path), pytest.raises(ExperimentError, match="running already"), processes.alone(tmp_path):
        pass


def test_what_killed_jobs_left_is_removed_and_nothing_else(tmp_path):
    left = tmp_path / "models" / ".0.ab12_cd9"
    (left / "0").mkdir(parents=True)
    (left / "replaced").mkdir()
    kept = [tmp_path / ".snakemake" / "a", tmp_path / ".ipynb_checkpoints" / "a", tmp_path / ".a.b.12345678" / "other"]
    for file in kept:
        file.parent.mkdir()
        file.touch()
    with processes.alone(tmp_path):
        assert not left.exists()
    assert all(file.is_file() for file in kept)


def test_temporary_files_of_a_killed_run_go_with_the_next_one(tmp_path):
    with started(MAIN, tmp_path, SLEEPER) as main:
        main.stdout.readline()
        main.kill()
    scratch = Path((tmp_path / processes.SCRATCH).read_text())
    assert scratch.is_dir()
    with processes.alone(tmp_path):
        assert os.environ["TMPDIR"] != str(scratch)
        assert not scratch.exists()
    assert "TMPDIR" not in os.environ or not os.environ["TMPDIR"].startswith(str(scratch.parent / "trusteq-run-"))
    assert not (tmp_path / processes.SCRATCH).exists()


def test_another_folder_that_stands_where_the_temporary_one_should_is_left_alone(tmp_path):
    mine = tmp_path / "trusteq-run-mine"
    mine.mkdir()
    (tmp_path / processes.SCRATCH).write_text(str(mine))
    with processes.alone(tmp_path):
        pass
    assert mine.is_dir()


@pytest.fixture
def failed(tmp_path):
    """A function from the text of a job's log to the closing line of the run."""
    (tmp_path / "logs").mkdir()

    def failed(log: str | None, *, for_memory: bool = False) -> str:
        if log is not None:
            (tmp_path / "logs" / "train-a.log").write_text(log)
        return str(_failure(tmp_path, time.time(), for_memory))

    return failed


class TestTheClosingLineNamesTheCause:
    def test_an_error_that_the_user_can_mend(self, failed):
        assert failed("noise\n" + error_line(DataError("line 3: no label")) + "\n") == "line 3: no label"

    def test_another_error_and_its_log(self, failed, tmp_path):
        log = "Traceback (most recent call last):\n  File x\nOSError: [Errno 28] No space left on device: 'a'\n"
        assert (
            failed(log)
            == f"train-a: OSError: [Errno 28] No space left on device: 'a'; log: {tmp_path}/logs/train-a.log"
        )

    def test_a_full_disk_though_another_error_came_of_it(self, failed):
        head = "Traceback (most recent call last):\n"
        log = f"{head}OSError: No space left on device\n{head}X: y\n"
        assert "train-a: OSError: No space left on device; log" in failed(log)

    @pytest.mark.parametrize("for_memory", [False, True])
    def test_a_kill(self, failed, tmp_path, for_memory):
        with started(WRITER, tmp_path, 100) as job:
            job.stdout.readline()
            job.kill()
        assert processes.killed(tmp_path) == ["job"]
        line = failed("halfway", for_memory=for_memory)
        assert line.startswith("job was killed for want of memory" if for_memory else "job was killed from outside, or")
        assert line.endswith(f"log: {tmp_path}/logs/job.log")

    def test_a_job_that_could_not_write_its_log(self, failed, tmp_path):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            assert failed(None).startswith(f"{tmp_path}/logs: File too large; run it again once that is mended")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def test_a_job_that_said_nothing(self, failed):
        assert failed(None).startswith("a job ended before it could say why")

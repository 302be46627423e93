"""The processes of a run: none outlives it, no two write the same, and the next run removes what killed ones left."""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trusteq.errors import ExperimentError
from trusteq.project import changed_environment

JOBS, SCRATCH = ".jobs", ".scratch"  # in a run's folder: a file a job, held while it writes; where temporary files are
_MAIN = "TRUSTEQ_MAIN"  # in the environment: where the run's main process is, its number and start
_LOOK_SECONDS = 0.5
_PREFIX = "trusteq-run-"
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")  # as `store.atomic_path` names its folders


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process and those that it starts, with a place of their own for temporary files.

    First waits for jobs of an earlier run to end, and removes what killed ones left. The system releases the folder
    however this process ends. Raises ExperimentError where another process holds it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExperimentError(f"{folder}: this experiment is running already; wait for it or stop it") from None
        _clear(folder)
        with _scratch(folder) as scratch, changed_environment(_of_this_process() | scratch):
            yield


def _clear(folder: Path) -> None:
    for job in sorted((folder / JOBS).glob("*")):
        with _held(job):
            pass
    for path in folder.rglob(".*"):
        half = _HALF_WRITTEN.fullmatch(path.name)
        if half and path.is_dir() and {inside.name for inside in path.iterdir()} <= {half["name"], "replaced"}:
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        left = Path((folder / SCRATCH).read_text(encoding="utf-8"))
        if left.name.startswith(_PREFIX) and left.parent == Path(tempfile.gettempdir()):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as scratch:
        (folder / SCRATCH).write_text(scratch, encoding="utf-8")
        yield {"TMPDIR": scratch, "JUPYTER_RUNTIME_DIR": scratch}
    (folder / SCRATCH).unlink(missing_ok=True)


def _of_this_process() -> dict[str, str]:
    started = _start_of(os.getpid())
    return {} if started is None else {_MAIN: f"{here()} {os.getpid()} {started}"}


def here() -> str:
    """Return where the numbers of processes mean what they mean here: a machine, or a container on it."""
    try:
        return f"{socket.gethostname()}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _start_of(process: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None where it has ended, or there is no /proc."""
    try:
        state, *facts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else facts[18]


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent`, which has just started it, ends (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it was quicker
        os._exit(1)


def end_with_main() -> None:
    """End this process within a second of the run's main process, if it can be seen, whatever lies between them."""
    where, _, main = os.environ.get(_MAIN, "").partition(" ")
    if where != here():
        return
    process, started = main.split()

    def look() -> None:
        while _start_of(int(process)) == started:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    if _start_of(int(process)) != started:
        os._exit(1)
    threading.Thread(target=look, daemon=True).start()


@contextlib.contextmanager
def sole_writer(folder: Path, job: str) -> Iterator[None]:
    """Hold what a job writes for this process alone; waits for a process of an earlier run that is about to end."""
    (folder / JOBS).mkdir(exist_ok=True)
    with _held(folder / JOBS / job) as file:
        file.write(f"{socket.gethostname()} {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[TextIO]:
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {path.name} of an earlier run to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        yield file


def killed(folder: Path) -> list[str]:
    """Return the jobs that ended without a word of their own, which an error would have left."""
    return sorted(job.name for job in (folder / JOBS).glob("*") if job.stat().st_size)


def killed_for_memory() -> int:
    """Return how many processes the kernel has ended for want of memory, of this control group too; 0 if unknown."""
    found = [0]
    for counts in map(Path, ("/proc/vmstat", "/sys/fs/cgroup/memory.events")):
        with contextlib.suppress(OSError):
            lines = map(str.split, counts.read_text(encoding="utf-8").splitlines())
            found += [int(count) for name, count in lines if name == "oom_kill"]
    return sum(found)

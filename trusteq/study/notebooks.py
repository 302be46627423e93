"""Text notebooks executed with parameters: jupytext reads them, papermill runs them."""

import ast
import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import jupytext
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from trusteq import errors
from trusteq.errors import ExperimentError, nearest
from trusteq.store import atomic_path

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
START_SECONDS = 180  # a kernel imports for that long where the machine is busy
_FORGET = "import os\nget_ipython().run_line_magic('reset', '-sf')\nimport os; os.chdir({folder!r}); del os"


@contextlib.contextmanager
def kernel() -> Iterator[AsyncKernelManager]:
    """Start a kernel that executes notebooks one after the other, and end it with the block.

    What a kernel imports takes it seconds; notebooks that only read do not need one each.
    """
    # Ports are chosen before they are taken: of kernels that start side by side, two may choose the same one.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        manager = AsyncKernelManager(kernel_name=_KERNEL["name"], transport="ipc", ip=f"{sockets}/kernel")
        run_sync(manager.start_kernel)(extra_arguments=["--IPKernelApp.log_level=ERROR"])
        try:
            yield manager
        finally:
            run_sync(manager.shutdown_kernel)(now=True)
            manager.context.destroy(linger=0)


class _InOneKernel(NBClientEngine):
    """papermill's own engine, in a kernel that is there already."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, manager, folder, stdout_file, stderr_file, **ignored):
        streams = {"stdout_file": stdout_file, "stderr_file": stderr_file}
        client = PapermillNotebookClient(nb_man, km=manager, log_output=False, startup_timeout=START_SECONDS, **streams)
        client.start_new_kernel_client()
        try:
            forget = _FORGET.format(folder=folder)
            run_sync(client.kc.execute_interactive)(forget, store_history=False, allow_stdin=False)
            return client.execute()
        finally:
            client.kc.stop_channels()


papermill_engines.register("one-kernel", _InOneKernel)


def read(source: Path) -> NotebookNode:
    """Return a py:percent notebook; raise ExperimentError where there is none of that name."""
    if not source.is_file():
        known = sorted(file.name for file in source.parent.glob("*.py"))
        raise ExperimentError(f"no notebook {source}; {nearest(source.name, known)}")
    # Read here: with a byte order mark, jupytext would leave it in the first cell.
    notebook = jupytext.reads(source.read_text(encoding="utf-8-sig"), {"extension": source.suffix})
    notebook.metadata.setdefault("kernelspec", dict(_KERNEL))  # one without a header is as good
    return notebook


def execute(
    source: Path,
    output: Path,
    parameters: Mapping[str, object],
    *,
    manager: AsyncKernelManager | None = None,
    log: TextIO | None = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Run the py:percent notebook `source` and write the executed notebook to `output`, in one step.

    The notebook runs in its own folder, as it does when opened by hand. manager: of a kernel to run it in (`kernel`);
    by default its own. log: is told what cells print, while they do. metadata: is kept in the executed notebook.
    Raises ExperimentError for a missing notebook or an unknown parameter, the error of a cell if it is one of
    `trusteq.errors`, PapermillExecutionError otherwise; `output` is then left as it was.
    """
    if output.is_dir():
        raise ExperimentError(f"{output}: a folder; name the notebook to write")
    notebook = read(source)
    known = list(papermill.inspect_notebook(notebook))
    for name in parameters:
        if name not in known:
            raise ExperimentError(f"{source}: no parameter {name!r}; {nearest(name, known)}")
    notebook.metadata["trusteq"] = dict(metadata or {})
    # papermill warns about every notebook that has no file name of its own.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        manager = manager or stack.enter_context(kernel())
        temporary = stack.enter_context(atomic_path(output))
        try:
            papermill.execute_notebook(
                notebook,
                str(temporary),
                parameters=dict(parameters),
                engine_name="one-kernel",
                kernel_name=_KERNEL["name"],
                progress_bar=False,
                log_output=False,
                stdout_file=log,
                stderr_file=log,
                manager=manager,
                folder=str(source.parent),
            )
        except PapermillExecutionError as error:
            mendable = getattr(errors, error.ename, None)
            if not (isinstance(mendable, type) and issubclass(mendable, errors.TrusteqError)):
                raise
            raise mendable(error.evalue) from None


def defaults(source: Path) -> dict[str, object]:
    """Return the parameters of a notebook with their default values."""
    found = papermill.inspect_notebook(read(source))
    return {name: _literal(of["default"]) for name, of in found.items()}


def _literal(python: str) -> object:
    """Return the value of a literal; None for what is none, such as a name or a call."""
    with contextlib.suppress(ValueError, SyntaxError):
        return ast.literal_eval(python)
    return None


def parse_parameters(pairs: list[str], known: Mapping[str, object]) -> dict[str, object]:
    """Return NAME=VALUE pairs as a dict, each value of the type that the notebook's own has.

    known: the notebook's parameters with their defaults. Where the default is a text, so is the value, whatever it
    looks like; where it is None, a value that looks like a number is one, "null" is None, a list in brackets is a list,
    and all else is text. Raises ExperimentError for anything else.
    """
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ExperimentError(f"parameter {pair!r}: expected NAME=VALUE, such as seed=1")
        default = known.get(name)
        parameters[name] = value if isinstance(default, str) else _typed(name, value, default)
    return parameters


def _typed(name: str, value: str, default: object) -> object:
    read = _read_value(value)
    if isinstance(default, list | tuple | dict):
        read = _literal(value) if isinstance(_literal(value), type(default)) else read
        if not isinstance(read, type(default) if isinstance(default, dict) else list | tuple | None):
            raise ExperimentError(f"parameter {name}={value}: give what looks like {default}")
        return read
    if isinstance(default, bool) and not isinstance(read, bool):
        raise ExperimentError(f"parameter {name}={value}: give true or false")
    is_number = isinstance(read, int | float) and not isinstance(read, bool)
    if isinstance(default, int | float) and not isinstance(default, bool) and not (is_number or read is None):
        raise ExperimentError(f"parameter {name}={value}: give a number, such as {default}")
    return read


def _read_value(value: str) -> object:
    if value in ("", "null", "None"):
        return None
    if value in ("true", "false"):
        return value == "true"
    if value.startswith("[") and value.endswith("]"):
        return [_read_value(part.strip()) for part in value[1:-1].split(",") if part.strip()]
    if re.fullmatch(r"[+-]?\d+", value, flags=re.ASCII):
        return int(value)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, flags=re.ASCII):
        return float(value)
    return value

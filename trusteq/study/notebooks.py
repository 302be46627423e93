"""Text notebooks executed with parameters: jupytext reads them, papermill runs them."""

import logging
import tempfile
from pathlib import Path
from typing import TextIO

import jupytext
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from trusteq import errors
from trusteq.errors import ExperimentError, nearest
from trusteq.store import atomic_path

START_SECONDS = 180  # a kernel imports for that long where the machine is busy


def execute(source: Path, output: Path, parameters: dict, *, log: TextIO | None = None) -> None:
    """Run the py:percent notebook `source` and write the executed notebook to `output`, in one step.

    The notebook runs in its own folder, as it does when opened by hand. log: is told what cells print, while they do.
    Raises ExperimentError for a missing notebook or an unknown parameter, the error of a cell if it is one of
    `trusteq.errors`, PapermillExecutionError otherwise; `output` is then left as it was.
    """
    if not source.is_file():
        known = sorted(file.name for file in source.parent.glob("*.py"))
        raise ExperimentError(f"no notebook {source}; {nearest(source.name, known)}")
    notebook = jupytext.read(source)
    known = list(papermill.inspect_notebook(notebook))
    for name in parameters:
        if name not in known:
            raise ExperimentError(f"{source}: no parameter {name!r}; {nearest(name, known)}")
    # papermill warns about every notebook that has no file name of its own.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    # Ports are chosen before they are taken: of kernels that start side by side, two may choose the same one.
    with atomic_path(output) as temporary, tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        try:
            papermill.execute_notebook(
                notebook,
                str(temporary),
                parameters=parameters,
                kernel_name="python3",
                progress_bar=False,
                log_output=False,
                stdout_file=log,
                stderr_file=log,
                cwd=str(source.parent),
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
                start_timeout=START_SECONDS,
            )
        except PapermillExecutionError as error:
            mendable = getattr(errors, error.ename, None)
            if not (isinstance(mendable, type) and issubclass(mendable, errors.TrusteqError)):
                raise
            raise mendable(error.evalue) from None


def parse_parameters(pairs: list[str]) -> dict:
    """Return NAME=VALUE pairs as a dict, each value read as YAML; raise ExperimentError for anything else."""
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ExperimentError(f"parameter {pair!r}: expected NAME=VALUE, such as seed=1")
        try:
            parameters[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            parameters[name] = value
    return parameters

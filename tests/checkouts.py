"""A copy of the project in a folder of its own, and the small experiment that is run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

SMALL = {
    "name": "small",
    "title": "A small experiment",
    "tasks": ["demo-nli"],
    "models": ["demo-large", "demo-distilled"],
    "methods": {"lime": {"n_samples": 60}, "occlusion": {"n_samples": 60}},
    "explain": 4,
    "train_limit": 64,
    "recipe": {"learning_rate": 1.0e-3, "epochs": 1, "max_length": 64},
}

# A valid experiment file of the least, for tests that spoil it.
EXPERIMENT = {
    "name": "small",
    "title": "Small",
    "tasks": {"demo-nli": {}},
    "models": {"demo-large": {}, "demo-tiny": {}},
    "methods": {"lime": {"n_samples": 10}},
}


class Checkout:
    """A copy of the project in a folder whose name a shell would act on, and an experiment that is run in it."""

    def __init__(self, folder: Path):
        self.folder, self.results = folder, folder / "results"

    def command(self, *arguments, **changes) -> list[str]:
        """Return the command that runs the small experiment, some of its keys changed."""
        file = self.folder / "small.yaml"
        file.write_text(yaml.safe_dump(SMALL | changes), encoding="utf-8")
        return self.tool("run", str(file), "--results", str(self.results), *arguments)

    def tool(self, *arguments) -> list[str]:
        """Return the command that calls trusteq."""
        return [sys.executable, "-m", "trusteq", *arguments]

    def run(self, *arguments, **changes):
        """Run the small experiment and return its results."""
        from trusteq.study.results import Results

        done = self.call(self.command(*arguments, **changes))
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return Results.open(self.results / "small")

    def call(self, command: list[str], **environment) -> subprocess.CompletedProcess:
        """Run a command in the checkout, by the package that is in it."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("TRUSTEQ_")}
        known |= {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"} | environment
        return subprocess.run(command, cwd=self.folder, env=known, capture_output=True, text=True, check=False)


def make_checkout(folder: Path) -> Checkout:
    """Copy what the project holds to a folder."""
    from trusteq.project import root

    folder.mkdir(parents=True)
    for name in ("trusteq", "notebooks", "workflow", "experiments", "book", "data", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "runs")
        shutil.copytree(root() / name, folder / name, ignore=ignored)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root() / name, folder / name)
    return Checkout(folder)

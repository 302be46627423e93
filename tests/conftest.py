"""What several tests share: a very small BERT on disk, and the command line in a process of its own."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
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


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Checkout:
    """The checkout that the small experiment has been run in; a test that changes it takes a copy of the results."""
    made = make_checkout(tmp_path_factory.mktemp("home") / "Prüf stand $(touch PWNED)")
    made.run()
    return made


@pytest.fixture(scope="session")
def small(checkout):
    """The results of the small experiment; not to be changed."""
    from trusteq.study.results import Results

    return Results.open(checkout.results / "small")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A function that writes a random BERT of a given class to a fresh folder, and returns the folder."""
    import torch
    import transformers

    torch.set_num_threads(1)
    words = "a the man woman dog reads runs sleeps eats in park house good bad very not"
    vocabulary = f"[PAD] [UNK] [CLS] [SEP] [MASK] . , ? ! {words}".split()
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}

    def write(kind, *, labels=("no", "yes", "maybe"), layers=2, model_max_length=32, seed=0):
        names = {} if labels is None else {"id2label": dict(enumerate(labels))}
        folder = tmp_path_factory.mktemp(kind)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            # Weights drawn wide, so that texts differ in their probabilities by far more than rounding.
            shape = sizes | {"num_hidden_layers": layers, "initializer_range": 0.5, "vocab_size": len(vocabulary)}
            getattr(transformers, kind)(transformers.BertConfig(**shape, **names)).save_pretrained(folder)
        ids = {token: index for index, token in enumerate(vocabulary)}
        transformers.BertTokenizer(vocab=ids, model_max_length=model_max_length).save_pretrained(folder)
        return folder

    return write


@pytest.fixture
def interpreter(tmp_path):
    """Start Python in a folder outside the checkout, the package on PYTHONPATH alone; return the finished process."""

    from trusteq.project import root

    def interpreter(*arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUSTEQ_")}
        environment |= {"PYTHONPATH": str(root()), "COLUMNS": "100", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return interpreter


@pytest.fixture
def python(interpreter):
    """Run Python code, with arguments."""
    return functools.partial(interpreter, "-c")


@pytest.fixture
def trusteq(tmp_path, monkeypatch, capfd):
    """Call the command line, with arguments, in a folder outside the checkout and in this very process."""
    from trusteq.cli import main

    def trusteq(*arguments):
        for name in ("TRUSTEQ_HUB", "TRUSTEQ_PROJECT"):  # put back what the command sets
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys, "argv", ["trusteq", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, written.out, written.err)

    return trusteq


@pytest.fixture
def drawing():
    """Draw without a screen in the book's style; close everything afterwards."""
    import matplotlib.pyplot as plt

    from trusteq.pages.figures import STYLE

    plt.switch_backend("agg")
    with plt.style.context(STYLE):
        yield
    plt.close("all")

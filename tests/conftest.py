"""What several tests share: a very small BERT on disk, and the command line in a process of its own."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import Checkout, make_checkout


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
def html(checkout, small) -> Path:
    """The folder of the book of the small experiment, built as `make book` builds it."""
    done = checkout.call(checkout.tool("book", "--results", str(small.folder)))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return checkout.folder / "_build" / "html"


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
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
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


@pytest.fixture(scope="session")
def browser():
    """A Chromium that is driven by Playwright, the one of all tests: two at once do not go."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    from trusteq.pages.pdf import find_browser

    if (found := find_browser()) is None:
        pytest.skip("no Chromium: apt install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()

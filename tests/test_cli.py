"""The command line as a user meets it: in a process of its own, from another folder, uninstalled."""

import re

import pandas as pd
import pytest
import yaml
from refusals import refused

import trusteq as trusteq_module
from trusteq import cli
from trusteq.attribution.methods import METHODS
from trusteq.project import root
from trusteq.store import write_table

EXPERIMENT = {
    "name": "small",
    "title": "Small",
    "tasks": ["demo-nli"],
    "models": ["demo-tiny"],
    "methods": {"lime": {"n_samples": 10}},
}
HEAVY = (
    "torch",
    "pandas",
    "numpy",
    "sklearn",
    "scipy",
    "datasets",
    "transformers",
    "matplotlib",
    "papermill",
    "snakemake",
)


@pytest.fixture
def experiment(tmp_path):
    """Write EXPERIMENT with some keys replaced to a file."""

    def experiment(**changes):
        file = tmp_path / "small.yaml"
        file.write_text(yaml.safe_dump(EXPERIMENT | changes), encoding="utf-8")
        return file

    return experiment


def test_help_names_every_command(trusteq):
    done = trusteq("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for command in ("run", "book", "execute", "explain", "audit", "calibrate", "verify"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(python, arguments):
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); sys.argv = ['trusteq', *{arguments}]"
    done = python(f"{code}\nfrom trusteq.cli import main\nmain()")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "trusteq.cli" in loaded
    assert not loaded & set(HEAVY)


def test_importing_the_package_imports_nothing_heavy(python):
    done = python("import sys, trusteq; print(dir(trusteq)); print(*sys.modules)")
    assert "'load_examples'" in done.stdout
    assert not set(done.stdout.split()) & set(HEAVY)


def test_without_a_command_the_help_is_shown(trusteq):
    done = trusteq()
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rnu", "demo"], "No such command 'rnu'"),
        (["run", "demo", "--core", "2"], "No such option: --core"),
        (["run"], "Missing argument"),
        (["run", "demo", "--limit", "0"], "--limit"),
        (["run", "demo", "--limit", "many"], "--limit"),
        (["run", "demo", "--shard", "0/4"], "shard '0/4': expected i/n with i from 1 to n, such as 1/4"),
        (["run", "demo", "--shard", "5/4"], "shard '5/4'"),
        (["run", "demo", "--shard", "x"], "shard 'x'"),
        (["run", "dmeo"], "did you mean 'demo'?"),
        (["run", "nowhere/small.yaml"], "no experiment file 'nowhere/small.yaml'"),
    ],
)
def test_bad_arguments(trusteq, tmp_path, arguments, part):
    refused(trusteq(*arguments), part)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"tasks": ["demo-nil"]}, "unknown task 'demo-nil'; did you mean 'demo-nli'?"),
        ({"models": ["demo-tinny"]}, "unknown model 'demo-tinny'; did you mean 'demo-tiny'?"),
        ({"methods": {"lmie": {"n_samples": 10}}}, "unknown method 'lmie'; did you mean 'lime'?"),
        ({"recpie": {}}, "unknown key 'recpie'; did you mean 'recipe'?"),
        ({"recipe": {"epcohs": 1}}, "unknown key 'epcohs'; did you mean 'epochs'?"),
        ({"tasks": [{"demo-nli": {}}]}, "tasks: "),
    ],
)
def test_a_bad_experiment_leaves_nothing(trusteq, experiment, tmp_path, changes, part):
    file = experiment(**changes)
    refused(trusteq("run", file, "--results", "results"), file, part)
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.yaml"]


def test_a_mirror_that_is_not_there(trusteq, experiment, tmp_path):
    refused(trusteq("run", experiment(), "--hub", "nowhere", "--results", "results"), "--hub nowhere: no such folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.yaml"]


def test_an_unknown_notebook_parameter(trusteq, tmp_path):
    notebook = root() / "notebooks" / "01_finetune.py"
    refused(trusteq("execute", notebook, "out/a.ipynb", "-p", "modle=demo-tiny"), notebook, "did you mean 'model'?")
    refused(trusteq("execute", notebook, "out/a.ipynb", "-p", "model"), "expected NAME=VALUE")
    assert list(tmp_path.iterdir()) == []


def test_a_book_needs_the_results_of_one_run(trusteq, tmp_path):
    refused(trusteq("book", "--results", "nowhere"), tmp_path / "nowhere", "runs found in it: none")


def test_help_names_every_method():
    assert re.split(", | or ", cli.METHODS) == list(METHODS)


def test_explain_prints_the_weights_and_says_what_is_cut(trusteq, tiny_bert):
    folder = tiny_bert("BertForSequenceClassification")
    texts = ["--text-a", "the man sleeps, " * 12, "--text-b", "a dog"]
    done = trusteq("explain", folder, *texts, "--method", "occlusion", "--mask", "[MASK]")
    assert done.returncode == 0, done.stderr
    note = re.fullmatch(r"note: (\d+) words beyond 32 tokens are cut and have no weight", done.stderr.splitlines()[-1])
    first, header, *rows = done.stdout.splitlines()
    assert first.startswith("predicted: ")
    assert header.split() == ["segment", "position", "word", "weight"]
    sizes = [abs(float(row.split()[-1])) for row in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert len(rows) + int(note[1]) == 12 * 3 + 2
    refused(trusteq("explain", folder, *texts, "--method", "lyme"), "unknown method 'lyme'; did you mean 'lime'?")


def test_explain_says_what_it_took_where_less_may_be_enough(trusteq, tiny_bert):
    asked = ("explain", tiny_bert("BertForSequenceClassification"), "--text-a", "a man sleeps and a dog too")
    *_, last = trusteq(*asked, "--n-samples", "500", "--stable", "0.9").stdout.splitlines()
    taken = re.fullmatch(r"passes: (\d+) of 500; stopped at stable=0.9", last)
    assert int(taken[1]) <= 128  # seven words: all are among the top ten
    *_, last = trusteq(*asked, "--n-samples", "100", "--stable", "0.9").stdout.splitlines()
    assert re.fullmatch(r"passes: \d+ of 100; not stopped at stable=0.9", last)
    refused(trusteq(*asked, "--stable", "1"), "stable=1.0: give a mean Jaccard index between 0 and 1, such as 0.9")
    message = "stable=0.9: 'shap' does not stop before its end; leave it out, or use lime and shapley"
    refused(trusteq(*asked, "--method", "shap", "--stable", "0.9"), message)


@pytest.mark.parametrize("text", ["🙂🙂", "?!", "👩🏽‍🚀 ❤️ 🇩🇪"])
def test_explain_says_the_prediction_of_a_text_without_words(trusteq, tiny_bert, text):
    done = trusteq("explain", tiny_bert("BertForSequenceClassification"), "--text-a", text)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"predicted: (no|yes|maybe)\n", done.stdout)
    assert done.stderr.splitlines()[-1] == "note: there is no word to explain in these texts"


def test_explain_says_what_cut_a_text_without_spaces(trusteq, tiny_bert):
    done = trusteq("explain", tiny_bert("BertForSequenceClassification"), "--text-a", "我今天去", "--n-samples", "20")
    assert done.returncode == 0, done.stderr
    assert "note: Texts written without spaces are cut into words by ICU" in done.stderr
    assert {row.split()[2] for row in done.stdout.splitlines()[2:]} == {"我", "今天", "去"}


def test_verify_says_what_was_checked_and_what_differs(trusteq, tmp_path):
    refused(trusteq("verify", "nowhere"), "nowhere", "no manifest")
    for name in ("a", "b"):
        write_table(pd.DataFrame({"x": [1]}), tmp_path / "tables" / f"{name}.parquet")
    done = trusteq("verify", "tables")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 manifests, all artefacts as written\n", "")
    (tmp_path / "tables" / "b.parquet").write_bytes(b"x")
    refused(trusteq("verify", "tables"), "b.parquet: differs from its manifest")


def test_a_file_where_a_folder_is_needed_is_bad_input(trusteq, tmp_path):
    (tmp_path / "taken").touch()
    refused(trusteq("execute", root() / "notebooks" / "01_finetune.py", "taken/out.ipynb"), "taken")


@pytest.mark.parametrize("error", ["KeyError('x')", "RuntimeError('x')"])
def test_no_exception_ends_with_the_code_of_a_verdict(python, error):
    done = python(f"import trusteq.cli as cli\n@cli.app.command()\ndef boom():\n    raise {error}\ncli.main()", "boom")
    assert done.returncode == 4, done.stderr


def test_a_template_from_the_shell_may_hold_a_new_line(trusteq, monkeypatch):
    """As errors write it and as an experiment file has it; a shell hands two characters on."""
    given = []

    def named(model, *, template, **options):
        given.append(template)
        return trusteq_module.as_classifier(lambda a, b: [[0.4, 0.6]] * len(a), labels=("no", "yes"))

    monkeypatch.setattr("trusteq.models.as_classifier.named_classifier", named)
    asked = ("explain", "m", "--text-a", "a dog", "--text-b", "a man", "--method", "random")
    assert trusteq(*asked, "--template", r"P: {text_a}\nH: {text_b}").returncode == 0
    assert trusteq(*asked).returncode == 0
    assert given == ["P: {text_a}\nH: {text_b}", None]

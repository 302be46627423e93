"""The workflow on a small experiment: complete, repeatable, sparing, and whole after a kill."""

import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from trusteq.errors import ArtefactError, ExperimentError
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier
from trusteq.models.heads import random_head
from trusteq.pages.book import _pages, _reference_pages, table_of_contents
from trusteq.project import root
from trusteq.registry import validated
from trusteq.store import manifest_path, sha256, verify, write_text
from trusteq.study import notebooks, publish
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.reproduce import compare_tables
from trusteq.study.results import Results
from trusteq.study.shards import Shard
from trusteq.study.workflow import check_inputs, plan

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


def trusteq(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "trusteq", "run", str(folder / "small.yaml"), "--results", str(folder), *arguments]


def run(folder: Path, *arguments: str, **changes) -> Results:
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL | changes))
    done = subprocess.run(trusteq(folder, *arguments), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return Results.open(folder / "small")


def explained_tables(run: Results) -> list[tuple[str, str]]:
    """Every table of attributions, as (model, name)."""
    runs = [jobs(run.experiment, task="demo-nli", model=model, seed=seed) for model, seed in run.experiment.runs]
    return [(job.model, job.table) for of_one in runs for job in of_one]


def attribution_manifests(run: Results) -> dict[tuple[str, str], bytes]:
    """The manifest of every table of attributions, which says when it was made."""
    path = functools.partial(run.path, "attribution", "demo-nli")
    return {(model, name): manifest_path(path(model, 0, name)).read_bytes() for model, name in explained_tables(run)}


def times(run: Results) -> dict[str, int]:
    """When each table was written; a table that is made again has another time."""
    return {str(file.relative_to(run.folder)): file.stat().st_mtime_ns for file in run.folder.rglob("*.parquet")}


def hashes(run: Results) -> dict[str, str]:
    """What the seed decides: every table, metrics and weights; manifests and timings hold the machine's part."""
    patterns = ("*.parquet", "metrics.json", "history.csv", "*.safetensors")
    files = [file for pattern in patterns for file in run.folder.rglob(pattern)]
    return {str(file.relative_to(run.folder)): sha256(file) for file in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Results:
    return run(tmp_path_factory.mktemp("small"))


def test_a_run_leaves_every_artefact_and_its_manifest(small):
    experiment = small.experiment
    for model in experiment.models:
        assert len(small.predictions("demo-nli", model, 0)) == 1000
        assert small.predictions("demo-nli", model, 0, "dev")["id"].str.startswith("dev-").all()
        faithful = small.attribution("demo-nli", model, 0, "faithfulness")
        assert list(faithful) == ["id", "method", "comprehensiveness", "sufficiency"]
        assert faithful["method"].value_counts().to_dict() == {"lime": 4, "occlusion": 4, "random features": 4}
    for model, table in explained_tables(small):
        assert small.attribution("demo-nli", model, 0, table)["id"].nunique() == 4
    assert len(small.comparison("demo-nli", "alignment")) == 2
    assert set(small.calibration("demo-nli", 0, "scores")["model"]) == set(experiment.models)
    count, problems = verify(small.folder)
    assert (count, problems) == (len(times(small)) + len(experiment.runs), [])
    made = {name for name in times(small) if name.startswith(("predictions", "attribution"))}
    predicted = {"demo-large": ["0", "0-dev", "0-random-head"], "demo-distilled": ["0", "0-dev"]}
    tables = [(model, f"0/{table}") for model, table in explained_tables(small)]
    tables += [(model, "0/faithfulness") for model in experiment.models]
    assert made == {f"predictions/demo-nli/{m}/{name}.parquet" for m in predicted for name in predicted[m]} | {
        f"attribution/demo-nli/{model}/{name}.parquet" for model, name in tables
    }
    assert not [file for file in small.folder.rglob(".*ipynb*")]
    assert not (small.folder / "checkpoints" / "demo-nli" / "demo-large" / "0").exists()


def test_the_same_method_again_and_the_twin_have_weights_of_their_own(small):
    read = {table: small.attribution("demo-nli", "demo-large", 0, table) for _, table in explained_tables(small)[:5]}
    assert list(read) == ["lime", "lime.again", "lime.random-head", "occlusion", "occlusion.random-head"]
    lime, again, lime_of_twin, occlusion, occlusion_of_twin = (table["weight"] for table in read.values())
    assert not lime.equals(again)
    assert lime.corr(again) > lime.corr(lime_of_twin)
    assert not occlusion.equals(occlusion_of_twin)
    large, twin = (small.predictions("demo-nli", "demo-large", 0, part) for part in ("test", "random-head"))
    labels = list(small.experiment.task("demo-nli").labels)
    assert large[["id", "label"]].equals(twin[["id", "label"]])
    assert not (large[labels] == twin[labels]).any(axis=None)
    # The twin that is explained is the one that predicted, though one is of the saved model and one of the trained.
    loaded = random_head(load_classifier(small.trained("demo-nli", "demo-large", 0), device="cpu"), seed=0)
    test = load_examples(small.experiment.task("demo-nli"), "test").head(20)
    found = loaded.predict_proba(test["text_a"], test["text_b"])
    np.testing.assert_allclose(found, twin[labels].head(20), rtol=0, atol=1e-6)


def test_the_same_run_elsewhere_gives_the_same_bytes(small, tmp_path):
    again = run(tmp_path)
    assert hashes(again) == hashes(small)


def explained(run: Results, model: str, **parameters) -> str:
    """Execute the attribution notebook for a model; return what it printed."""
    output = run.folder / "logs" / "out.ipynb"
    parameters |= {"experiment": run.folder / "experiment.yaml", "results": run.folder.parent, "model": model}
    notebooks.execute(root() / "notebooks" / "02_attribution.py", output, {k: str(v) for k, v in parameters.items()})
    outputs = [output for cell in json.loads(output.read_text())["cells"] for output in cell.get("outputs", [])]
    return "".join(line for output in outputs if output.get("name") == "stdout" for line in output["text"])


def test_shards_of_two_runs_are_joined_to_the_bytes_of_one(small, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", str(root())
    )  # for the kernels: an installed package may be that of another checkout
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as the workflow has it: two threads change the last digits
    copy = Results(tmp_path / "small", small.experiment)
    shutil.copytree(small.folder, copy.folder)
    shutil.rmtree(copy.folder / "attribution")
    before = times(copy)
    run(tmp_path, "--shard", "1/2")
    new = times(copy)
    expected = {
        f"attribution/demo-nli/{model}/0/{table}.shard-1-of-2.parquet" for model, table in explained_tables(copy)
    }
    assert set(new) - set(before) == expected
    assert new | before == new  # nothing else was made
    run(tmp_path, "--shard", "1/2")
    assert times(copy) == new
    explained(copy, "demo-large", shard="2/2")
    printed = explained(copy, "demo-large")
    tables = [table for model, table in explained_tables(copy) if model == "demo-large"]
    assert all(f"{table}: joined from 2 shards" in printed for table in tables)
    for table in [*tables, "faithfulness"]:
        whole, joined = (one.path("attribution", "demo-nli", "demo-large", 0, table) for one in (small, copy))
        assert joined.read_bytes() == whole.read_bytes()


def test_a_second_run_does_nothing_and_a_changed_limit_remakes_only_what_depends_on_it(small):
    before = times(small)
    run(small.folder.parent)
    assert times(small) == before
    run(small.folder.parent, "--limit", "3")
    after = times(small)
    remade = {name.split("/")[0] for name in before if after[name] != before[name]}
    assert remade == {"attribution", "comparison"}
    assert small.attribution("demo-nli", "demo-large", 0, "lime")["id"].nunique() == 3


def test_a_lost_table_is_made_again_alone(small):
    lost = small.path("attribution", "demo-nli", "demo-large", 0, "occlusion")
    content, before = lost.read_bytes(), times(small)
    lost.unlink()
    run(small.folder.parent, "--limit", "3")
    assert lost.read_bytes() == content
    unchanged = small.path("attribution", "demo-nli", "demo-distilled", 0, "occlusion").relative_to(small.folder)
    assert times(small)[str(unchanged)] == before[str(unchanged)]


def test_a_further_method_leaves_the_tables_of_the_others_as_they_are(small, tmp_path):
    copy = Results(tmp_path / "small", small.experiment)
    shutil.copytree(small.folder, copy.folder)
    before = attribution_manifests(copy)
    more = run(tmp_path, "--limit", "3", methods=SMALL["methods"] | {"gradient-x-input": {}})
    after = attribution_manifests(more)
    assert {name: manifest for name, manifest in after.items() if name in before} == before
    assert {table for _, table in after} - {table for _, table in before} == {
        "gradient-x-input",
        "gradient-x-input.random-head",
    }
    assert verify(more.folder)[1] == []
    before = times(more)
    run(tmp_path, "--limit", "3", methods=SMALL["methods"] | {"gradient-x-input": {}})
    assert times(more) == before


def test_a_killed_run_leaves_nothing_half_written_and_goes_on(small, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    process = subprocess.Popen(trusteq(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    first = tmp_path / "small" / "predictions" / "demo-nli" / "demo-large" / "0.parquet"
    while not first.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(pd.read_parquet(first)) == 1000
    assert not list((tmp_path / "small" / "comparison").glob("**/*.parquet"))  # it was killed halfway
    again = run(tmp_path)
    assert verify(again.folder)[1] == []
    # The first run of this module was cut to three examples since: compare what both have in full.
    same = {name: digest for name, digest in hashes(again).items() if name.startswith(("predictions", "models"))}
    assert same == {name: hashes(small)[name] for name in same}


def test_two_runs_of_one_experiment_at_a_time_are_refused(small):
    with (small.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(trusteq(small.folder.parent), capture_output=True, text=True)
    assert done.returncode == 2
    assert "running already" in done.stderr


def test_a_mirror_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    done = subprocess.run(trusteq(tmp_path, "--hub", str(tmp_path / "nowhere")), capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nowhere" in done.stderr
    assert not (tmp_path / "small").exists()


# What reads models and data sets, made impossible to import.
WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "datasets", "lime", "shap", "captum"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Without())
"""


def word_runs(run):
    """Return the first texts of the explained examples as the lesson shows them: words alone."""
    words = run.attribution("demo-nli", run.experiment.large, 0, "lime")
    first = words[(words["label"] == words["label"].iloc[0]) & (words["segment"] == 0)]
    return first.groupby("id")["word"].agg(" ".join).tolist()


def test_pages_of_published_results_are_made_from_them_alone(small, tmp_path):
    folder = publish.publish(small, tmp_path)
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'without'}{os.pathsep}{root()}"}
    command = [sys.executable, "-m", "trusteq", "pages", str(folder), "--results", str(tmp_path / "pages")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    copy = Results.open(tmp_path / "pages" / "small")
    assert {page.split("/")[-1] for page in _pages(copy)} == {
        *("results", "is_half_low", "03_calibration-demo-nli-0", "04_comparison-demo-nli"),
        *("simulation", "lesson_calibration", "lesson_attribution", "status"),
    }
    lesson = (copy.folder / "notebooks" / "lesson_attribution.ipynb").read_text()
    assert any(text in lesson for text in word_runs(copy)), "the words of a generated example"
    chapter = _reference_pages(copy)
    assert {page.rpartition("-")[0] or page for page in chapter} == {
        *("small/results", "small/is_half_low", "small/03_calibration-demo-nli", "small/04_comparison-demo")
    }
    assert chapter["small/results"][1] == copy.experiment.title
    tables = [
        file.relative_to(folder)
        for stage in ("calibration", "comparison")
        for file in (folder / stage).rglob("*.parquet")
    ]
    before, after = ({str(file): pd.read_parquet(home / file) for file in tables} for home in (folder, copy.folder))
    found = compare_tables(before, after)
    assert len(found) == 15 and found["within"].all(), found.to_string()


def test_a_published_run_is_reproduced_cell_by_cell(small, tmp_path):
    folder = publish.publish(Results.open(small.folder), tmp_path)  # other tests run it with a limit
    command = [sys.executable, "-m", "trusteq", "reproduce", str(folder), "--results", str(tmp_path / "again")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("tolerance 1e-06; outside of it: nothing\n")


def test_a_limited_experiment_keeps_everything_else():
    demo = Experiment.load("demo")
    limited = demo.limited(explain=3, train_limit=100)
    assert (limited.explain, limited.train_limit) == (3, 100)
    assert limited.model_copy(update={"explain": demo.explain, "train_limit": None}) == demo
    assert demo.limited() == demo


def test_results_of_no_run_are_refused(tmp_path):
    with pytest.raises(ArtefactError, match="expected the results of one run"):
        Results.open(tmp_path)
    with pytest.raises(ExperimentError, match="no experiment file"):
        Results.of("nothing")


def test_the_plan_says_how_many_passes_a_run_takes_at_most():
    demo = Experiment.load("demo")
    nli, pi = plan(demo, {"demo-nli": 30, "demo-pi": 1})
    # Six models by both methods, by LIME twice; and the twin of the large one by both.
    assert 6 * (1000 + 1000 + 500) + 1000 + 500 == 16_500
    assert nli == (
        "demo-nli: 30 examples x 16,500 passes (lime 13 x 1,000, shap 7 x 500: 6 fine-tuned models, "
        "under two explainer seeds where a method draws, and 1 random head) = 495,000 passes at most"
    )
    assert "1 example x 16,500 passes" in pi and "= 16,500 passes" in pi
    (line,) = plan(demo, {"demo-nli": 30}, Shard(2, 3))
    assert line == f"{nli}; of these, shard 2/3"
    small = validated(Experiment, SMALL | {"methods": {"shap": {"n_samples": 7}}}, where="here")
    (line,) = plan(small, {"demo-nli": 4})
    assert line == (
        "demo-nli: 4 examples x 21 passes (shap 3 x 7: 2 fine-tuned models, and 1 random head) = 84 passes at most"
    )


def test_examples_to_explain_are_counted_without_a_limit_and_with_one():
    demo = Experiment.load("demo")
    assert check_inputs(demo, None) == {"demo-nli": 30, "demo-pi": 30}
    everything = demo.model_copy(update={"explain": None})
    assert check_inputs(everything, None) == {"demo-nli": 1000, "demo-pi": 1000}


def test_every_training_seed_has_its_pages(tmp_path):
    models = {"demo-large": {"seeds": [0, 1]}, "demo-tiny": {}}
    run = Results(tmp_path / "small", validated(Experiment, SMALL | {"models": models}, where="here"))
    names = ["03_calibration/demo-nli/0", "04_comparison/demo-nli"]
    runs = [("demo-large", 0), ("demo-large", 1), ("demo-tiny", 0)]
    names += [f"{stage}/demo-nli/{m}/{seed}" for stage in ("01_finetune", "02_attribution") for m, seed in runs]
    for name in names:
        write_text("", run.folder / "notebooks" / f"{name}.ipynb")
    pages = _pages(run)
    assert set(pages) == {name.replace("/", "-") for name in names}
    titles = [pages[f"02_attribution-demo-nli-{model}-{seed}"][1].split(", seed")[1:] for model, seed in runs]
    assert titles == [[" 0"], [" 1"], []]  # a seed is named where there are several
    (run.folder / "notebooks" / "02_attribution" / "demo-nli" / "demo-large" / "1.ipynb").unlink()
    with pytest.raises(ArtefactError, match=r"demo-large/1\.ipynb: not there; run the experiment to its end"):
        _pages(run)


def test_stages_of_the_table_of_contents_become_pages():
    pages = {"01_finetune-a-b-0": None, "01_finetune-a-c-0": None, "02_attribution-a-b-0": None, "results": None}
    toc = yaml.safe_dump(table_of_contents(pages))
    assert "runs/01_finetune-a-b-0" in toc and "runs/01_finetune-a-c-0" in toc and "runs/02_attribution-a-b-0" in toc
    assert "runs/03_calibration" not in toc
    assert "runs/results" in toc and "runs/first" not in toc  # the latter is a page that this run has not
    assert (root() / "_toc.yml").read_text().count("runs/01_finetune") == 2  # in a comment and as the place-holder
    assert "Reference runs" not in toc


def test_published_results_stand_under_their_first_page(monkeypatch):
    experiment = Experiment.load("snli-minilm")
    monkeypatch.setattr(publish, "open_published", lambda name: Results(Path(name), experiment))
    pages = dict.fromkeys(["x/03_calibration-snli-0", "x/04_comparison-snli", "x/is_half_low", "x/results", "results"])
    (part,) = (part for part in table_of_contents(pages)["parts"] if part["caption"] == "Reference runs")
    others = ["04_comparison-snli", "03_calibration-snli-0", "is_half_low"]
    sections = [{"file": f"runs/x/{page}"} for page in others]
    assert part["chapters"] == [{"file": "runs/x/results", "sections": sections}]

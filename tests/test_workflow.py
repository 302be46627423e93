"""The workflow on a small experiment: complete, repeatable, sparing, and whole after a kill."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tampering
import yaml
from checkouts import SMALL, Checkout

from trusteq.errors import ArtefactError, ExperimentError
from trusteq.examples.load import load_examples
from trusteq.models.build import random_head
from trusteq.models.classifier import load_classifier
from trusteq.project import root
from trusteq.registry import validated
from trusteq.store import manifest_path, sha256, verify
from trusteq.study import graph, publish
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.reproduce import compare_tables
from trusteq.study.results import Results
from trusteq.study.shards import Shard
from trusteq.study.workflow import check_inputs, plan, steps


def explained_tables(run: Results) -> list[tuple[str, str]]:
    """Every table of attributions, as (model, name)."""
    runs = [jobs(run.experiment, task="demo-nli", model=model, seed=seed) for model, seed in run.experiment.runs]
    return [(job.model, job.table) for of_one in runs for job in of_one]


def times(run: Results) -> dict[str, str]:
    """When each table was made, by its manifest."""
    files = [file for file in run.folder.rglob("*.parquet") if not file.name.startswith(".")]
    written = {file: json.loads(manifest_path(file).read_text())["written"] for file in files}
    return {str(file.relative_to(run.folder)): f"{when} {sha256(file)}" for file, when in written.items()}


def hashes(run: Results) -> dict[str, str]:
    """What the seed decides: every table, metrics and weights; manifests and timings hold the machine's part."""
    patterns = ("*.parquet", "metrics.json", "history.csv", "*.safetensors")
    files = [file for pattern in patterns for file in run.folder.rglob(pattern)]
    return {str(file.relative_to(run.folder)): sha256(file) for file in files}


@pytest.fixture
def elsewhere(checkout, tmp_path) -> Checkout:
    """The same checkout, with results of its own: a copy of those of the small experiment."""
    found = Checkout(checkout.folder)
    found.results = tmp_path / "results"
    shutil.copytree(checkout.results, found.results)
    return found


def of(checkout: Checkout) -> Results:
    return Results.open(checkout.results / "small")


def stale(checkout: Checkout, **changes) -> dict[str, list[str]]:
    """What a run with other settings would make: by job, the artefacts."""
    experiment = validated(Experiment, SMALL | changes, where="here")
    found = steps(Results(checkout.results / "small", experiment))
    return {step.name: step.stale for step in found if step.stale and not step.name.startswith("pages")}


def test_no_name_reached_a_shell(checkout, small):
    assert "$(touch PWNED)" in str(small.folder)
    assert not list(checkout.folder.parent.rglob("PWNED"))
    assert not list(root().glob("PWNED"))


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
    tables = [path for job in graph.all_jobs(experiment) for path in job.tables]
    kept = list((small.folder / "tokens").rglob("*.arrow"))
    assert (count, problems) == (len(tables) + len(kept), [])
    assert {str(path) for path in tables if path.name != graph.MODEL} == set(times(small))
    assert not [file for file in small.folder.rglob(".*ipynb*")]
    assert not (small.folder / "checkpoints" / "demo-nli" / "demo-large" / "0").exists()


def test_every_artefact_is_under_its_key(small):
    for job in graph.all_jobs(small.experiment):
        assert job.is_made(small.folder), job.name
    assert not any(step.stale for step in steps(small))


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


def test_a_second_run_does_nothing(elsewhere):
    before = times(of(elsewhere))
    elsewhere.run()
    assert times(of(elsewhere)) == before


@pytest.mark.slow
def test_a_run_of_fewer_explained_examples_makes_anew_only_what_depends_on_these(elsewhere):
    before = times(of(elsewhere))
    elsewhere.run("--limit", "3")
    after = times(of(elsewhere))
    remade = {name.split("/")[0] for name in before if after[name] != before[name]}
    assert remade == {"attribution", "comparison"}
    assert of(elsewhere).attribution("demo-nli", "demo-large", 0, "lime")["id"].nunique() == 3


class TestWhatAChangeMakesAnew:
    """Which artefacts a run would make again, by dry runs: the keys alone decide."""

    def test_nothing_changed(self, checkout):
        assert stale(checkout) == {}

    def test_a_recipe_makes_its_model_anew_and_what_is_made_from_it(self, checkout):
        models = {"demo-large": {}, "demo-distilled": {"recipe": {"epochs": 2}}}
        trained = [name for name in stale(checkout, models=models) if name.startswith(("train", "explain"))]
        assert trained == ["train-demo-nli-demo-distilled-0", "explain-demo-nli-demo-distilled-0"]
        teacher = {"demo-large": {"recipe": {"epochs": 2}}, "demo-distilled": {}}
        assert len([name for name in stale(checkout, models=teacher) if name.startswith("train")]) == 2

    def test_a_further_method_costs_its_own_tables(self, checkout):
        found = stale(checkout, methods=SMALL["methods"] | {"gradient-x-input": {}})
        assert not [name for name in found if name.startswith(("train", "calibrate"))]
        home = "attribution/demo-nli/demo-distilled/0"
        assert found["explain-demo-nli-demo-distilled-0"] == [
            f"{home}/gradient-x-input.parquet",
            f"{home}/faithfulness.parquet",
        ]

    def test_how_many_are_explained_costs_no_training(self, checkout):
        found = stale(checkout, explain=3)
        assert {file.split("/")[0] for files in found.values() for file in files} == {"attribution", "comparison"}

    def test_k_makes_no_explanation_anew(self, checkout):
        found = stale(checkout, k=5)
        assert {name.split("-")[0] for name in found} == {"explain", "compare"}
        assert {file.split("/")[-1] for file in found["explain-demo-nli-demo-large-0"]} == {"faithfulness.parquet"}

    @pytest.mark.parametrize(
        ("stage", "expected"),
        [
            ("train", {"train", "explain", "calibrate", "compare"}),
            ("predict", {"train", "calibrate", "compare"}),
            ("explain", {"explain", "compare"}),
            ("calibrate", {"calibrate", "compare"}),
            ("compare", {"compare"}),
        ],
    )
    def test_a_version_makes_its_stage_anew_and_what_follows(self, checkout, monkeypatch, stage, expected):
        monkeypatch.setitem(graph.VERSIONS, stage, 99)
        found = stale(checkout)
        assert {name.split("-")[0] for name in found} == expected
        if stage == "predict":
            assert not any(file.startswith("models/") for file in found["train-demo-nli-demo-large-0"])

    def test_a_file_of_the_users_own(self, tmp_path):
        """What is in it counts, and how that is read; where it lies does not."""
        rows = "text_a,text_b,label\na b,c,0\nb c,d,1\n"

        def keys(name, text):
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            splits = {"train": [{"file": str(file)}], "test": [{"file": str(file)}]}
            values = SMALL | {"tasks": {"mrpc": {"splits": splits}}, "models": ["demo-tiny"]}
            return {job.name: job.key for job in graph.all_jobs(validated(Experiment, values, where="here"))}

        before = keys("pairs.csv", rows)
        assert keys("moved/rows.csv", rows) == before
        for name, text in (("pairs.csv", rows.replace("1", "0")), ("pairs.tsv", rows)):
            assert not set(keys(name, text).values()) & set(before.values())


def test_prose_makes_its_page_anew_and_nothing_else(checkout, small, tmp_path):
    """A word in a notebook, a docstring in the package: no training, no explanation."""
    notebook = checkout.folder / "notebooks" / "01_finetune.py"
    text = notebook.read_text(encoding="utf-8")
    code = "from trusteq.study.results import Results; from trusteq.study.workflow import steps; import sys\n"
    code += "print([page for step in steps(Results.open(sys.argv[1])) for page in step.stale])"
    try:
        notebook.write_text(
            text.replace("# # Fine-tuning", "# # Fine-tuning\n#\n# One more word.", 1), encoding="utf-8"
        )
        done = checkout.call([sys.executable, "-c", code, str(small.folder)])
    finally:
        notebook.write_text(text, encoding="utf-8")
    assert done.stdout.strip() == "['01_finetune/demo-nli']", done.stderr
    for module in ("models/footprint.py", "statistics.py", "study/graph.py", "pages/show.py"):
        source = checkout.folder / "trusteq" / module
        text = source.read_text(encoding="utf-8")
        source.write_text(text.replace('"""', '"""Another word. ', 1), encoding="utf-8")
    done = checkout.call([sys.executable, "-c", code, str(small.folder)])
    assert done.stdout.strip() == "[]", done.stderr


def test_a_lost_or_foreign_table_is_made_again_alone(elsewhere):
    run = of(elsewhere)
    lost = run.path("attribution", "demo-nli", "demo-large", 0, "occlusion")
    foreign = manifest_path(run.path("predictions", "demo-nli", "demo-distilled", 0))
    replaced = run.path("attribution", "demo-nli", "demo-large", 0, "lime")
    flipped = run.path("comparison", "demo-nli", "alignment")
    content, before = {file: file.read_bytes() for file in (lost, replaced, flipped)}, times(run)
    lost.unlink()
    for file, change in ((replaced, "replace"), (flipped, "flip")):
        tampering.apply(file, change, run.folder)
    foreign.write_text(foreign.read_text().replace('"key": "', '"key": "x'))
    shutil.rmtree(run.folder / ".snakemake")  # the workflow's own records are no condition
    done = elsewhere.call(elsewhere.command())
    assert done.returncode == 0, done.stderr[-3000:]
    for file in (manifest_path(replaced), flipped):
        assert [line for line in done.stdout.splitlines() if line.startswith(f"{file}: differs from")]
    assert {file: file.read_bytes() for file in content} == content
    unchanged = run.path("attribution", "demo-nli", "demo-distilled", 0, "occlusion").relative_to(run.folder)
    assert times(run)[str(unchanged)] == before[str(unchanged)]
    assert verify(run.folder)[1] == []
    assert not any(step.stale for step in steps(run))


@pytest.mark.slow
def test_shards_are_joined_to_the_bytes_of_one_run(small, elsewhere):
    copy = of(elsewhere)
    shutil.rmtree(copy.folder / "attribution")
    elsewhere.run("--shard", "1/2")
    expected = {
        f"attribution/demo-nli/{model}/0/{table}.shard-1-of-2.parquet" for model, table in explained_tables(copy)
    }
    assert {name for name in times(copy) if name.startswith("attribution")} == expected
    elsewhere.run("--shard", "2/2")
    code = "from trusteq.study.results import Results; from trusteq.study.stages import make; import sys\n"
    code += "make(Results.open(sys.argv[1]), 'explain', 'demo-nli', model='demo-large')"
    done = elsewhere.call([sys.executable, "-c", code, str(copy.folder)])
    tables = [table for model, table in explained_tables(copy) if model == "demo-large"]
    assert all(f"{table}: joined from 2 shards" in done.stdout for table in tables), done.stderr[-2000:]
    for table in [*tables, "faithfulness"]:
        whole, joined = (one.path("attribution", "demo-nli", "demo-large", 0, table) for one in (small, copy))
        assert joined.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_half_written_and_goes_on_to_the_same_bytes(small, elsewhere):
    shutil.rmtree(elsewhere.results)
    environment = os.environ | {"PYTHONPATH": str(elsewhere.folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(elsewhere.command(), cwd=elsewhere.folder, env=environment, **quiet)
    deadline = time.monotonic() + 300
    first = elsewhere.results / "small" / "predictions" / "demo-nli" / "demo-large" / "0.parquet"
    while not first.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(pd.read_parquet(first)) == 1000
    assert not list((elsewhere.results / "small" / "comparison").glob("**/*.parquet"))  # it was killed halfway
    again = elsewhere.run()
    assert verify(again.folder)[1] == []
    assert hashes(again) == hashes(small)


def test_two_runs_of_one_experiment_at_a_time_are_refused(checkout, small):
    with (small.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = checkout.call(checkout.command())
    assert done.returncode == 2
    assert "running already" in done.stderr


def test_a_mirror_that_is_not_there_is_refused_before_anything_is_written(trusteq, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    done = trusteq("run", "small.yaml", "--results", tmp_path, "--hub", tmp_path / "nowhere")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nowhere" in done.stderr
    assert not (tmp_path / "small").exists()


def test_a_dry_run_says_what_would_run_and_writes_nothing(trusteq, tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    done = trusteq("run", "small.yaml", "--results", tmp_path / "results", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "train-demo-nli-demo-large-0: models/demo-nli/demo-large/0/manifest.json, predictions" in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_published_run_is_reproduced_cell_by_cell(small, elsewhere, tmp_path):
    folder = publish.publish(small, tmp_path / "published")
    again = tmp_path / "again"
    shutil.copytree(elsewhere.results, again)  # what it would make is there, under its keys
    command = [sys.executable, "-m", "trusteq", "reproduce", str(folder), "--results", str(again)]
    done = elsewhere.call(command)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("tolerance 1e-06; outside of it: nothing\n")
    table = folder / "calibration" / "demo-nli" / "0" / "scores.parquet"
    changed = {"one": pd.read_parquet(table)}
    assert not compare_tables(changed, {"one": changed["one"].assign(ece=0.5)})["within"].all()


def test_limits_change_the_experiment_and_nothing_else():
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

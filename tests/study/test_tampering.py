"""Whatever happens to whichever artefact: `verify` finds it, the next run makes it again, pages refuse it."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
from figures import enter
from tampering import CHANGES, changed

from trusteq.errors import ArtefactError
from trusteq.listing import LIST, MODEL, Listing, find, manifest_of
from trusteq.project import root
from trusteq.store import record, verify, write_table, write_text
from trusteq.study import graph, publish, workflow
from trusteq.study.publish import load_published, open_published
from trusteq.study.results import Results

MODEL_FOLDER, TABLES = "models/demo-nli/demo-large/0", "demo-nli/demo-distilled/0"
# One of each kind.
OF_BOTH = [
    "experiment.yaml",
    *(f"{MODEL_FOLDER}/{name}" for name in ("manifest.json", "metrics.json", "timing.json", "history.csv")),
    "predictions/demo-nli/demo-distilled/0.parquet",
    "predictions/demo-nli/demo-large/0-random-head.manifest.json",
    f"attribution/{TABLES}/lime.parquet",
    f"attribution/{TABLES}/faithfulness.manifest.json",
    "calibration/demo-nli/0/scores.parquet",
    "calibration/demo-nli/0/scores.manifest.json",
    "comparison/demo-nli/alignment.parquet",
    "comparison/demo-nli/alignment.manifest.json",
]
OF_RUN = [LIST, *(f"{MODEL_FOLDER}/{name}" for name in ("model.safetensors", "config.json", "tokenizer.json"))]
OF_RUN += ["notebooks/04_comparison/demo-nli.ipynb", "notebooks/status.ipynb"]
OF_PUBLISHED = [MODEL, "truth/demo-nli.parquet", "truth/demo-nli.manifest.json"]


@pytest.fixture(scope="module")
def home(small, tmp_path_factory):
    """A copy of the small experiment's run, whose pages are looked up once."""
    folder = tmp_path_factory.mktemp("results") / "small"
    shutil.copytree(small.folder, folder, ignore=shutil.ignore_patterns(".*"))
    pages = workflow.showing.pages(Results.open(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow.showing, "pages", lambda run: pages)
        yield folder


@pytest.fixture(scope="module")
def published(small, tmp_path_factory):
    return publish.publish(small, tmp_path_factory.mktemp("published"))


def refuses(published: Path) -> bool:
    try:
        open_published(published)
    except ArtefactError as error:
        return "\n" not in str(error)
    return False


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", OF_BOTH + OF_RUN)
def test_a_run_makes_again_what_is_not_as_it_was_written(home, small, name, change):
    file = home / name
    with changed(file, change, home):
        assert file in {problem.path for problem in verify(home)[1]} or name == LIST
        assert verify(home)[1]
        steps, damage = workflow.dry_run(small.experiment, results=home.parent)
        named = file.with_name(MODEL) if name.startswith(MODEL_FOLDER) else file
        made = {str(home / stale) for step in steps for stale in step.stale}
        if name.startswith("notebooks"):
            assert [step for step in steps if step.name.startswith("pages")]
        elif name not in (LIST, "experiment.yaml"):  # which a run writes without a job
            assert str(named).replace(".manifest.json", ".parquet") in made
        assert any(str(home) in line for line in damage)
    assert verify(home)[1] == []


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", OF_BOTH + OF_PUBLISHED)
def test_published_results_are_refused_when_not_as_they_were_written(published, name, change):
    with changed(published / name, change, published):
        assert published / name in {problem.path for problem in verify(published)[1]} or name == MODEL
        assert verify(published)[1]
        assert refuses(published)
    assert verify(published)[1] == [] and not refuses(published)


def test_nothing_is_wrong_with_what_was_written(home, small):
    assert (verify(home)[1], workflow.dry_run(small.experiment, results=home.parent)) == ([], ([], []))


@pytest.mark.parametrize("name", ["x.parquet", "notes.txt", "attribution/demo-nli/other/0/lime.parquet"])
def test_foreign_files_are_named(home, small, published, name):
    for folder in (home, published):
        file = folder / name
        write_text("", file)
        try:
            assert (file, f"foreign: not in {Listing.at(folder).file.name}") in verify(folder)[1]
            if folder == home:
                _, said = workflow.dry_run(small.experiment, results=home.parent)
                assert said == [f"{file}: foreign: not in artefacts.json; remove it"]
            else:
                assert refuses(published)
        finally:
            file.unlink()


def test_a_foreign_file_in_a_models_folder_is_loaded_by_nobody(home):
    """A loader would take `adapter_config.json`, or another tokenizer's file, for the model's own."""
    run, file = Results.open(home), home / MODEL_FOLDER / "adapter_config.json"
    write_text("{}", file)
    try:
        with pytest.raises(ArtefactError, match=r"adapter_config\.json: foreign"):
            run.trained("demo-nli", "demo-large", 0)
    finally:
        file.unlink()
    assert run.trained("demo-nli", "demo-large", 0) == home / MODEL_FOLDER


READ = {
    "predictions/demo-nli/demo-large/0.parquet": lambda run: run.predictions("demo-nli", "demo-large", 0),
    f"{MODEL_FOLDER}/metrics.json": lambda run: run.facts("demo-nli", "demo-large", 0, "metrics"),
    f"{MODEL_FOLDER}/history.csv": lambda run: run.history("demo-nli", "demo-large", 0),
    f"attribution/{TABLES}/lime.manifest.json": lambda run: run.parameters(
        "attribution", "demo-nli", "demo-distilled", 0, "lime"
    ),
    "experiment.yaml": lambda run: Results.open(run.folder),
}


@pytest.mark.parametrize("name", READ)
def test_every_reader_verifies_what_it_reads(home, published, name):
    for folder in (home, published):
        run = Results.open(folder)
        READ[name](run)
        with changed(folder / name, "replace", folder), pytest.raises(ArtefactError, match=r"(differs from|swapped)"):
            READ[name](run)


def test_what_is_published_is_not_loaded_when_a_table_is_gone(published):
    lost = published / "comparison/demo-nli/alignment.parquet"
    with changed(lost, "delete", published), pytest.raises(ArtefactError, match="but not there"):
        load_published(published)


def test_pages_end_in_one_line(published, trusteq, tmp_path):
    with changed(published / f"{MODEL_FOLDER}/metrics.json", "flip", published):
        done = trusteq("pages", published, "--results", tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "metrics.json: differs from manifest.json" in done.stderr


def test_verify_says_it_in_json(published, trusteq):
    assert json.loads(trusteq("verify", published, "--json").stdout) == []
    names = [f"{MODEL_FOLDER}/metrics.json", "truth/demo-nli.parquet"]
    with changed(published / names[0], "flip", published), changed(published / names[1], "cut", published):
        done = trusteq("verify", published, "--json")
        lines = trusteq("verify", published)
    problem = "differs from manifest.json"
    assert json.loads(done.stdout) == [{"path": str(published / name), "problem": problem} for name in names]
    assert (done.returncode, done.stderr) == (2, "")
    assert (lines.returncode, len(lines.stderr.splitlines())) == (2, 2)


class TestWhatNoListNames:
    """Of a killed run, of a shard that was copied here, of results older than lists: entered by its key."""

    @pytest.fixture
    def copy(self, home, tmp_path, monkeypatch):
        monkeypatch.setattr(workflow.showing, "pages", lambda run: [])
        return shutil.copytree(home, tmp_path / "small")

    def test_is_entered_and_said(self, copy, small):
        write_text(Listing.at(copy).file.read_text().replace("0", "1", 1), copy / LIST)
        _, said = workflow.dry_run(small.experiment, results=copy.parent)
        assert said[0].startswith(f"{copy / LIST}: damaged") and "begun anew" in said[0]
        jobs = graph.all_jobs(small.experiment)
        assert graph.adopt(small.experiment, copy) == sum(len(job.tables) for job in jobs)
        assert {problem.path for problem in verify(copy)[1]} == {
            copy / "experiment.yaml",
            *(copy / "notebooks").rglob("*.ipynb"),
        }
        assert all(job.is_made(copy) for job in jobs)

    def test_a_shard_is_entered_and_a_table_of_no_job_is_not(self, copy, small):
        table = copy / f"attribution/{TABLES}/lime.parquet"
        key = json.loads(manifest_of(table).read_text())["key"]
        for name, of in (("lime.shard-1-of-2", key), ("lime.shard-2-of-2", "another"), ("shap", key)):
            write_table(small.attribution("demo-nli", "demo-distilled", 0, "lime"), table.with_stem(name), key=of)
        assert graph.adoptable(small.experiment, copy) == [table.with_stem("lime.shard-1-of-2")]

    def test_what_is_gone_and_of_no_job_is_forgotten(self, copy, small):
        extra = copy / f"attribution/{TABLES}/lime.shard-1-of-2.parquet"
        write_table(small.attribution("demo-nli", "demo-distilled", 0, "lime"), extra)
        record(extra)
        gone = [extra, manifest_of(extra), copy / f"attribution/{TABLES}/lime.parquet"]
        for file in gone:
            file.unlink()
        assert {problem.path for problem in verify(copy)[1]} == set(gone)
        workflow._forget_what_is_gone(Results(copy, small.experiment))
        assert [problem.path for problem in verify(copy)[1]] == gone[2:]


THIRD = 3  # every third file is changed
WHAT = f"a file changed ({', '.join(CHANGES)}) of"
COMMAND = "python -m pytest -m slow tests/study/test_tampering.py"


@pytest.mark.slow
def test_every_third_file_of_a_run(home, small):
    tried = missed = 0
    files = [file for file in find(home, "*.*") if file.is_file()]
    results = [file for file in files if file.relative_to(home).parts[0] not in ("logs", "tokens")]
    for file, change in itertools.product(results[::THIRD], CHANGES):
        with changed(file, change, home):
            planned = workflow.dry_run(small.experiment, results=home.parent) != ([], [])
            tried, missed = tried + 1, missed + (not verify(home)[1] or not planned)
    enter(f"{WHAT} a run: missed by verify or by the next run", COMMAND, tried=tried, failed=missed)
    assert missed == 0


@pytest.mark.slow
def test_every_third_file_that_is_published(tmp_path):
    tried = missed = 0
    for name in publish.names():
        folder = shutil.copytree(root() / "data" / "published" / name, tmp_path / name)
        files = [file for file in find(folder, "*.*") if file.is_file()]
        for file, change in itertools.product(files[::THIRD], CHANGES):
            with changed(file, change, folder):
                tried, missed = tried + 1, missed + (not verify(folder)[1] or not refuses(folder))
    enter(f"{WHAT} published results: missed by verify or by the pages", COMMAND, tried=tried, failed=missed)
    assert missed == 0

"""Artefacts: written whole or not at all, described by a manifest, verified when read."""

import functools
import hashlib
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from refusals import one_line

from trusteq.errors import ArtefactError, ExperimentError
from trusteq.listing import LIST, Listing
from trusteq.project import root
from trusteq.store import (
    atomic_path,
    begin,
    describe,
    find,
    forget,
    manifest_path,
    read_table,
    record,
    to_json,
    verify,
    write_table,
    write_text,
)
from trusteq.study.results import PARTS, Results, part_name

TABLE = pd.DataFrame({"id": ["test-0", "test-1"], "label": [0, 1], "yes": [0.25, 1.0]})
EXPERIMENT = {
    "name": "small",
    "title": "Small",
    "tasks": ["demo-nli"],
    "models": ["demo-large"],
    "methods": {"lime": {"n_samples": 10}},
}


@pytest.fixture
def table(tmp_path):
    """A table written with its manifest."""
    path = tmp_path / "deep" / "0.parquet"
    write_table(TABLE, path, seed=3)
    return path


@pytest.fixture
def run(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    return Results.of(file, tmp_path / "results")


def named(name):
    """Return a manifest that names a file."""
    return json.dumps({"files": {name: {"sha256": "0" * 64}}})


def names(folder):
    return sorted(file.name for file in folder.iterdir())


refused = functools.partial(one_line, ArtefactError)


def test_an_atomic_write_makes_its_folder_and_leaves_the_file_alone(tmp_path):
    path = tmp_path / "a" / "b.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert not path.exists()
        assert temporary.name == path.name  # papermill chooses its format by the name
        assert temporary.parent.parent == path.parent  # the same file system, so that the rename is atomic
    assert path.read_text(encoding="utf-8") == "new"
    assert names(path.parent) == ["b.txt"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_a_write_that_fails_keeps_what_was_there(tmp_path, stop):
    path = tmp_path / "b.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(stop), atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise stop
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["b.txt"]


def test_a_folder_replaces_a_folder_whole(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with atomic_path(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["model"]


def test_a_block_that_writes_nothing_is_an_error_and_removes_nothing(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert names(tmp_path) == ["b.txt"]


def test_a_folder_survives_a_block_that_writes_nothing(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert names(tmp_path) == ["model"]
    assert names(path) == ["old"]


def test_json_depends_on_the_values_alone():
    assert to_json({"b": 1, "a": "é"}) == to_json({"a": "é", "b": 1}) == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_a_table_is_read_back_as_written(table):
    pd.testing.assert_frame_equal(read_table(table, made_by="me"), TABLE)
    assert names(table.parent) == ["0.manifest.json", "0.parquet"]


def test_attributes_travel_with_the_table(tmp_path):
    marked = TABLE.copy()
    marked.attrs = {"skipped": {"test-7": "no word"}, "boundary": "safe"}
    write_table(marked, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", made_by="me").attrs == marked.attrs


def test_the_manifest_describes_the_file(table):
    manifest = json.loads(manifest_path(table).read_text(encoding="utf-8"))
    content = table.read_bytes()
    assert manifest["files"] == {"0.parquet": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}
    assert manifest["parameters"] == {"seed": 3}
    assert manifest["versions"]["pandas"] == pd.__version__
    assert {"python", "torch", "transformers", "lime", "shap"} <= set(manifest["versions"])
    assert set(manifest["git"]) == {"commit", "changed"}
    assert manifest["written"].endswith("+00:00")


def test_a_missing_table_names_its_maker(tmp_path):
    refused(
        lambda: read_table(tmp_path / "a.parquet", made_by="notebook 7"),
        tmp_path / "a.parquet",
        "made by notebook 7",
    )


def test_a_changed_table_is_refused(table):
    pd.concat([TABLE, TABLE]).to_parquet(table)
    refused(lambda: read_table(table, made_by="notebook 7"), table, "differs from its manifest", "notebook 7")


def test_a_table_without_manifest_is_refused(table):
    manifest_path(table).unlink()
    refused(lambda: read_table(table, made_by="notebook 7"), manifest_path(table), "not there")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[]", b"\xff", b'{"files": {"0.parquet": {}}}', b'{"files": [1]}']
)
def test_a_damaged_manifest_is_refused(table, content):
    manifest_path(table).write_bytes(content)
    refused(lambda: read_table(table, made_by="me"), manifest_path(table), "not a manifest")


def test_verify_counts_manifests_and_lists_every_problem(tmp_path, table):
    for name in ("good", "gone", "odd"):
        write_table(TABLE, tmp_path / f"{name}.parquet")
    assert verify(tmp_path) == (4, [])
    (tmp_path / "gone.parquet").unlink()
    (tmp_path / "odd.parquet").write_bytes(b"x")
    table.unlink()
    assert verify(tmp_path) == (
        4,
        [
            (table, "named in 0.manifest.json but not there"),
            (tmp_path / "gone.parquet", "named in gone.manifest.json but not there"),
            (tmp_path / "odd.parquet", "differs from its manifest"),
        ],
    )


DEEP, LONG = "[" * 100_000, "x" * 5_000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (DEEP, "not a manifest"),
        (named(LONG), "cannot be read (File name too long)"),
        (named("a\x00b"), "not there"),
        (named("/etc/hostname"), "names /etc/hostname, which is not below"),
        (named("../0.parquet"), "names ../0.parquet, which is not below"),
        (named("a\x1b[2Jb"), "not there"),
        (named("folder"), "not there"),
    ],
)
def test_verify_goes_on_after_what_it_cannot_read(tmp_path, table, content, problem):
    """And says it in one line of letters that can be printed, not too many of them."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.manifest.json").write_text(content, encoding="utf-8")
    table.unlink()
    count, problems = verify(tmp_path)
    assert (count, len(problems)) == (2, 2)
    (line,) = (str(one) for one in problems if one.path != table)
    assert problem in line and line.isprintable() and len(line) < 600


def test_a_table_that_its_manifest_does_not_name_is_refused(table):
    manifest = json.loads(manifest_path(table).read_text(encoding="utf-8"))
    write_text(to_json(manifest | {"files": {}}), manifest_path(table))
    refused(lambda: read_table(table, made_by="me"), manifest_path(table), "does not name 0.parquet")


@pytest.fixture
def listed(tmp_path):
    """The folder of a run with a list, in which are a table and a file."""
    home = tmp_path / "run"
    begin(home)
    for name in ("one", "two"):
        write_table(TABLE.assign(name=name), home / "stage" / f"{name}.parquet", key=f"key of {name}")
    write_text("name: run", home / "experiment.yaml")
    record(*sorted(home.rglob("*.parquet")))
    record(home / "experiment.yaml")
    return home


class TestTheListOfARun:
    def test_has_every_file_with_its_hash_and_key(self, listed):
        files = Listing.at(listed).files
        assert set(files) == {
            "experiment.yaml",
            *(f"stage/{name}.{end}" for name in ("one", "two") for end in ("parquet", "manifest.json")),
        }
        for name, facts in files.items():
            content = (listed / name).read_bytes()
            assert (facts["sha256"], facts["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert [of.get("key") for _, of in sorted(files.items())] == [None, None, "key of one", None, "key of two"]
        assert verify(listed) == (2, [])

    def test_takes_the_hash_that_a_table_was_written_with(self, listed):
        """A table that is changed before it is entered is not blessed."""
        late = listed / "stage" / "late.parquet"
        write_table(TABLE, late)
        late.write_bytes(late.read_bytes()[:-1])
        record(late)
        assert verify(listed)[1] == [(late, "differs from artefacts.json")]

    def test_is_lost_to_no_other_process(self, listed):
        """Of several that write it at once; each takes the lock."""
        code = "import sys; from pathlib import Path; from trusteq.store import *; import pandas as pd\n"
        code += "for n in range(15):\n path = Path(sys.argv[1]) / f'{sys.argv[2]}-{n}.parquet'\n"
        code += " write_table(pd.DataFrame({'a': [n]}), path); record(path)"
        environment = os.environ | {"PYTHONPATH": str(root())}
        started = [subprocess.Popen([sys.executable, "-c", code, listed, who], env=environment) for who in "ab"]
        assert [process.wait() for process in started] == [0, 0]
        assert verify(listed) == (32, [])

    def test_forgets_what_it_is_told_to(self, listed):
        forget(["stage/one.parquet"], listed)
        assert verify(listed)[1] == [(listed / "stage" / "one.parquet", "foreign: not in artefacts.json")]

    def test_that_is_damaged_is_neither_written_nor_trusted(self, listed):
        """Not one byte of it, spaces included, can change unseen."""
        file = listed / LIST
        for content in (
            file.read_bytes() + b" ",
            b"{}",
            b"",
            DEEP.encode(),
            file.read_bytes().replace(b"key of", b"kex of"),
        ):
            file.write_bytes(content)
            record(listed / "experiment.yaml")
            assert file.read_bytes() == content
            (problem,) = verify(listed)[1]
            assert problem.path == file and "damaged" in problem.problem
            refused(lambda: read_table(listed / "stage" / "one.parquet", made_by="me"), file, "damaged")
        assert "damaged" in begin(listed) and begin(listed) == ""

    def test_that_is_lost_is_missed(self, listed):
        (listed / LIST).unlink()
        (problem,) = verify(listed)[1]
        assert problem.path == listed / LIST and "not there" in problem.problem

    def test_misses_a_table_and_its_manifest(self, listed):
        for file in (listed / "stage").glob("one.*"):
            file.unlink()
        assert [problem.path.name for problem in verify(listed)[1]] == ["one.manifest.json", "one.parquet"]

    def test_knows_two_tables_that_changed_places(self, listed):
        for end in ("parquet", "manifest.json"):
            one, two, third = (listed / "stage" / f"{name}.{end}" for name in ("one", "two", "third"))
            one.rename(third), two.rename(one), third.rename(two)
        swapped = f"{listed / 'stage' / 'one.parquet'}: swapped: it holds what artefacts.json has as stage/two.parquet"
        assert swapped in map(str, verify(listed)[1])
        refused(lambda: read_table(listed / "stage" / "one.parquet", made_by="me"), "swapped")

    def test_names_what_is_foreign_and_no_cache(self, listed):
        for name in ("stage/three.parquet", "logs/a.log", "tokens/a.arrow", "checkpoints/b", ".lock"):
            write_text("x", listed / name)
        write_table(TABLE, listed / "stage" / "four.parquet")
        names = {problem.path.name for problem in verify(listed)[1]}
        assert names == {"three.parquet", "four.parquet", "four.manifest.json"}
        refused(lambda: read_table(listed / "stage" / "four.parquet", made_by="me"), "not in artefacts.json")


def test_what_a_killed_process_left_behind_is_not_found(tmp_path):
    folder = tmp_path / ".hidden" / "run"  # what is above the folder does not matter
    write_table(TABLE, folder / "a" / "whole.parquet")
    left = folder / "a" / ".half.parquet.x" / "half.manifest.json"
    left.parent.mkdir()
    left.write_text("{", encoding="utf-8")
    assert find(folder, "*manifest.json") == [folder / "a" / "whole.manifest.json"]
    assert verify(folder) == (1, [])


def test_verify_refuses_a_folder_without_artefacts(tmp_path):
    refused(lambda: verify(tmp_path), tmp_path, "no manifest")
    refused(lambda: verify(tmp_path / "nowhere"), "no manifest")


def test_results_are_where_the_contract_says(run, tmp_path):
    folder = tmp_path / "results" / "small"
    assert run.folder == folder
    assert run.model("demo-nli", "demo-large", 0) == folder / "models/demo-nli/demo-large/0"
    assert run.path("predictions", "demo-nli", "demo-large", 0) == folder / "predictions/demo-nli/demo-large/0.parquet"
    attribution = run.path("attribution", "demo-nli", "demo-large", 0, "lime")
    assert attribution == folder / "attribution/demo-nli/demo-large/0/lime.parquet"
    assert not folder.exists()  # naming a place makes nothing


def test_every_table_of_a_run_is_read_back(run):
    places = {
        ("predictions", "demo-nli", "demo-large", 0): lambda: run.predictions("demo-nli", "demo-large", 0),
        ("predictions", "demo-nli", "demo-large", "0-dev"): lambda: run.predictions("demo-nli", "demo-large", 0, "dev"),
        ("predictions", "demo-nli", "demo-large", "0-random-head"): lambda: run.predictions(
            "demo-nli", "demo-large", 0, part="random-head"
        ),
        ("attribution", "demo-nli", "demo-large", 0, "lime"): lambda: run.attribution(
            "demo-nli", "demo-large", 0, "lime"
        ),
        ("attribution", "demo-nli", "demo-large", 0, "lime.again"): lambda: run.attribution(
            "demo-nli", "demo-large", 0, "lime.again"
        ),
        ("calibration", "demo-nli", 0, "scores"): lambda: run.calibration("demo-nli", 0, "scores"),
        ("comparison", "demo-nli", "alignment"): lambda: run.comparison("demo-nli", "alignment"),
    }
    for number, (place, read) in enumerate(places.items()):
        refused(read, run.path(*place), "not there", "notebooks/0", "task=demo-nli")
        run.write(TABLE.assign(number=number), *place, note="n")
        assert read()["number"].tolist() == [number, number]
        manifest = json.loads(manifest_path(run.path(*place)).read_text(encoding="utf-8"))
        assert manifest["parameters"] == {"experiment": "small", "note": "n"}


def test_tables_whose_names_have_a_part_in_common_have_manifests_of_their_own(run):
    for name in ("lime", "lime.again", "lime.shard-1-of-2", "lime.again.shard-1-of-2"):
        run.write(TABLE, "attribution", "demo-nli", "demo-large", 0, name)
    assert verify(run.folder) == (4, [])


def test_an_unknown_part_of_the_predictions_is_refused(run):
    refused(
        lambda: run.predictions("demo-nli", "demo-large", 0, "tset"),
        "no part 'tset'; did you mean 'test'? known: dev, random-head, test",
    )
    assert [part_name(7, part) for part in PARTS] == ["7", "7-dev", "7-random-head"]


def test_facts_of_a_model(run):
    refused(lambda: run.facts("demo-nli", "demo-large", 0, "metrics"), "metrics.json", "01_finetune")
    write_text(to_json({"accuracy": 0.5}), run.model("demo-nli", "demo-large", 0) / "metrics.json")
    assert run.facts("demo-nli", "demo-large", 0, "metrics") == {"accuracy": 0.5}


def test_a_trained_model_is_verified_before_it_is_used(run):
    folder = run.model("demo-nli", "demo-large", 0)
    refused(lambda: run.trained("demo-nli", "demo-large", 0), folder, "not there", "01_finetune")
    write_text("weights", folder / "model.safetensors")
    write_text(to_json(describe([folder / "model.safetensors"], {}, root=folder)), folder / "manifest.json")
    assert run.trained("demo-nli", "demo-large", 0) == folder
    write_text("other", folder / "model.safetensors")
    refused(lambda: run.trained("demo-nli", "demo-large", 0), "differs from its manifest")


def test_open_finds_the_one_run(run, tmp_path):
    write_text(run.experiment.dump(), run.folder / "experiment.yaml")
    assert Results.open(run.folder) == Results.open(run.folder.parent) == run
    write_text(run.experiment.dump(), tmp_path / "results" / "other" / "experiment.yaml")
    refused(lambda: Results.open(tmp_path / "results"), "runs found in it: other, small")
    refused(lambda: Results.open(tmp_path / "nowhere"), "runs found in it: none")


def test_open_refuses_a_damaged_experiment(run):
    write_text("name: x\n", run.folder / "experiment.yaml")
    with pytest.raises(ExperimentError, match=r"experiment\.yaml"):
        Results.open(run.folder)


def test_a_file_never_replaces_a_folder(tmp_path):
    """`trusteq execute NOTEBOOK results` put a notebook in the place of all results."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "kept").write_text("x")
    with pytest.raises(ArtefactError, match="results: a folder"):
        write_text("text", tmp_path / "results")
    assert (tmp_path / "results" / "kept").read_text() == "x"

"""Where splits come from: the registry's tasks over a mirror with the columns of the Hub, and files of one's own."""

import functools
import json

import datasets
import pandas as pd
import pytest
import yaml
from refusals import one_line

from trusteq.errors import DataError, ExperimentError
from trusteq.examples.load import load_examples
from trusteq.registry import Source, load_task, registered, validated
from trusteq.study.experiment import Experiment

PAIR, SENTENCES = ["premise", "hypothesis"], ["sentence1", "sentence2"]
MNLI_SPLITS = ["train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"]
USUAL = ["train", "validation", "test"]
# As on the Hub: task -> data set, config, columns of the texts, splits, those that have no labels there.
ON_THE_HUB = {
    "snli": ("stanfordnlp/snli", "plain_text", PAIR, USUAL, []),
    "mnli": ("nyu-mll/glue", "mnli", PAIR, MNLI_SPLITS, MNLI_SPLITS[3:]),
    "qqp": ("nyu-mll/glue", "qqp", ["question1", "question2"], USUAL, ["test"]),
    "mrpc": ("nyu-mll/glue", "mrpc", SENTENCES, USUAL, []),
    "paws": ("google-research-datasets/paws", "labeled_final", SENTENCES, USUAL, []),
    "sst2": ("nyu-mll/glue", "sst2", ["sentence"], USUAL, ["test"]),
}
# What each task reports on, and where its dev split is; without a place it is held out of train.
REPORTED = {"mnli": "validation_matched", "qqp": "validation", "sst2": "validation"}
DEV = dict.fromkeys(["snli", "mrpc", "paws"], "validation")
HEADER = "sentence1,sentence2,label\n"

refused = functools.partial(one_line, DataError)


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Keep what `datasets` caches out of the user's home; let a relative path start in a folder of the test's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("TRUSTEQ_HUB", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mirror(tmp_path):
    """Write a task's data set as the Hub has it, 20 rows a split that name their split; return the mirror."""

    def mirror(task):
        name, config, columns, splits, unlabelled = ON_THE_HUB[task]
        folder = tmp_path / "hub" / "datasets" / name
        (folder / config).mkdir(parents=True)
        entry = f"configs:\n- config_name: {config}\n  data_files:\n"
        for split in splits:
            labels = [-1 if split in unlabelled else row % len(load_task(task).labels) for row in range(20)]
            rows = {column: [f"{column} {row} of {split}" for row in range(20)] for column in columns}
            file = folder / config / f"{split}-00000-of-00001.parquet"
            pd.DataFrame(rows | {"label": labels, "idx": range(20)}).to_parquet(file, index=False)
            entry += f"  - split: {split}\n    path: {config}/{file.name}\n"
        (folder / "README.md").write_text(f"---\n{entry}---\n", encoding="utf-8")
        return tmp_path / "hub"

    return mirror


@pytest.fixture
def splits(tmp_path):
    """Load an experiment, from a file, that gives a task these sources; return the task."""

    def splits(task, **sources):
        values = {"name": "own", "title": "Own", "models": ["demo-tiny"], "methods": {"lime": {}}}
        values["tasks"] = {task: {"splits": {name: [found] for name, found in sources.items()}}}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        return Experiment.load(tmp_path / "own.yaml").task(task)

    return splits


# --- the tasks of the registry ---


def test_every_task_that_is_not_generated_is_here():
    assert sorted(ON_THE_HUB) == [name for name in sorted(registered()["tasks"]) if load_task(name).generated is None]


@pytest.mark.parametrize("task", ON_THE_HUB)
def test_a_task_of_the_registry_is_read_with_its_columns_and_labels(mirror, task):
    hub, columns, n_labels = mirror(task), ON_THE_HUB[task][2], len(load_task(task).labels)
    found = load_examples(task, "test", hub=hub)
    split = REPORTED.get(task, "test")
    assert found["id"].tolist() == [f"test-{row}" for row in range(20)]
    for text, column in zip(("text_a", "text_b"), columns, strict=False):
        assert found[text].tolist() == [f"{column} {row} of {split}" for row in range(20)]
    assert found["text_b"].isna().all() == (len(columns) == 1)
    assert found["label"].tolist() == [row % n_labels for row in range(20)]


@pytest.mark.parametrize("task", ON_THE_HUB)
def test_what_a_task_trains_and_is_chosen_on_is_not_what_it_reports_on(mirror, task):
    hub = mirror(task)
    train, dev = (load_examples(task, split, hub=hub) for split in ("train", "dev"))
    assert (len(train), len(dev)) == ((20, 20) if task in DEV else (18, 2))
    assert train["text_a"].str.endswith("of train").all()
    assert dev["text_a"].str.endswith(f"of {DEV.get(task, 'train')}").all()


# --- files ---


def test_files_are_read_as_a_split_with_its_own_ids_and_row_numbers(tmp_path, splits):
    (tmp_path / "test.csv").write_text(f"id,{HEADER}x,a,b,1\ny,c,d,-1\nz,e,f,paraphrase\n", encoding="utf-8")
    (tmp_path / "train.jsonl").write_text(json.dumps({"text_a": "g", "text_b": "h", "label": 0}), encoding="utf-8")
    task = splits("mrpc", train={"file": "train.jsonl"}, test={"file": str(tmp_path / "test.csv")})
    found = load_examples(task, "test")
    assert found.to_dict("list") == {
        "id": ["test-0", "test-2"],
        "text_a": ["a", "e"],
        "text_b": ["b", "f"],
        "label": [1, 1],
    }
    assert found.attrs["unlabelled"] == 1
    assert task.name == "mrpc"


def test_a_file_and_a_data_set_may_be_one_split(mirror, tmp_path):
    hub = mirror("sst2")
    (tmp_path / "more.tsv").write_text("sentence\tlabel\nfine\tpositive\n", encoding="utf-8")
    train = (*load_task("sst2").splits.train, Source(file="more.tsv"))
    task = load_task("sst2")
    task = task.model_copy(update={"splits": task.splits.model_copy(update={"test": train})})
    found = load_examples(task, "test", hub=hub)
    assert found["id"].tolist() == [f"test-{row}" for row in range(21)]
    assert found["text_a"].iloc[-1] == "fine"
    assert found["text_b"].isna().all()
    assert found["label"].iloc[-1] == 1


def test_dev_is_held_out_of_a_file_by_first_text(tmp_path, splits):
    rows = "".join(f"first {row // 2},second {row},{row % 2}\n" for row in range(40))
    (tmp_path / "train.csv").write_text(HEADER + rows, encoding="utf-8")
    task = splits("mrpc", train={"file": "train.csv"}, test={"file": "train.csv"})
    train, dev = (load_examples(task, split) for split in ("train", "dev"))
    assert (len(train), len(dev)) == (36, 4)
    assert not set(train["text_a"]) & set(dev["text_a"])


def test_a_relative_path_starts_where_the_experiment_is_loaded_and_stays(tmp_path, splits, monkeypatch):
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "test.csv").write_text(f"{HEADER}a,b,1\n", encoding="utf-8")
    splits("mrpc", train={"file": "my/test.csv"}, test={"file": "my/test.csv"})
    loaded = Experiment.load(tmp_path / "own.yaml")
    elsewhere = tmp_path / "results" / "own"
    elsewhere.mkdir(parents=True)
    (elsewhere / "experiment.yaml").write_text(loaded.limited(explain=1).dump(), encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    task = Experiment.load("experiment.yaml").task("mrpc")
    assert task.splits.test[0].file == tmp_path / "my" / "test.csv"
    assert load_examples(task, "test")["text_a"].tolist() == ["a"]


def test_a_bad_file_is_named_with_its_line(tmp_path, splits):
    (tmp_path / "test.csv").write_text(f"{HEADER}a,b,2\n", encoding="utf-8")
    task = splits("mrpc", train={"file": "trian.csv"}, test={"file": "test.csv"})
    refused(lambda: load_examples(task, "test"), f"{tmp_path / 'test.csv'}:2: unknown label '2' of task 'mrpc'")
    refused(lambda: load_examples(task, "train"), f"{tmp_path / 'trian.csv'}: no such file")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of 'dataset' and 'file'"),
        ({"split": "train"}, "exactly one of 'dataset' and 'file'"),
        ({"dataset": "a/b", "split": "train", "file": "c.csv"}, "exactly one of 'dataset' and 'file'"),
        ({"dataset": "a/b"}, "'dataset' 'a/b' needs the 'split'"),
        ({"file": "c.csv", "split": "train"}, "a 'file' is read whole"),
        ({"file": "c.csv", "config": "d"}, "a 'file' is read whole"),
        ({"file": 3}, "file:"),
        ({"fiel": "c.csv"}, "did you mean 'file'?"),
    ],
)
def test_a_source_is_a_data_set_or_a_file(values, message):
    one_line(ExperimentError, lambda: validated(Source, values, where="here"), "here: ", message)


def test_a_bad_source_of_an_experiment_is_named_by_file_and_key(tmp_path, splits):
    one_line(
        ExperimentError,
        lambda: splits("mrpc", train={"file": "a.csv", "split": "train"}, test={"file": "a.csv"}),
        f"{tmp_path / 'own.yaml'}: tasks.mrpc.splits.train.0: 'config' and 'split' belong to a 'dataset'",
    )

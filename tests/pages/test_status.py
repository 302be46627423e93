"""What explaining cost, and what the benchmark of the engine measured."""

import json

import made_up
import pandas as pd
from made_up import TASK

from trusteq.pages import status
from trusteq.pages.status import (
    benchmark_rows,
    benchmark_table,
    job_table,
    measured_on,
    notebook_table,
    origin_table,
    run_facts,
    run_line,
)
from trusteq.store import manifest_path, to_json, write_text
from trusteq.study.publish import open_published
from trusteq.study.results import Results


def test_the_benchmark_shows_what_was_measured_and_says_what_is_open():
    rows = [
        {"row": "fast", "value": 3.0, "what": "times", "at least": 2, "bare share": 0.9, "machine": "m"},
        {"row": "lean", "value": 40.0, "what": "MB more", "at most": 300, "machine": "m"},
        {"row": "gpu a", "value": None, "open": "no GPU", "machine": "m"},
        {"row": "gpu b", "value": None, "open": "no GPU", "machine": "other"},
    ]
    table = benchmark_table(rows).set_index("row")
    assert table[["measured", "wanted"]].to_numpy().tolist() == [[3.0, "≥ 2"], [40.0, "≤ 300"]]
    assert table.loc["fast", "bare_share"] == 0.9 and pd.isna(table.loc["lean", "bare_share"])
    assert measured_on(rows) == "Measured on: m. Open: gpu a, gpu b (no GPU)."
    assert measured_on(rows[:1]) == "Measured on: m."


def test_the_benchmark_of_training_shows_both_sides():
    measured = {"row": "cpu", "value": 6.0, "what": "times", "at least": 5, "ours s/epoch": 1.0, "authors s/epoch": 6.0}
    table = benchmark_table([measured, {"row": "gpu", "value": None, "open": "no GPU"}], "finetune")
    assert table[["row", "measured", "at least"]].to_numpy().tolist() == [["cpu", 6.0, 5.0]]
    assert table["ours accuracy"].isna().all()
    rows = benchmark_rows("finetune")
    assert len(benchmark_table(rows, "finetune")) == sum(row["value"] is not None for row in rows)


def test_the_benchmark_of_the_repository_can_be_shown():
    rows = benchmark_rows()
    assert len(benchmark_table(rows)) + sum(row["value"] is None for row in rows) == len(rows) > 0


def test_estimators_are_shown_by_kind_and_by_top_ten():
    table = benchmark_table(benchmark_rows("estimators"), "estimators")
    errors, ranking = (of for _, of in table.groupby(table["unit"] == "mean Jaccard"))
    assert set(errors["of"]) == {"SNLI", "MRPC", "SST-2", "demo", "all", "all, held out"}
    assert {"lime", "shap", "shapley"} < set(ranking["of"])
    assert errors[["from", "to", "coverage", "ProxySHAP"]].notna().all(axis=None)
    assert ranking[["with its own limit", "of two seeds"]].notna().all(axis=None)


def test_what_was_run(run):
    assert run_line(run) == (
        "This run is **small** (Made up): tasks: natural language inference on generated captions; models: 3; "
        "trained under the seeds: 0; other seeds of: Demo-large (0, 1); test examples: 4; of these explained: 2; "
        "top words: 2; passes at most: lime 10, shap 10."
    )


def test_of_a_run_that_trains_nothing_no_seed_and_no_limit_of_training_is_told():
    facts = run_facts(open_published("smollm2-words"))
    assert facts["trained"] == "nothing"
    assert not {"trained under the seeds", "other seeds of", "training examples at most"} & set(facts)


def test_seconds_of_stages_come_from_the_artefacts(tmp_path):
    run = made_up.make_run(tmp_path)
    table = run.attribution(made_up.TASK, "demo-tiny", 0, "lime")
    run.write(table, "attribution", made_up.TASK, "demo-tiny", 0, "lime", method="lime", seconds=3.5)
    found = job_table([run, run]).set_index("stage")  # what both share counts once
    assert found.loc["training", ["jobs", "seconds", "longest"]].tolist() == [4, 70.0, 30.0]
    assert found.loc["explaining, lime", ["jobs", "seconds"]].tolist() == [1, 3.5]


def test_the_page_shows_all_its_parts(run, shown):
    status.times(run)
    status.benchmark("attribution")
    status.benchmark("finetune")
    status.benchmark("million")
    status.benchmark("stopping")
    status.origin(run)
    assert len(shown) == 15  # of each benchmark where it was measured, speeds, and the rest
    assert "small" in shown[-1].data


def test_time_by_page(tmp_path, run):
    other = Results(tmp_path, run.experiment)
    for name, seconds in {"01_finetune/t/m/0": 2.0, "01_finetune/t/n/0": 3.0, "results": 1.5}.items():
        notebook = json.dumps({"metadata": {"papermill": {"duration": seconds}}})
        write_text(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    killed = tmp_path / "notebooks" / "01_finetune" / "t" / "n" / ".1.ipynb.x" / "1.ipynb"
    killed.parent.mkdir()
    killed.write_text(notebook[:20], encoding="utf-8")
    assert notebook_table(other).to_dict("list") == {
        "page": ["01_finetune", "results"],
        "notebooks": [2, 1],
        "seconds": [5.0, 1.5],
        "longest": [3.0, 1.5],
    }


def test_origin_shows_a_mixed_run_as_one(tmp_path):
    run = made_up.make_run(tmp_path)
    assert origin_table(run).set_index("what")["value"]["pandas"] == pd.__version__
    assert origin_table(run).set_index("what")["value"]["device"] == "cpu"
    changed = manifest_path(run.path("predictions", TASK, "demo-tiny", 0))
    manifest = json.loads(changed.read_text(encoding="utf-8"))
    manifest["versions"]["pandas"] = "0.1"
    manifest["git"] = {"commit": None, "changed": None}
    write_text(to_json(manifest), changed)
    origin = origin_table(run).set_index("what")["value"]
    assert origin["pandas"] == f"0.1, {pd.__version__}"
    assert "no git" in origin["git"]

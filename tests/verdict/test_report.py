"""What `trusteq audit` and `trusteq calibrate` leave behind, and what the command line answers."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from refusals import one_line, refused

from trusteq.calibration.proper_scores import SCORES, Score, mean
from trusteq.errors import DataError, ExperimentError
from trusteq.pages import figures
from trusteq.registry import validated
from trusteq.verdict import margins, report, shown
from trusteq.verdict.audit import audit_predictions
from trusteq.verdict.margins import Margin, load_margins
from trusteq.verdict.predictions import read_predictions


def predictions_file(folder, name="p.csv", *, n=400, sharp=1.0, seed=0):
    rng = np.random.default_rng(seed)
    yes = rng.beta(1, 1, n)
    label = np.where(rng.random(n) < yes, "yes", "no")
    said = yes**sharp / (yes**sharp + (1 - yes) ** sharp)
    file = folder / name
    pd.DataFrame({"label": label, "no": 1 - said, "yes": said}).to_csv(file, index=False)
    return file


def test_a_calibration_is_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "a" / "b"
    found = report.write_calibration(read_predictions(predictions_file(tmp_path)), out, name="p<1>.csv")
    values = json.loads((out / "calibration.json").read_text())
    assert [row["score"] for row in values["scores"]] == found["score"].tolist()
    assert values["examples"] == 400 and values["labels"] == ["no", "yes"]
    page = (out / "calibration.html").read_text()
    assert "p&lt;1&gt;.csv" in page and page.count("<svg") == 1
    assert sorted(file.name for file in out.iterdir()) == ["calibration.html", "calibration.json"]


def test_a_score_is_added_as_one_function_and_one_record(tmp_path, monkeypatch):
    """It needs no title, and is shown wherever scores are; with a margin it is a measure like the others."""
    added = Score("mean_surprise", lambda sums: 1 - mean(sums, "bin_confidence"))
    monkeypatch.setitem(SCORES, added.name, added)
    measure = "dimension: calibration\n  title: surprise\n  score: mean_surprise\n  margin: 0.5\n  one_sided: false"
    (tmp_path / "margins.yaml").write_text(f"{margins.MARGINS.read_text()}\nsurprise:\n  {measure}\n  reason: a test\n")
    monkeypatch.setattr(margins, "MARGINS", tmp_path / "margins.yaml")
    file = predictions_file(tmp_path)
    found = report.write_calibration(read_predictions(file), tmp_path / "out", name="p").set_index("score")
    assert found.loc["mean_surprise"].notna().all()
    assert "mean surprise" in shown.shown_scores(found.reset_index())["score"].tolist()
    assert "mean surprise" in (tmp_path / "out" / "calibration.html").read_text()
    audit = audit_predictions(read_predictions(file), read_predictions(file))
    assert audit.dimensions.set_index("measure")["outcome"]["surprise"] == "equivalent"
    assert "mean surprise" in audit.to_html() and "surprise" in audit.to_model_card()
    assert json.loads(audit.to_json())["scores"][-1]["score"] == "mean_surprise"


def test_the_exit_code_gives_the_answer_that_is_asked(tmp_path, trusteq):
    files = [predictions_file(tmp_path, f"{name}.csv", n=12_000, sharp=sharp) for name, sharp in
             (("large", 1.0), ("small", 1.05), ("twin", 1.05), ("dev", 1.0), ("small-dev", 1.05))]  # fmt: skip
    large, small, twin, dev, small_dev = files
    how = ("audit", large, small, "--out", tmp_path / "out")
    assert trusteq(*how, "--retrained", twin, "--ask", "retraining").returncode == 0
    done = trusteq(*how, "--dev", dev, small_dev, "--ask", "handover", "--share", "0.9")
    assert done.returncode == 0 and "With hand-over" in done.stdout
    refused(trusteq(*how, "--ask", "retraining"), "give --retrained")
    refused(trusteq(*how, "--ask", "handover"), "give --dev")
    refused(trusteq(*how, "--dev", dev), "--dev has 1 files")
    refused(trusteq(*how, "--ask", "handing"), "--ask")


def test_a_file_says_what_belongs_together_and_in_which_part(tmp_path):
    file = predictions_file(tmp_path)
    table = pd.read_csv(file).assign(premise=np.arange(400) // 4, topic=np.where(np.arange(400) < 20, "rare", "common"))
    table.to_csv(file, index=False)
    found = read_predictions(file, group="premise", slices="topic")
    assert found.labels == ("no", "yes") and len(set(found.clusters)) == 100
    audit = audit_predictions(found, found)
    assert audit.facts["independent"] == 100
    slices = audit.slices.set_index("slice")
    assert slices.loc["rare", "n"] == 20 and np.isnan(slices.loc["rare", "low"]) and slices.loc["common", "n"] == 380
    one_line(DataError, lambda: read_predictions(file, group="premises"), "no column 'premises'", "'premise'")


@pytest.mark.parametrize(
    ("n", "outcome"), [(1, "undecided"), (14, "undecided"), (182, "undecided"), (183, "equivalent")]
)
def test_equal_files_are_equivalent_once_there_are_enough_rows(tmp_path, n, outcome):
    """0.98^183 < 0.025: what happens to one answer in fifty would have been seen."""
    table = pd.DataFrame({"label": ["yes"] * n, "no": 0.01, "yes": 0.99})
    table.to_csv(tmp_path / "p.csv", index=False)
    both = read_predictions(tmp_path / "p.csv")
    found = audit_predictions(both, both)
    row = found.dimensions.set_index("measure").loc["accuracy"]
    assert row["outcome"] == outcome
    reason = {1: "fewer than 15", 14: "fewer than 15", 182: "; 183 do", 183: "within the margin"}[n]
    assert reason in row["reason"]
    assert (row["low"], row["high"]) == (
        (-1, 1) if n == 1 else pytest.approx((0.025 ** (1 / n) - 1, 1 - 0.025 ** (1 / n)))
    )
    assert "undecided" in found.to_html().lower() or outcome == "equivalent"


def test_a_measure_of_nothing_that_is_known_is_refused():
    values = load_margins()["ece"].model_dump()
    for changed, problem in (
        ({"score": "debiased_ec"}, "did you mean 'debiased_ece'"),
        ({"score": "mce"}, "no score 'mce' that has an interval"),
        ({"alignment": "normalised"}, "of 'retraining', or of both"),
        ({"score": None, "retraining": None}, "of 'retraining', or of both"),
    ):
        one_line(ExperimentError, lambda of=changed: validated(Margin, values | of, where="ece"), problem)


def test_titles_of_scores_are_their_names_where_nothing_else_is_said():
    assert SCORES["debiased_ece"].title == "debiased ECE" and SCORES["debiased_ece"].head == "debiased"
    assert SCORES["mean_confidence"].title == "mean confidence" and SCORES["accuracy"].head == "accuracy"


def test_a_calibrated_file_lies_in_its_bands_and_a_sharpened_one_does_not(tmp_path):
    calm, sharp = (
        report.write_calibration(
            read_predictions(predictions_file(tmp_path, n=4000, sharp=s)), tmp_path / "out", name="p"
        ).set_index("score")
        for s in (1, 3)
    )
    for score in ("ece", "brier", "nll", "overconfidence"):
        assert calm.loc[score, "null_low"] <= calm.loc[score, "value"] <= calm.loc[score, "null_high"]
        assert sharp.loc[score, "value"] > sharp.loc[score, "null_high"]


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [("same.csv", {}, 0), ("sharp.csv", {"sharp": 3}, 1), ("few.csv", {"n": 20}, 3)],
)
def test_an_audit_of_files_answers_by_its_exit_code(trusteq, tmp_path, name, options, status):
    """Enough examples of the same predictions, other confidences, and too few examples."""
    n = options.pop("n", 2000)
    large = predictions_file(tmp_path, "large.csv", n=n)
    done = trusteq("audit", large, predictions_file(tmp_path, name, n=n, **options), "--out", tmp_path / "out")
    assert done.returncode == status, done.stderr
    verdict = {0: "equivalent", 1: "not-equivalent", 3: "undecided"}[status]
    assert f"verdict: {verdict};" in done.stdout
    values = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert values["verdict"] == verdict and values["alignment"] is None
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["audit.html", "audit.json", "model-card.md"]


def test_calibrate_answers_with_a_table(trusteq, tmp_path):
    done = trusteq("calibrate", predictions_file(tmp_path))
    assert done.returncode == 0 and done.stderr == ""
    assert "smooth ECE" in done.stdout
    assert (tmp_path / "p-calibration" / "calibration.html").is_file()


def test_both_commands_take_predictions_as_they_were_saved(trusteq, tmp_path):
    """Compressed, parquet, in capitals; what was found out is on the screen, in the JSON and on the page."""
    table = pd.read_csv(predictions_file(tmp_path, "plain.csv")).assign(text="x")
    table.to_csv(tmp_path / "A.CSV", index=False, sep=";")
    table.to_csv(tmp_path / "b.csv.gz", index=False)
    table.drop(columns="text").to_parquet(tmp_path / "c.parquet")
    plain = trusteq("audit", tmp_path / "plain.csv", tmp_path / "plain.csv", "--out", tmp_path / "plain")
    for name in ("A.CSV", "b.csv.gz"):
        done = trusteq("audit", tmp_path / name, tmp_path / "c.parquet", "--out", tmp_path / "out")
        assert done.returncode == plain.returncode, done.stderr
        note = f"{tmp_path / name}: the classes are the columns no, yes; ignored: text"
        assert f"note: {note}" in done.stderr.splitlines()
        assert note in json.loads((tmp_path / "out" / "audit.json").read_text())["notes"]
        assert note in (tmp_path / "out" / "audit.html").read_text()
    done = trusteq("calibrate", tmp_path / "b.csv.gz")
    assert done.returncode == 0, done.stderr
    note = "the classes are the columns no, yes; ignored: text"
    assert done.stderr == f"note: {note}\n"
    assert note in json.loads((tmp_path / "b-calibration" / "calibration.json").read_text())["notes"]
    assert note in (tmp_path / "b-calibration" / "calibration.html").read_text()
    done = trusteq("calibrate", tmp_path / "c.parquet", "--labels", "no,yse")
    refused(done, "no column of the class 'yse'", "did you mean 'yes'")
    refused(trusteq("audit", "m", "n", "--labels", "a,b", "--out", "out"), "--labels", "files of predictions")


def test_labels_against_the_columns_are_said_by_calibrate_as_by_an_audit(trusteq, tmp_path):
    table = pd.read_csv(predictions_file(tmp_path))
    table.assign(label=table["label"].map({"yes": "no", "no": "yes"})).to_csv(tmp_path / "p.csv", index=False)
    done = trusteq("calibrate", tmp_path / "p.csv")
    assert done.returncode == 0 and done.stderr.startswith("note: the classes look swapped: accuracy is ")
    audit = trusteq("audit", tmp_path / "p.csv", tmp_path / "p.csv", "--out", tmp_path / "out")
    assert done.stderr.strip().removeprefix("note: ") in audit.stderr


def test_bad_input_leaves_nothing_behind(trusteq, tmp_path):
    file = predictions_file(tmp_path)
    other = predictions_file(tmp_path, "other.csv", n=399)
    refused(trusteq("audit", file, other, "--out", tmp_path / "out"), "400 rows against 399")
    refused(trusteq("audit", file, tmp_path / "model", "--out", tmp_path / "out"), "--data", "--task")
    refused(trusteq("audit", file, file, "--out", tmp_path / "out", "--margin", "eec=1"), "did you mean 'ece'")
    refused(trusteq("calibrate", tmp_path / "none.csv"), "no such file")
    assert not (tmp_path / "out").exists()


def test_a_figure_that_is_open_is_not_drawn_on():
    before, figure = plt.get_fignums(), plt.figure(figsize=(0.2, 0.2))
    with plt.style.context({"figure.constrained_layout.use": True}):
        assert "<svg" in figures.inline(lambda: plt.gca().plot([0, 1], [0, 1]))["svg"]
    assert figure.axes == [] and plt.get_fignums() == [*before, figure.number]
    plt.close(figure)


def test_the_titles_of_a_reports_figures_follow_the_data():
    outcomes = pd.DataFrame({"outcome": ["equivalent", "undecided", "undecided"]})
    assert report.outcome_line(outcomes) == "Of 3 measures, 1 equivalent, 0 not equivalent, 2 undecided"
    asked = pd.Series({"share": 0.61}, name=("flips", 0.01))
    assert report.alone_line(asked) == "Alone on 61% of inputs at a risk of 1% of flips kept"
    assert report.alone_line(asked * 0) == "Alone on no inputs at a risk of 1% of flips kept"
    bins = {"count": [5, 5, 0], "share": [0.5, 0.5, 0], "accuracy": [0.1, 0.6, np.nan], "low": [0.2, 0.5, np.nan]}
    bins = pd.DataFrame(bins | {"high": [0.4, 0.7, np.nan], "gap": [-0.2, 0.1, np.nan]})
    assert report.bins_line(bins) == "1 of 2 bins beyond luck"
    assert report.bins_line(bins.assign(accuracy=0.65, high=0.7)) == "0 of 2 bins beyond luck"
    assert report.sure_line(bins) == "0.050 more sure than right"
    assert report.sure_line(bins.assign(gap=-bins["gap"])) == "0.050 less sure than right"


def test_a_report_in_the_dark_has_no_colour_that_cannot_be_seen(tmp_path):
    """Each colour that its figures draw with is a variable with a value for the dark, but for a grey between both."""
    predictions = read_predictions(predictions_file(tmp_path))
    report.write_calibration(predictions, tmp_path / "out", name="p")
    pages = [(tmp_path / "out" / "calibration.html").read_text(encoding="utf-8")]
    pages.append(audit_predictions(predictions, predictions, dev=(predictions, predictions)).to_html())
    for page in pages:
        dark = page.partition("prefers-color-scheme: dark")[2].partition("</style>")[0]
        drawn = set(re.findall(r"stroke: var\(--tq-([0-9a-f]{6})", page))
        assert "001c7f" in drawn and drawn <= {"8c8c8c", *re.findall(r"--tq-([0-9a-f]{6}):", dark)}
        assert "stroke: #" not in page
        assert re.search(r'aria-label="[^"]*beyond luck', page)

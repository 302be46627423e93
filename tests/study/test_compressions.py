"""The tables and figures on compression, on a made-up run whose numbers can be had by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import CHANCE, TASK, make_run

from trusteq.pages.compression import cost_table, count_table, frontier, kept_panels, recovery_table
from trusteq.pages.keeping_trust import SPREAD, gain_intervals, objective_table, price_table
from trusteq.pages.show import titles, view
from trusteq.study.compare import compare, verdict_table
from trusteq.study.compressions import compare_with_large, compression_table, gain_table
from trusteq.study.experiment import Experiment, ModelSettings
from trusteq.study.results import Results

LARGE, SMALL, TINY = "demo-large", "demo-distilled", "demo-tiny"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def comparisons(run):
    return compare_with_large(run, TASK)


@pytest.fixture(scope="module")
def table(run, comparisons):
    return compression_table(run, TASK, comparisons)


def row(table, method, model, seed=0):
    (found,) = table[(table["method"] == method) & (table["model"] == model) & (table["seed"] == seed)].to_dict(
        "records"
    )
    return found


def test_every_model_and_seed_has_a_row_a_method_the_large_one_first(table):
    runs = [(LARGE, 0), (LARGE, 1), (SMALL, 0), (TINY, 0)]
    expected = [(method, *of) for method in ("lime", "shap") for of in runs]
    assert list(table[["method", "model", "seed"]].itertuples(index=False, name=None)) == expected


def test_the_alignment_stands_between_its_anchors(table):
    # Of test-0 the top twos share one word of three, of test-1 both. The large model keeps half of this with itself
    # under another seed, the smaller one all: the ceiling of the pair is (2/3 + 1) / 2.
    found = row(table, "lime", SMALL)
    assert (found["jaccard"], found["ceiling"]) == pytest.approx((2 / 3, 5 / 6))
    assert found["chance"] == pytest.approx(CHANCE)
    assert found["normalised_alignment"] == pytest.approx((2 / 3 - CHANCE) / (5 / 6 - CHANCE))
    assert row(table, "shap", TINY)["ceiling"] == 1


def test_a_large_model_of_another_seed_is_compared_with_the_first(table):
    found = row(table, "shap", LARGE, 1)
    assert (found["jaccard"], found["accuracy_difference"]) == pytest.approx(((1 / 3 + 1) / 2, 0))
    assert found["verdict"] in ("equivalent", "not-equivalent", "undecided")


def test_the_large_model_is_not_compared_with_itself(table):
    found = row(table, "lime", LARGE)
    assert found["accuracy"] == 0.75
    assert (np.isnan(found["jaccard"]) and found["verdict"] is None) or pd.isna(found["verdict"])


def test_outcomes_are_those_of_the_verdicts_page(run, table):
    found_verdicts = verdict_table(compare(run, TASK))
    for method in ("lime", "shap"):
        of = found_verdicts[(found_verdicts["method"] == method) & (found_verdicts["model"] == TINY)].set_index(
            "measure"
        )
        found = row(table, method, TINY)
        assert found["verdict"] == of["verdict"].iloc[0]
        for measure in of.index:
            assert found[f"{measure}_outcome"] == of.loc[measure, "outcome"]
        assert found["ece_low"] == pytest.approx(of.loc["ece", "low"], nan_ok=True)
        assert found["normalised_alignment_high"] == pytest.approx(
            of.loc["normalised_alignment", "high"] + 1, nan_ok=True
        )


def test_what_a_model_saves_comes_from_its_metrics(run, table):
    sizes = {"latency_1_ms": [1.0], "latency_32_ms": [2.0], "peak_memory_bytes": [3e6]}
    costs = cost_table(table, titles(run), pd.DataFrame({"model": [LARGE], **sizes}))
    assert list(costs["model"]) == ["Demo-large", "Demo-distilled", "Demo-tiny"]
    assert list(costs["parameters M"]) == [1.5, 3.0, 4.5]
    assert list(costs["non-zero M"]) == [1.0, 2.0, 3.0]
    assert costs["peak memory MB"][0] == 3.0 and costs["1 text ms"].isna().tolist() == [False, True, True]


def test_the_gain_is_the_mean_difference_in_jaccard(run, comparisons):
    # With the large model: demo-distilled (1/3 + 1) / 2, demo-tiny (0 + 1) / 2. Example by example 1/3 and 0.
    gains = gain_table(run, TASK, comparisons, baseline=TINY).set_index(["method", "model"])
    assert list(gains.index) == [("lime", SMALL), ("shap", SMALL)]
    assert gains.loc[("lime", SMALL), "gain"] == pytest.approx(1 / 6)
    assert gains["low"].lt(1 / 6).all() and gains["high"].gt(1 / 6).all()
    assert gains.loc[("lime", SMALL), ["seed_spread", "seeds", "training_seconds"]].tolist() == [0, 1, 20]


def test_the_gain_averages_a_models_seeds(run):
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    values["models"][SMALL] = {"seeds": [0, 1]}
    two = Results(run.folder, Experiment.model_validate(values))
    for part in ("predictions", "attribution"):
        source = run.folder / part / TASK
        if part == "predictions":
            run.write(pd.read_parquet(source / SMALL / "0.parquet"), part, TASK, SMALL, 1)
            continue
        for method in ("lime", "lime.again", "shap"):  # of the second seed: the words of demo-tiny
            run.write(pd.read_parquet(source / TINY / "0" / f"{method}.parquet"), part, TASK, SMALL, 1, method)
    folder = run.model(TASK, SMALL, 1)
    folder.mkdir(parents=True)
    for name in ("metrics", "timing"):
        (folder / f"{name}.json").write_bytes((run.model(TASK, SMALL, 0) / f"{name}.json").read_bytes())
    gains = gain_table(two, TASK, compare_with_large(two, TASK), baseline=TINY)
    # Against the large model's first seed 1/6; the second seed is taught by, and compared with, its seed 1: {1, 2}
    # beside {2, 3} shares one word of three.
    assert gains["gain"].tolist() == pytest.approx([((2 / 3 + 2 / 3) / 2) - 1 / 2] * 2)
    assert gains["seeds"].tolist() == [2, 2]


def test_the_objective_is_told_part_by_part(run):
    table = objective_table(run, TASK, [SMALL])
    (found,) = table.to_dict("records")
    assert (found["labels"], found["soft_labels"], found["attribution"], found["seconds"]) == (0.5, 0.5, 0, 20)
    assert found["by"] is None


def test_pictures_have_a_place_for_every_model(run, table, comparisons, drawing):
    names, small = titles(run), table[(table["method"] == "lime") & (table["model"] != LARGE)]
    figure = kept_panels(small, names)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Demo-distilled", "Demo-tiny"]
    ax = frontier(small, names, plt.figure().gca(), x="accuracy", xlabel="accuracy")
    assert {text for text in ax.get_legend_handles_labels()[1]} == {"Demo-distilled", "Demo-tiny"}
    gains = gain_table(run, TASK, comparisons, baseline=TINY)
    assert [t.get_text() for t in gain_intervals(gains, names).get_yticklabels()] == ["Demo-distilled"]


def test_verdicts_are_counted_by_method(table):
    small = table[table["model"] != LARGE].assign(verdict="undecided")
    small.loc[small.index[0], "verdict"] = "equivalent"
    counts = count_table(small).set_index("method")
    assert counts.loc["lime"].to_dict() == {"equivalent": 1, "not-equivalent": 0, "undecided": 1}
    assert list(counts.index) == ["lime", "shap"]


def test_the_price_is_beside_the_plain_student(tmp_path, run, table):
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    values["models"] |= {"kept": {"like": SMALL, "title": "Kept"}}
    lab = Results(tmp_path, Experiment.model_validate(values))
    own = table[table["model"] == SMALL].assign(ece_difference=-0.2)
    kept = own.assign(model="kept", ece_difference=0.1, training_seconds=40.0, accuracy=0.5)
    (found,) = price_table(pd.concat([own, kept]), lab).to_dict("records")
    numbers = {"accuracy": -0.25, "distance from its ECE": -0.1, "times the training": 2.0}
    assert found == {"model": "Kept"} | {name: pytest.approx(value) for name, value in numbers.items()}


def test_a_gain_stands_beside_what_seeds_differ_by(run, comparisons):
    gains = gain_table(run, TASK, comparisons, baseline=TINY)
    shown = view(gains.assign(seeds=2, seed_spread=0.01), run, SPREAD)
    assert shown["model"].tolist() == ["Demo-distilled"] * 2
    assert shown["seeds differ by"].tolist() == [0.01, 0.01]


def test_recovery_is_told_of_pairs_that_differ_in_it_alone(tmp_path):
    models = {LARGE: {}, "demo-cut": {}, "demo-cut-recovered": {}, "demo-cut-distilled": {}}
    run = Results(tmp_path, Experiment(name="x", title="X", tasks=[TASK], models=models, methods={"lime": {}}))
    values = {"accuracy": [0.7, 0.4, 0.5, 0.6], "normalised_alignment": [np.nan, 0.2, 0.25, 0.6]}
    table = pd.DataFrame({"method": "lime", "model": list(models), "seed": 0} | values)
    (found,) = recovery_table(table, run).to_dict("records")
    assert (found["model"], found["method"]) == ("First layer, recovered", "lime")
    assert (found["accuracy"], found["alignment"]) == pytest.approx((0.1, 0.05))
    assert recovery_table(table.head(2), run).empty


def test_a_model_under_another_name_keeps_its_entry():
    settings = {"student": ModelSettings(like="demo-cut-distilled", title="Student", seeds=(0, 3))}
    models = {LARGE: {"seeds": [0, 1]}} | settings
    experiment = Experiment(name="x", title="X", tasks=[TASK], models=models, methods={"lime": {}})
    spec = experiment.model("student")
    assert (spec.name, spec.title, spec.paper, spec.needs) == ("student", "Student", None, (LARGE,))
    assert experiment.students == ["student"]
    assert [experiment.origin_seed(LARGE, seed) for seed in (0, 1, 3)] == [0, 1, 0]

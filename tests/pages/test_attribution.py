"""The page on attribution: what each section shows of a made-up run."""

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, TASK

from trusteq import blocks
from trusteq.pages import attribution
from trusteq.study.jobs import jobs

pytestmark = pytest.mark.usefixtures("drawing")
LARGE, DISTILLED, TINY = MODELS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose tables of attributions say what they took."""
    run = made_up.make_run(tmp_path_factory.mktemp("results"))
    for model, seed in run.experiment.runs:
        for job in jobs(run.experiment, task=TASK, model=model, seed=seed):
            table = run.attribution(TASK, model, seed, job.table)
            table.attrs |= {"skipped": {"test-9": "no word"}, "cut": {}, "retokenised": 0, "passes": 90}
            run.write(table, "attribution", TASK, model, seed, job.table, seconds=4.0)
    return run


def test_what_explaining_took_by_model_and_method(run, shown):
    attribution.costs(attribution.chosen(run, TASK))
    (table,) = (styled.data for styled in shown)
    assert len(table) == 8
    large = table[table["model"] == "Demo-large, seed 0"].set_index("method")
    assert large["seconds per example"].tolist() == [2, 2]
    assert large["seconds in all"].to_dict() == {"lime": 12, "shap": 8}  # lime again, and the twin by both
    assert table["skipped"].tolist() == [1] * 8
    assert table["passes per example"].tolist() == [45] * 8


def test_a_part_is_read_from_its_own_tables(run, shown):
    part = attribution.chosen(run, TASK, model=TINY, methods=["shap"], shard="1/2")
    assert [part.file(job) for job in part.jobs(TINY, 0)] == ["shap.shard-1-of-2"]


def test_faithfulness_by_model_and_method(run, shown, tmp_path):
    attribution.faithfulness(attribution.chosen(run, TASK, model=TINY))
    (table,) = (styled.data for styled in shown)
    values = table.set_index("method")["comprehensiveness"]
    assert values.to_dict() == pytest.approx({"lime": 0.5, "shap": 0.4, "random features": 0.45})
    other = made_up.make_run(tmp_path)
    other.path("attribution", TASK, TINY, 0, "faithfulness").unlink()
    attribution.faithfulness(attribution.chosen(other, TASK))
    assert shown[1].data.startswith("Measured when all examples are explained")


def test_texts_of_the_first_and_the_last_model(run, shown, monkeypatch):
    monkeypatch.setattr("trusteq.examples.load.load_examples", lambda *_, **__: made_up.EXAMPLES)
    attribution.examples(attribution.chosen(run, TASK))
    assert [text.data.count("tq-example") for text in shown] == [2] * 4
    assert "Demo-large, lime" in shown[0].data
    assert "Demo-tiny, shap" in shown[-1].data
    assert shown[0].data.count("outline") == 4  # the top two, k of the run, of two texts


def test_one_panel_a_model(run, shown):
    attribution.spread(attribution.chosen(run, TASK, seed=0))
    (figure,) = shown
    assert [ax.get_title() for ax in figure.axes] == ["Demo-large", "Demo-distilled", "Demo-tiny"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["lime", "shap", "edge of the top 2"]


def test_the_cost_of_attribution():
    explained = made_up.attribution([1, 2, 3, 4])
    explained.attrs |= {"skipped": {"test-9": "no word"}, "cut": {"test-1": 7}, "retokenised": 0, "passes": 90}
    expected = {"explained": 2, "skipped": 1, "cut": 1, "retokenised": 0}
    expected |= {"words_per_example": 4.0, "passes_per_example": 45.0, "seconds_per_example": 2.5}
    assert attribution.attribution_cost(explained, 5.0) == expected


def test_tables_on_disk_are_shown_as_tables_that_are_held(run, shown, monkeypatch):
    monkeypatch.setattr("trusteq.examples.load.load_examples", lambda *_, **__: made_up.EXAMPLES)

    def page():
        shown.clear()
        for part in (attribution.costs, attribution.examples, attribution.spread):
            part(attribution.chosen(run, TASK, seed=0))
        costs, *texts, figure = shown
        lines = [line.get_xydata().tolist() for ax in figure.axes for line in ax.get_lines()]
        return costs.data.to_dict(), [text.data for text in texts], lines

    held = page()
    for name, value in {"MOST_HELD": 0, "BLOCK": 1}.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(attribution, "examples", lambda of, n=1, show=attribution.examples: show(of, n))
    costs, texts, lines = page()
    assert costs == held[0]
    assert len(lines) == len(held[2]) and all(map(np.allclose, lines, held[2]))
    assert [text.count("tq-example") for text in texts] == [1] * 4  # of the first block there is one
    assert all(text.split("</p>")[1] in whole for text, whole in zip(texts, held[1], strict=True))


def test_the_share_of_each_rank_by_hand():
    gold = {"test-0": "entailment", "test-1": "neutral"}
    ax = attribution.weight_by_rank({"lime": made_up.attribution([4, -4, 2, 0])}, pd.Series(gold), k=2)
    mean = [(0.4 + 0.4) / 2, (0.4 + 0.3) / 2, (0.2 + 0.2) / 2, (0 + 0.1) / 2]
    assert ax.get_lines()[0].get_ydata()[:4] == pytest.approx(mean)

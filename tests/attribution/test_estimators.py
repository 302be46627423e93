"""The committed benchmark of estimators: what it promises, and that the present code still keeps to it."""

import importlib.util
import json
import math

import numpy as np
import pandas as pd
import pytest

from trusteq.project import root


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("estimators", root() / "benchmarks" / "estimators.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known(benchmark):
    return json.loads(benchmark.FILE.read_text(encoding="utf-8"))


def test_ours_is_the_best_on_games_that_nothing_was_chosen_by(benchmark, known):
    rows = pd.DataFrame(known["rows"]).query("row == 'all, held out'").set_index("passes")
    assert list(rows.index) == list(benchmark.BUDGETS)
    assert (rows["value"] <= 1).all() and (rows["high"] <= 1.05).all()
    assert len(known["games"]) >= 36 and sum(game["held_out"] for game in known["games"]) >= len(known["games"]) / 4


def test_intervals_cover_what_they_say_on_each_kind(benchmark, known):
    rows = pd.DataFrame(known["measured"]).query("estimator == 'shapley'")
    assert set(rows["kind"]) == set(benchmark.KINDS)
    assert rows.groupby("kind")["coverage"].mean().between(0.93, 0.97).all()


def test_the_rows_are_those_of_the_measured_games(benchmark, known):
    """One row by hand: mean log errors, the best rival of each game, the interval of Student's t."""
    from scipy.stats import ttest_1samp

    table = pd.DataFrame(known["measured"]).query("kind == 'SNLI' and budget == 1000")
    wide = table.pivot(index="game", columns="estimator", values="log_error")
    ratios = wide["shapley"] - wide[list(benchmark.RIVALS)].min(axis=1)
    bounds = ttest_1samp(ratios, 0).confidence_interval()
    (row,) = [row for row in known["rows"] if row["row"] == "SNLI" and row["passes"] == 1000]
    expected = np.exp([ratios.mean(), *bounds, wide["ProxySHAP"].mean()])
    assert [row[name] for name in ("value", "low", "high", "ProxySHAP")] == pytest.approx(expected)


def test_the_committed_tables_have_the_exact_values_and_the_code_is_still_as_good(benchmark, known, capsys):
    exact = {benchmark.name_of(game): np.array(game["exact"]) for game in known["games"]}
    held = np.load(benchmark.TABLES)
    assert len(known["checked"]) == 6 and sum("demo" in name for name in known["checked"]) == 2
    for name in known["checked"]:
        found = benchmark.exact(held[name] / 65535, int(math.log2(len(held[name]))))
        np.testing.assert_allclose(found, exact[name], rtol=0, atol=2e-5)
    assert benchmark.check() == 0
    assert "at most 1.05" in capsys.readouterr().out


def test_the_check_fails_where_ours_is_worse(benchmark, monkeypatch):
    found = benchmark.ours
    monkeypatch.setattr(benchmark, "ours", lambda *of, **how: (2 * found(*of, **how)[0], None, None))
    assert benchmark.check() == 1


def test_limes_limit_is_what_it_comes_to_at_many_samples(benchmark):
    """Averaged over a game that is not linear."""
    from trusteq.attribution.lime import lime

    n = 5
    masks = benchmark.all_masks(n)
    table = (masks @ np.arange(1, 6) / 20 + 0.2 * masks[:, 0] * masks[:, 1])[:, None]
    found, _ = benchmark.run(lime, table, n, budget=200_000, seed=0, name="limit")
    np.testing.assert_allclose(found[:, 1:], benchmark.lime_limit(table, n), rtol=0, atol=3e-3)

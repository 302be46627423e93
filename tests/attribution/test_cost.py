"""What explaining will cost, said before it starts."""

import pandas as pd
import pytest
import torch

from trusteq.attribution import cost
from trusteq.attribution.cost import Cost, estimate
from trusteq.attribution.explain import explain
from trusteq.errors import ExperimentError


class Counting:
    """A callable classifier that remembers how many texts each call asked about."""

    labels = ("no", "yes")

    def __init__(self):
        self.asked = []

    def __call__(self, firsts, seconds):
        self.asked += list(firsts)
        return [[0.5, 0.5]] * len(firsts)


def test_memory_is_that_of_the_gpu_that_the_model_is_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 100 + device.index)
    assert [cost.gpu_memory(torch.device(name)) for name in ("cuda:1", "cuda:0", "cpu")] == [101, 100, 0]


def table(n):
    return pd.DataFrame({"id": [f"x-{row}" for row in range(n)], "text_a": ["word " * (row + 1) for row in range(n)]})


def pairs(n):
    return table(n).assign(text_b=None)


def test_passes_are_examples_times_budget_and_memory_is_that_of_this_process():
    found = estimate(Counting(), pairs(5), method="lime", n_samples=40)
    assert (found.examples, found.passes, found.gpu_bytes) == (5, 200, 0)
    assert found.seconds > 0
    assert 1e7 < found.memory_bytes < 1e11


def test_the_line():
    line = str(Cost(examples=1200, passes=1_200_000, seconds=600, memory_bytes=1_234_000_000))
    assert line == "1,200 examples x 1,000 passes = 1,200,000 at most; about 10 min; memory so far 1,234 MB"
    assert str(Cost(1, 2, 7200, 10**6, 5 * 10**6)).endswith("about 2.0 h; memory so far 1 MB and 5 MB of the GPU")
    assert str(Cost(0, 0, 0.0, 10**6)).startswith("0 examples x 0 passes = 0 at most; about 0 s")


def test_seconds_are_those_of_the_probe_times_the_examples(monkeypatch):
    clock = iter([10.0, 16.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(cost, "explain", lambda *arguments, **options: None)
    assert estimate(Counting(), pairs(60)).seconds == 6 / 3 * 60


@pytest.mark.parametrize(
    ("n", "window", "expected"),
    [(0, 1, 0), (1, 1, 1), (30, 1, 1), (40, 1, 2), (1000, 1, 3), (30, 128, 1), (200, 128, 10), (1000, 128, 16)],
)
def test_the_probe_is_small_beside_the_run(n, window, expected):
    assert cost.probe_size(n, window=window) == expected


def test_the_probe_is_spread_by_length_and_nothing_else_is_explained():
    examples = pairs(60).sample(frac=1, random_state=0)
    assert list(cost.spread(examples, 3)["id"]) == ["x-10", "x-30", "x-50"]
    assert cost.spread(examples, 0).empty
    classifier = Counting()
    estimate(classifier, examples, method="occlusion")
    warm_up, n_words = 1 + 11, (11, 31, 51)
    assert len(classifier.asked) == warm_up + sum(1 + n for n in n_words)


def test_nothing_to_explain_costs_nothing():
    found = estimate(Counting(), pairs(0))
    assert (found.examples, found.passes, found.seconds) == (0, 0, 0)


def test_options_go_to_explain():
    with pytest.raises(ExperimentError, match="unknown method"):
        estimate(Counting(), pairs(3), method="lyme")
    classifier = Counting()
    estimate(classifier, pairs(3), method="occlusion", mask="[UNK]")
    assert any("[UNK]" in text for text in classifier.asked)


def test_progress_is_plain_text_on_the_error_stream(capsys):
    explain(Counting(), pairs(3), n_samples=4)
    assert capsys.readouterr() == ("", "")
    explain(Counting(), pairs(3), n_samples=4, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.isascii() and "lime: 100%" in err and "3/3" in err

"""Looks at a growing number of examples: what each may spend, which examples it has, and where it all ends."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from trusteq import estimates
from trusteq.estimates import TAIL
from trusteq.project import root
from trusteq.verdict.audit import explained
from trusteq.verdict.comparison import SIDES, Comparison, Side
from trusteq.verdict.kept import Kept
from trusteq.verdict.margins import UNDECIDED
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.sequential import blocks, looks, spent, tails, until_decided

FIFTHS = np.arange(1, 6) / 5
LABELS = ("no", "yes")
WORDS = [f"w{number}" for number in range(16)]
SETTINGS = {"method": "lime", "n_samples": 20, "seed": 5}


class Linear:
    """Two classes, the logit of the second a weighted count of words."""

    labels = LABELS

    def __init__(self, weights):
        self.weights = dict(zip(WORDS, weights, strict=True))

    def __call__(self, text_a, text_b=None):
        texts = zip(text_a, text_b or [""] * len(text_a), strict=True)
        logits = np.array([sum(self.weights.get(word, 0) for word in " ".join(pair).split()) for pair in texts])
        yes = 1 / (1 + np.exp(-logits))
        return np.column_stack([1 - yes, yes])


WEIGHTS = np.linspace(2, 0.1, 16) * np.where(np.arange(16) % 2, -1, 1)
MODELS = Linear(WEIGHTS), Linear(WEIGHTS[::-1])


def pairs(sizes, *, seed=0):
    """Examples with so many second texts for each first one, in an order that mixes them; one has no words."""
    rng = np.random.default_rng(seed)
    first = [text for size, text in zip(sizes, texts(len(sizes), rng), strict=True) for _ in range(size)]
    table = pd.DataFrame({"text_a": first, "text_b": texts(len(first), rng), "label": rng.integers(2, size=len(first))})
    table = table.sample(frac=1, random_state=seed)
    return table.assign(id=[f"test-{number}" for number in range(len(table))]).reset_index(drop=True)


def texts(n, rng):
    return [" ".join(rng.permutation(WORDS)[:6]) for _ in range(n)]


def explained_by(models, block, **options):
    said = Predictions(LABELS, np.full((len(block), 2), 0.5), block["label"].to_numpy(), block["id"].to_numpy())
    sides = [(side, side, of, block, said) for side, of in zip(SIDES, models, strict=True)]
    wanted = [Kept().explanations(*side, **SETTINGS | options) for side in sides]
    return [explained(of, block, k=3, labels=LABELS, kept=Kept()) for of in wanted]


def explain(block):
    return explained_by(MODELS, block)


def never(large, compressed, alpha):
    return UNDECIDED


def test_spending_starts_at_nothing_and_ends_at_alpha():
    assert spent(1e-9) == 0
    assert spent(1.0) == pytest.approx(TAIL)
    assert spent([0.3, 1.0], alpha=0.1)[1] == pytest.approx(0.1)
    # By another road than the code's: the survival function.
    assert spent(FIFTHS) == pytest.approx(2 * norm.sf(norm.isf(TAIL / 2) / np.sqrt(FIFTHS)), rel=1e-9)
    assert np.diff(spent(FIFTHS), prepend=0).sum() == pytest.approx(TAIL)


def test_borders_are_those_of_lan_and_demets():
    """z at five looks of two-sided 5%, as Reboussin, DeMets, Kim and Lan (2000) and every program since print them."""
    assert norm.isf(tails(FIFTHS)) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


@pytest.mark.parametrize("fractions", [[1.0], [0.5, 1.0], [0.21, 0.22, 0.9, 1.0], [0.3, 0.75, 1.0]])
def test_by_each_look_as_much_has_missed_as_may_be_spent(fractions):
    """Against scipy's integral of the joint normal distribution of the statistics at all looks."""
    levels, (early, late) = norm.isf(tails(fractions, alpha=0.1)), np.meshgrid(fractions, fractions)
    correlation = np.sqrt(np.minimum(early, late) / np.maximum(early, late))
    for n in range(1, len(fractions) + 1):
        inside = multivariate_normal(cov=correlation[:n, :n], seed=0).cdf(levels[:n])
        assert 1 - inside == pytest.approx(spent(fractions[n - 1], alpha=0.1), abs=2e-5), n


@pytest.mark.parametrize("budget", [1, 2, 4, 5, 7, 60, 1001])
def test_looks_are_in_equal_steps_up_to_the_budget(budget):
    found = looks(budget)
    assert found[-1] == budget and len(found) == min(budget, 5)
    assert found == sorted({int(np.ceil(round(budget * share, 9))) for share in FIFTHS})
    assert looks(budget, 1) == [budget]


@pytest.mark.parametrize("sizes", [[3, 1, 2, 5, 1, 1, 4, 2, 2, 9], [1] * 30, [30], [28, 1, 1]])
def test_no_text_is_in_two_blocks_and_no_example_is_lost(sizes):
    examples = pairs(sizes)
    at = looks(len(examples))
    found = blocks(examples, at=at, seed=3)
    assert sorted(np.concatenate(found)) == list(range(len(examples)))
    of_blocks = [set(examples["text_a"].iloc[rows]) for rows in found]
    assert sum(map(len, of_blocks)) == len(sizes)
    stops = np.cumsum(list(map(len, found)))
    for number in at:  # with the text in which it is reached, and no more
        stop = stops[np.searchsorted(stops, number)]
        assert number <= stop < number + max(sizes)


def test_the_order_depends_on_the_seed_and_not_on_the_rows():
    examples, others = pairs([2, 3, 1] * 10), pairs([2, 3, 1] * 10).sample(frac=1, random_state=9)

    def texts_of(table, seed):
        return [set(table["text_a"].iloc[rows]) for rows in blocks(table, at=looks(len(table)), seed=seed)]

    assert texts_of(examples, 0) == texts_of(others, 0)
    assert texts_of(examples, 0) != texts_of(examples, 1)


def test_blocks_are_explained_as_if_at_once():
    """One first text without a word among them, and one block with no two examples of one text."""
    examples = pairs([1, 3, 2, 1, 1, 2])
    examples.loc[0, ["text_a", "text_b"]] = "?", "!"
    parts = []

    def seen(block):
        parts.append(block)
        return explain(block)

    found = until_decided(examples, seen, never, seed=1)
    assert len(parts) > 2
    whole = pd.concat(parts)
    for joined, side in zip(found.sides, explain(whole), strict=True):
        for ours, theirs in ((joined.first, side.first), (joined.again, side.again)):
            pd.testing.assert_frame_equal(ours.attributions, theirs.attributions)
            assert ours.attributions.attrs == theirs.attributions.attrs
            pd.testing.assert_series_equal(ours.label, theirs.label)
        assert joined.clusters.to_dict() == side.clusters.to_dict()
        assert "test-0" in joined.first.attributions.attrs["skipped"] and "test-0" not in joined.clusters
    sequence, at_once = (
        Comparison(*(Side(name, explained=of) for name, of in zip("ab", sides, strict=True))).alignment
        for sides in (found.sides, explain(examples))
    )
    assert (sequence.mean, sequence.ceiling) == (at_once.mean, at_once.ceiling)
    by_id = sequence.table.set_index("id").loc[at_once.table["id"]].reset_index()
    pd.testing.assert_frame_equal(by_id, at_once.table)


def undrawn(block, models=MODELS):
    return explained_by(models, block, method="occlusion")


def test_texts_of_their_own_make_no_clusters_and_a_method_without_draws_no_second_table():
    found = until_decided(pairs([1] * 10), undrawn, never)
    for side in found.sides:
        assert side.again is None and side.clusters is None
        assert len(side.first.label) == side.first.attributions["id"].nunique() == 10


def test_a_model_and_itself_are_the_same_as_soon_as_what_was_not_seen_is_rare_enough():
    """Their loss is 0 in every example: what n examples miss in alpha of samples, against the room, says when."""

    def loss(large, compressed, alpha):
        table = large.align(large.first, compressed.first).table
        found = estimates.ratio(1 - table["jaccard"], 1 - table["chance"])
        return "equivalent" if found.bounds(alpha)[1] <= 0.25 else UNDECIDED

    examples = pairs([1] * 80)
    found = until_decided(examples, lambda block: undrawn(block, (MODELS[0], MODELS[0])), loss)
    chance = found.sides[0].align(*[side.first for side in found.sides]).table["chance"]
    missed = 1 - np.array(tails(FIFTHS)) ** (1 / found.looks["examples"])
    wanted = int(np.argmax(missed <= 0.25 * (1 - chance.mean())))
    assert 0 < wanted < 4
    assert found.looks["outcome"].notna().sum() == wanted + 1
    assert found.looks["outcome"][wanted] == "equivalent"


def test_the_first_look_that_decides_is_the_last():
    examples, asked = pairs([2] * 30), []

    def at_the_third(large, compressed, alpha):
        asked.append((len(large.first.label), len(compressed.first.label), alpha))
        return "equivalent" if len(asked) == 3 else UNDECIDED

    found = until_decided(examples, explain, at_the_third, seed=2)
    assert [row[0] for row in asked] == [row[1] for row in asked] == [12, 24, 36]
    assert [row[2] for row in asked] == tails(FIFTHS)[:3]
    assert found.alpha == tails(FIFTHS)[2]
    assert len(found.sides[0].first.label) == 36
    assert found.looks["examples"].tolist() == [12, 24, 36, 48, 60]  # fixed beforehand
    assert found.looks["outcome"].tolist()[:3] == [UNDECIDED, UNDECIDED, "equivalent"]
    assert found.looks["outcome"].isna().sum() == 2
    assert found.looks["spent"].tolist() == pytest.approx(spent(FIFTHS).tolist())
    assert "look 3 of 5" in found.note and "36 of at most 60" in found.note and "0.0038 of 0.025" in found.note


def test_without_a_decision_it_ends_with_the_budget():
    examples = pairs([1] * 7)
    found = until_decided(examples, explain, never)
    assert found.looks["outcome"].tolist() == [UNDECIDED] * 5
    assert set(found.sides[0].first.label.index) == set(examples["id"])
    assert "look 5 of 5" in found.note and "0.025 of 0.025" in found.note
    one = until_decided(examples, explain, never, n_looks=1)
    assert one.alpha == pytest.approx(TAIL)  # one look is no sequence


def test_nothing_is_asked_before_a_word_is_explained():
    examples = pairs([1] * 6).assign(text_a=[f"{'?' * number}" for number in range(1, 7)], text_b=None)
    last = blocks(examples, at=looks(6), seed=0)[-1][-1]
    examples.loc[last, "text_a"] += " w1 w2 w3 w4"  # which keeps its place among the texts
    asked = []
    found = until_decided(examples, explain, lambda large, *_: asked.append(len(large.first.label)) or "equivalent")
    assert asked == [1]
    assert len(found.sides[0].first.attributions.attrs["skipped"]) == 5


def test_the_committed_simulation_keeps_what_is_promised():
    table = pd.DataFrame(json.loads((root() / "benchmarks" / "sequential.json").read_text(encoding="utf-8"))["rows"])
    assert table["holds"].all()
    at_margin = table[np.isclose(table["loss"], table["margin"], atol=1e-3)]
    assert set(at_margin["clusters"]) == {True, False} and set(at_margin["budget"]) == {60, 200, 1000}
    assert (at_margin[["equivalent", "not-equivalent"]] <= 0.035).to_numpy().all()
    assert (table["coverage"] >= 0.93).all()
    far = table[table["world"].isin(["same model", "twice the margin"]) & (table["budget"] == 1000)]
    assert (far["median_examples"] < 500).all() and (far["decided"] == 1).all()

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson: calibration
#
# *Ten to fifteen minutes. You need averages and a little Python. Afterwards you can compute a calibration error by
# hand, and you know when not to believe one.*
#
# Two models can be right equally often and still not deserve the same trust: one knows when it may be wrong, the
# other is always sure. Calibration is about that difference. Every number below comes from this book's own run.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from trusteq.calibration import reliability_table, scores
from trusteq.calibration.bins import assign_bins
from trusteq.calibration.intervals import null_bands
from trusteq.pages.figures import colours, reliability_diagram
from trusteq.pages.show import open_page, show, titles

# %%
run = open_page(experiment, results)
seed = run.experiment.seeds[0]
task = next(iter(run.experiment.tasks))
large, small = run.experiment.large, list(run.experiment.models)[-1]
titles, colours = titles(run), colours(run.experiment.models)

# %% [markdown]
# ## What confidence is
#
# For each example a classifier returns one probability per class. The class with the largest probability is its
# *prediction*, and that largest probability is its *confidence*. Here are the first five test examples of the large
# model.

# %%
labels = list(run.experiment.task(task).labels)
predictions = {name: run.predictions(task, name, seed) for name in (large, small)}
p, y = predictions[large][labels].to_numpy(), predictions[large]["label"].to_numpy()
confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
first = pd.DataFrame(p, columns=labels).assign(confidence=confidence)
first = first.assign(prediction=np.take(labels, p.argmax(axis=1)), label=np.take(labels, y))
show(first.head(5), caption=f"{titles[large]} on {task}")

# %% [markdown]
# A model is *calibrated* if its confidence can be taken at its word: of all predictions made with confidence 0.8,
# eight in ten are right. The coarsest check compares two averages.

# %% tags=["hide-input"]
gap = correct.mean() - confidence.mean()
verdict = "less often right than it is sure: **overconfident**"
verdict = verdict if gap < 0 else "at least as often right as it is sure"
Markdown(
    f"Over {len(y)} examples {titles[large]} is right in {correct.mean():.3f} of the cases, with a mean confidence of "
    f"{confidence.mean():.3f}. On the whole it is {verdict} (by {abs(gap):.3f})."
)

# %% [markdown]
# ## One bin by hand
#
# Averages over everything can hide a lot, so predictions of similar confidence are put into a *bin*: here ten bins of
# equal width. Let us look into the fullest one: how many of its predictions are right, and how sure were they?

# %%
edges, bins = assign_bins(confidence)
fullest = np.bincount(bins).argmax()
sure, right = confidence[bins == fullest], correct[bins == fullest]
one_bin = {"count": len(sure), "right": right.sum()}
one_bin |= {"accuracy": right.mean(), "confidence": sure.mean()}
one_bin |= {"gap": right.mean() - sure.mean()}
title = f"{titles[large]}, confidence {edges[fullest]:.1f} to {edges[fullest + 1]:.1f}"
show(pd.DataFrame([one_bin]), caption=title)

# %% [markdown]
# The gap is accuracy minus confidence: negative in an overconfident bin, positive in an underconfident one. Its
# absolute value is the *calibration error of the bin*.
#
# ```{exercise} One bin
# :label: cal-bin
# A model says 90% on 100 examples and is right on 70 of them. What is this bin's calibration error? Is the model
# over- or underconfident there?
# ```
#
# ```{solution} cal-bin
# :class: dropdown
# Confidence 0.90, accuracy 70 / 100 = 0.70, so the gap is 0.70 − 0.90 = −0.20. The calibration error of the bin is
# **0.20**, and the model is **overconfident**: it promises more than it keeps.
# ```
#
# ## From bins to the ECE
#
# The *expected calibration error* (ECE) averages the bins' errors, each weighted by its share of the predictions:
#
# $$
# \mathrm{ECE} = \sum_{b} \frac{n_b}{n} \, \bigl|\,\mathrm{accuracy}_b - \mathrm{confidence}_b\,\bigr| .
# $$
#
# Read the tables from left to right: share times absolute gap is what the bin adds, and `so far` is the sum down to
# it. Empty bins add nothing and are left out.

# %%
steps = {}
for name in (large, small):
    table = reliability_table(predictions[name][labels], predictions[name]["label"])
    table["adds"] = table["share"] * table["gap"].abs()
    table["so_far"] = table["adds"].cumsum()
    steps[name] = table[table["count"] > 0]
    edged = {"lower": "{:.1f}", "upper": "{:.1f}"}
    display(show(steps[name], digits=4, formats=edged, caption=titles[name]))

# %%
ece, mce = {}, {}
for name, rows in steps.items():
    found = scores(predictions[name][labels], predictions[name]["label"])
    ece[name], mce[name] = found["ece"], found["mce"]
    assert np.isclose(ece[name], rows["so_far"].iloc[-1])
ece_table = pd.DataFrame({"model": ece.keys(), "ece": ece.values()}).replace({"model": titles})
show(ece_table, digits=4)

# %% [markdown]
# The last entries of `so far` are the two ECEs: the same as `scores` computes.
#
# ## The same as a picture
#
# A *reliability diagram* draws each bin's accuracy over its confidence. On the dashed diagonal the two are equal. The
# area of a dot is the bin's share of the predictions.

# %%
axes = plt.subplots(1, 2, figsize=(7.5, 3.8), sharey=True)[1]
for ax, (name, rows) in zip(axes, steps.items(), strict=True):
    reliability_diagram(rows, ax, color=colours[name], title=titles[name])
    ax.label_outer()

# %% tags=["hide-input"]
for name, rows in steps.items():
    over = rows[rows["gap"] < 0]
    sentence = (
        f"- {titles[name]}: {len(over)} of {len(rows)} filled bins lie below the diagonal, with "
        f"{over['share'].sum():.0%} of the predictions."
    )
    display(Markdown(sentence))

# %% [markdown]
# Below the diagonal a model is overconfident. Look at the dots first: a large one near the diagonal can count for
# more than a tiny one far from it.
#
# ```{exercise} Two wrongs
# :label: cal-cancel
# Half of a model's predictions have confidence 0.6 and accuracy 0.8, the other half confidence 0.9 and accuracy 0.7.
# Compare mean confidence with accuracy, then compute the ECE. What did the comparison of averages miss?
# ```
#
# ```{solution} cal-cancel
# :class: dropdown
# Both averages are 0.75, so on the whole the model looks perfect. But the ECE is 0.5 · 0.2 + 0.5 · 0.2 = 0.20: it is
# too shy in one bin and too sure in the other, and the errors cancel only in the averages. Absolute values do not
# cancel.
# ```
#
# ## The worst bin
#
# The *maximum calibration error* (MCE) is the largest absolute gap of any bin, however few predictions are in it.

# %% tags=["hide-input"]
for name, rows in steps.items():
    worst = rows.loc[rows["gap"].abs().idxmax()]
    sentence = (
        f"- {titles[name]}: MCE {mce[name]:.3f}, in bin {worst['lower']:.1f} to {worst['upper']:.1f} "
        f"with {worst['count']:.0f} predictions. One more right answer moves its accuracy by {1 / worst['count']:.3f}."
    )
    display(Markdown(sentence))

# %% [markdown]
# This is why the MCE jumps: a bin of four predictions has an accuracy of 0, 0.25, 0.5, 0.75 or 1, whatever the model
# is like. The more bins, the fewer predictions in each:

# %%
counts = (2, 5, 10, 20, 50, 100)
rows = [{"bins": n} | scores(p, y, n_bins=n) for n in counts]
show(pd.DataFrame(rows)[["bins", "ece", "mce"]], caption=titles[large])

# %% [markdown]
# ```{exercise} How many bins?
# :label: cal-bins
# Nothing about the model changes from row to row. Why does the MCE tend to grow with the number of bins? Replace the
# bins by `binning="equal-mass"`, which puts equally many predictions into each: what happens to the MCE, and why?
# ```
#
# ```{solution} cal-bins
# :class: dropdown
# Narrow bins hold few predictions, so their accuracies are noisy, and the maximum picks the noisiest. With bins of
# equal mass, `scores(p, y, n_bins=n, binning="equal-mass")`, no bin is nearly empty, so at ten bins no handful of
# predictions decides the MCE; at a hundred bins all of them are small and noisy. A calibration error without its
# binning is half a number: this book always uses ten bins of equal width, as the paper does.
# ```
#
# ## Two scores without bins
#
# The *Brier score* is the squared distance between the probabilities and the truth (1 for the label, 0 for all
# others); the *negative log-likelihood* (NLL) is minus the logarithm of the label's probability. Three predictions by
# hand, all of them with the first class as label: sure and right, unsure and right, sure and wrong.

# %%
three = np.array([[0.90, 0.05, 0.05], [0.50, 0.30, 0.20], [0.05, 0.90, 0.05]])
truth = np.array([1, 0, 0])
by_hand = pd.DataFrame(three, columns=["p_label", "p_second", "p_third"])
by_hand["brier"] = ((three - truth) ** 2).sum(axis=1)
by_hand["nll"] = -np.log(three[:, 0])
show(by_hand, caption="Probabilities of the label and two other classes")

# %% tags=["hide-input"]
three_scores = scores(three, np.zeros(3, dtype=int))
ratio = by_hand[["brier", "nll"]].iloc[2] / by_hand[["brier", "nll"]].iloc[0]
Markdown(
    f"The means are {three_scores['brier']:.3f} (Brier) and {three_scores['nll']:.3f} nats (NLL). Being sure and wrong "
    f"costs {ratio['brier']:.0f} times as much as being sure and right in the Brier score, {ratio['nll']:.0f} times in "
    "the NLL."
)

# %% [markdown]
# Lower is better for both. The Brier score of one prediction is at most 2, while the NLL has no limit. Both mix
# calibration with accuracy, so they do not say which of the two is to blame.
#
# ```{exercise} Never wrong to be vague?
# :label: cal-vague
# A model answers every example of a balanced three-class task with 1/3, 1/3, 1/3. What are its accuracy, ECE, Brier
# score and NLL? Would you use it?
# ```
#
# ```{solution} cal-vague
# :class: dropdown
# Accuracy 1/3 and confidence 1/3, so the **ECE is 0**. Brier: (2/3)² + (1/3)² + (1/3)² = 2/3. NLL: log 3 ≈ 1.10 nats.
# It is perfectly calibrated and perfectly useless: a low ECE is worth something only beside a good accuracy.
# ```
#
# ## How much ECE is just chance?
#
# Imagine a model with exactly the confidences of ours, but calibrated by construction: we *draw* each label from the
# model's own probabilities. Its true calibration error is 0. What does the ECE say about it?

# %%
null = {}
for name in (large, small):
    drawn = predictions[name][labels].to_numpy()
    rng = np.random.default_rng(seed)
    sums = drawn.cumsum(axis=1)[:, :-1]  # where one class ends and the next begins
    fakes = [(rng.random((len(drawn), 1)) > sums).sum(axis=1) for _ in range(300)]
    right = np.array(fakes) == drawn.argmax(axis=1)
    sure, bins = drawn.max(axis=1), assign_bins(drawn.max(axis=1))[1]
    gaps = [np.bincount(bins, found - sure) for found in right]
    null[name] = np.array([np.abs(gap).sum() / len(sure) for gap in gaps])

# %% [markdown]
# The last two lines are the ECE once more: the sum of "right or not, minus confidence" over a bin is its count times
# its gap, so the counts cancel.

# %%
axes = plt.subplots(1, 2, figsize=(7.5, 3), sharey=True, sharex=True)[1]
for ax, (name, values) in zip(axes, null.items(), strict=True):
    ax.hist(values, bins=20, color=colours[name], alpha=0.6)
    ax.axvline(ece[name], color="0.2", label="ECE of this run")
    ax.set(title=titles[name], xlabel="ECE of the simulated sets", xlim=(0, None))
axes[0].set_ylabel("simulated test sets")
line = axes[0].get_legend_handles_labels()
axes[0].figure.legend(*line, loc="outside upper center");

# %% tags=["hide-input"]
for name, values in null.items():
    edge = np.quantile(values, 0.95)
    likely = ece[name] <= edge
    says = "which chance alone can bring about" if likely else "so chance alone hardly explains it"
    sentence = (
        f"- {titles[name]}: a calibrated model with its confidences has an ECE of {values.mean():.4f} on average over "
        f"{len(y)} examples, and in 95% of the simulations at most {edge:.4f}. Measured: {ece[name]:.4f}, {says}."
    )
    display(Markdown(sentence))

# %% [markdown]
# The model is calibrated, yet its ECE is above 0 on average, because absolute gaps cannot cancel. Before two ECEs are
# compared, ask what chance alone makes of each: here it is a property of the number of examples and of the
# confidences.
#
# `null_bands` does the same for every score, with 1,000 draws. Its *null band* is what 95% of them lie in; the chapter
# on calibration shows it beside each model's ECE.

# %%
bands = []
for name in null:
    band = null_bands(predictions[name][labels].to_numpy())
    bands.append(band[band["score"] == "ece"].assign(model=titles[name]))
show(pd.concat(bands)[["model", "expected", "low", "high"]], digits=4)

# %% [markdown]
# ```{exercise} A smaller test set
# :label: cal-size
# Repeat the simulation with the first quarter of the examples. Guess first: by which factor will the chance level
# change?
# ```
#
# ```{solution-start} cal-size
# :class: dropdown
# ```
# It should roughly double: the noise of an accuracy falls with the square root of the number of examples.

# %%
quarter = p[: len(p) // 4]
rng = np.random.default_rng(seed)
sums = quarter.cumsum(axis=1)[:, :-1]
fakes = [(rng.random((len(quarter), 1)) > sums).sum(axis=1) for _ in range(300)]
right = np.array(fakes) == quarter.argmax(axis=1)
sure, bins = quarter.max(axis=1), assign_bins(quarter.max(axis=1))[1]
level = np.mean([np.abs(np.bincount(bins, found - sure)).sum() / len(sure) for found in right])
levels = {"examples": [len(quarter), len(p)], "mean_ece": [level, null[large].mean()]}
show(pd.DataFrame(levels), digits=4)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## What to take home
#
# - Confidence promises an accuracy; a gap is a broken promise, in either direction.
# - The ECE weighs gaps by how often they occur; the MCE takes the worst, however rare.
# - Brier score and NLL need no bins, but mix calibration with accuracy.
# - An ECE means little without the number of examples, the binning and its chance level.

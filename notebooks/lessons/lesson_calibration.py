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
# # Lesson: calibration by hand
#
# *30 minutes. You need averages and a little Python.*
#
# **Afterwards you can** say what a model's confidence promises, compute its expected calibration error (ECE) by hand,
# and tell an ECE that means something from one that luck can bring about.
#
# Two models can be right equally often and still not deserve the same trust: one knows when it may be wrong, the
# other is always sure. Every number below comes from published results: real models, answering pairs of sentences.
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
published = "snli-minilm"  # a folder of data/published, or a path
large_name = "minilm"  # two models of it
small_name = "scratch-tiny"

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import trusteq
from trusteq.calibration import reliability_table, scores
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.pages.figures import reliability_diagram
from trusteq.pages.show import page_style, put, show

page_style()

# %% [markdown]
# ## What confidence is
#
# For each example a classifier returns one probability for each class. The class with the largest one is its
# *prediction*, and that largest probability is its *confidence*. Here are the first answers of the small model.
# `label` is the number of the right class, counted from 0.

# %%
table = trusteq.load_published(published)["predictions"]
table = table.query("part == 'test' and seed == seed.iloc[0] and task == task.iloc[0]").dropna(axis="columns")
classes = [column for column in table if column not in ("task", "model", "seed", "part", "id", "label")]
large, small = (table[table["model"] == name] for name in (large_name, small_name))
p, y = small[classes].to_numpy(), small["label"].to_numpy()
show(small[["label", *classes]].head(5), caption=f"{small_name}, {len(y)} examples")

# %% [markdown]
# ```{exercise} Confidence
# :label: cal-confidence
# Make the confidence of every prediction from `p`, the table of probabilities, which has a row for each example and a
# column for each class.
# ```

# %% tags=["solution"]
confidence = p.max(axis=1)

# %%
check("cal-confidence", confidence, p, y)

# %%
sure, right = right_answer("cal-confidence", p, y), p.argmax(axis=1) == y
put(f"On average this model is {sure.mean():.1%} sure, and right in {right.mean():.1%} of {len(y)} cases.")

# %% [markdown]
# A model is *calibrated* if its confidence can be taken at its word: of all predictions made with confidence 0.8,
# eight in ten are right.

# %% tags=["remove-input"]
quiz("seventy")

# %% [markdown]
# ## One bin
#
# An average over everything hides a lot. So predictions of similar confidence are put into a *bin*: ten bins of equal
# width, from 0 to 1. A bin holds its upper edge and not its lower one.

# %%
low, high = 0.6, 0.7
inside = (sure > low) & (sure <= high)
put(f"Between {low} and {high}: {inside.sum()} predictions, of which {right[inside].sum()} are right.")

# %% [markdown]
# ```{exercise} One bin
# :label: cal-gap
# The *gap* of a bin is its accuracy less its mean confidence. What is the gap of this one? You have `sure`, the
# confidences, `right`, whether each prediction is right, and `inside`, whether it is in the bin.
# ```

# %% tags=["solution"]
gap = right[inside].mean() - sure[inside].mean()

# %%
check("cal-gap", gap, sure, right, low, high)

# %% [markdown]
# A negative gap means *overconfident*: the model promises more than it keeps. A positive one means *underconfident*.
#
# ## From bins to the ECE
#
# The *expected calibration error* averages the bins' gaps, without their signs, each weighted by its share of the
# predictions:
#
# $$
# \mathrm{ECE} = \sum_{b} \frac{n_b}{n} \, \bigl|\,\mathrm{accuracy}_b - \mathrm{confidence}_b\,\bigr| .
# $$

# %%
bins = reliability_table(p, y)
show(bins, formats={"lower": "{:.1f}", "upper": "{:.1f}"}, caption=small_name)

# %% [markdown]
# ```{exercise} The ECE
# :label: cal-ece
# Compute the ECE from the columns of `bins`. Empty bins have no gap (`nan`), and pandas leaves them out of a sum.
# ```

# %% tags=["solution"]
ece = (bins["share"] * bins["gap"].abs()).sum()

# %%
check("cal-ece", ece, bins)

# %% [markdown]
# The same as a picture. A *reliability diagram* draws each bin's accuracy over its confidence; on the dashed diagonal
# the two are equal, and below it the model is overconfident. The area of a dot is the bin's share.

# %% tags=["remove-input"]
axes = plt.subplots(1, 2, figsize=(7.5, 3.8), sharey=True)[1]
for ax, (name, of) in zip(axes, {large_name: large, small_name: small}.items(), strict=True):
    found = reliability_table(of[classes], of["label"])
    under = ((found["gap"] < 0) * found["share"]).sum()
    reliability_diagram(found, ax, title=f"{name}: {under:.0%} below the diagonal")
    ax.label_outer()
put(axes[0])

# %% [markdown]
# Look at the large dots first: one near the diagonal counts for more than a tiny one far from it. The maximum
# calibration error (MCE) does not care: it is the largest gap of any bin, however few predictions are in it.

# %% tags=["remove-input"]
quiz("cancel")

# %% tags=["remove-input"]
quiz("worst-bin")

# %% [markdown]
# ```{exercise} How many bins?
# :label: cal-bins
# The cell below shows one model, with the same predictions in more and more bins. Why does the MCE tend to grow with
# their number?
# ```

# %%
rows = [{"bins": n} | scores(p, y, n_bins=n) for n in (2, 5, 10, 20, 50, 100)]
show(pd.DataFrame(rows)[["bins", "ece", "mce"]], caption=small_name)

# %% [markdown] tags=["solution"]
# ```{solution} cal-bins
# :class: dropdown
# Narrow bins hold few predictions, so their accuracies are noisy, and the maximum picks the noisiest. A calibration
# error without its binning is half a number.
# ```

# %% [markdown]
# ## How much of an ECE is luck?
#
# Take few examples, as one often has. Of the large model, the first 500:

# %%
few = large.head(500)
q = few[classes].to_numpy()
measured, on_all = scores(q, few["label"])["ece"], scores(large[classes], large["label"])["ece"]
put(f"ECE of {large_name}: {measured:.4f} on {len(q)} examples, and {on_all:.4f} on all {len(large)} of them.")

# %% [markdown]
# The model is the same. To see what luck does, imagine one that is calibrated for certain: keep its confidences, and
# *draw* whether each prediction is right, with the confidence as the probability. Its true calibration error is 0.
# Here are 1,000 such draws, and the ECE of each.

# %%
rng = np.random.default_rng(0)
said = q.max(axis=1)  # the confidences of the large model
place = np.ceil(said * 10).astype(int) - 1  # the bin of each prediction
drawn = []
for _ in range(1000):
    lucky = rng.random(len(said)) < said
    drawn.append(np.abs(np.bincount(place, lucky - said)).sum() / len(said))
drawn = np.array(drawn)

# %% [markdown]
# The last line is the ECE once more: the sum of "right or not, less the confidence" over a bin is its count times its
# gap, so the counts cancel.

# %% tags=["remove-input"]
ax = plt.figure(figsize=(7, 3)).gca()
ax.hist(drawn, bins=30, color="0.7")
ax.axvline(measured, color="black", label=f"measured, {large_name}")
ax.set(xlabel=f"ECE of a calibrated model, {len(q)} examples", ylabel="draws", xlim=(0, None))
ax.set_title(f"Luck alone makes an ECE of {drawn.min():.3f} to {drawn.max():.3f}")
ax.legend()
put(ax)

# %% [markdown]
# No draw has an ECE of 0: gaps without their signs cannot cancel.
#
# ```{exercise} Luck
# :label: cal-luck
# In which share of the draws is the ECE at least as large as the one that was measured? You have `drawn` and
# `measured`.
# ```

# %% tags=["solution"]
share = (drawn >= measured).mean()

# %%
check("cal-luck", share, drawn, measured)

# %%
share = right_answer("cal-luck", drawn, measured)
unusual = share < 0.05
says = "so luck alone hardly explains it" if unusual else "so luck alone can bring it about: it shows no miscalibration"
put(f"{share:.1%} of the calibrated draws have as large an ECE, {says}.")

# %% tags=["remove-input"]
quiz("two-eces")

# %% tags=["remove-input"]
quiz("vague")

# %% [markdown]
# ## What to take home
#
# - Confidence promises an accuracy; a gap is a broken promise, in either direction.
# - The ECE weighs gaps by how often they occur; the MCE takes the worst, however rare.
# - An ECE means little without the number of examples, the binning and what luck would give.
# - A low ECE is worth something only beside a good accuracy.

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
# # Lesson: equivalence is not “no difference”
#
# *40 minutes. You need means, standard deviations and a little Python.*
#
# **Afterwards you can** compute the interval of a paired difference, decide by a margin, and say why p > 0.05 shows
# nothing.
#
# "We found no significant difference, so the small model is as good." That sentence is wrong, and it is in many
# papers. This lesson shows what to do instead.
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
published = "snli-minilm"  # a folder of data/published, or a path
large_name = "minilm"  # two models of it
small_name = "minilm-3-layers"
margin = 0.02  # what counts as the same accuracy

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import binomtest

import trusteq
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.pages.show import page_style, put, show

page_style()

# %% [markdown]
# ## Two models, the same examples
#
# `large` and `small` say of every test example whether the model is right.

# %%
table = trusteq.load_published(published)["predictions"]
table = table.query("part == 'test' and seed == seed.iloc[0] and task == task.iloc[0]").dropna(axis="columns")
classes = [column for column in table if column not in ("task", "model", "seed", "part", "id", "label")]
both = [table[table["model"] == name] for name in (large_name, small_name)]
large, small = (of[classes].to_numpy().argmax(axis=1) == of["label"].to_numpy() for of in both)
put(f"{large_name}: {large.mean():.4f}. {small_name}: {small.mean():.4f}. {len(large)} examples.")

# %% [markdown]
# ## A small test finds nothing
#
# Take the first 200 examples, as a small study would. A sign test (McNemar's) asks: of the examples on which just one
# of the models is right, is it as often the one as the other? Its p-value is the probability that luck alone would
# bring about at least so uneven a split, if both models were right equally often.

# %%
of_large, of_small = large[:200], small[:200]
lost, won = (of_large & ~of_small).sum(), (~of_large & of_small).sum()
p_value = binomtest(int(won), int(won + lost)).pvalue
put(f"Right and then wrong: {lost}. Wrong and then right: {won}. p = {p_value:.2f}.")

# %% tags=["remove-input"]
quiz("p-value")

# %% [markdown]
# ## The interval of a paired difference
#
# An interval says more: which differences are compatible with what was seen. For each example take
# `small - large`: −1, 0 or +1. The mean of these is the difference in accuracy, and its 95% interval is
#
# $$
# \bar d \pm 1.96 \, \frac{\mathrm{sd}(d)}{\sqrt n} .
# $$
#
# ```{exercise} The interval
# :label: eq-paired
# Compute both ends of the interval for the first 200 examples, as a list `[low, high]`. `of_small.astype(float)` turns
# yes and no into 1 and 0.
# ```

# %% tags=["solution"]
d = of_small.astype(float) - of_large
half = 1.96 * d.std() / np.sqrt(len(d))
interval = [d.mean() - half, d.mean() + half]

# %%
check("eq-paired", interval, of_large, of_small)

# %%
low, high = right_answer("eq-paired", of_large, of_small)
put(f"From {low:+.3f} to {high:+.3f}: {'0 is inside' if low <= 0 <= high else '0 is outside'}. The margin: {margin}.")

# %% [markdown]
# ## Decide by a margin
#
# First say what counts as the same, *before* looking: the margin, here two points of accuracy. Then see where the
# whole interval lies:
#
# - within −margin to +margin: `equivalent`
# - wholly beyond one of them: `not-equivalent`
# - across one of them: `undecided`
#
# An interval of 95% within the margins is the same as two one-sided tests (TOST), each at 2.5%. (TOST at 5% takes the
# 90% interval.)
#
# Here are intervals of growing numbers of examples of ours, and three that are made up.

# %%
sizes = [n for n in (200, 1000, 4000) if n < len(large)] + [len(large)]
ends = [right_answer("eq-paired", large[:n], small[:n]) for n in sizes]
rows = pd.DataFrame(ends, columns=["low", "high"]).assign(interval=[f"first {n}" for n in sizes])
made_up = {"interval": ["A", "B", "C"], "low": [-0.015, 0.004, -0.060], "high": [0.012, 0.016, -0.030]}
rows = pd.concat([rows, pd.DataFrame(made_up)], ignore_index=True)
show(rows[["interval", "low", "high"]], formats={"low": "{:+.3f}", "high": "{:+.3f}"})

# %% tags=["remove-input"]
ax = plt.figure(figsize=(7, 3.2)).gca()
ax.axvspan(-margin, margin, color="#1b7f4d", alpha=0.12, linewidth=0)
ax.hlines(rows.index, rows["low"], rows["high"], color="0.2", linewidth=2.5)
ax.axvline(0, color="0.5", linestyle="--", linewidth=1)
ax.set_yticks(rows.index, rows["interval"])
ax.invert_yaxis()
ax.set(xlabel="difference in accuracy, small less large", title="Only an interval inside the band shows equivalence")
put(ax)

# %% [markdown]
# ```{exercise} Three answers
# :label: eq-outcomes
# Decide all rows, in this order: a list of "equivalent", "not-equivalent" and "undecided".
# ```

# %% tags=["solution"]
within = (rows["low"] >= -margin) & (rows["high"] <= margin)
beyond = (rows["low"] > margin) | (rows["high"] < -margin)
decided = list(np.select([within, beyond], ["equivalent", "not-equivalent"], "undecided"))

# %%
check("eq-outcomes", decided, rows["low"], rows["high"], margin)

# %%
decided = right_answer("eq-outcomes", rows["low"], rows["high"], margin)
apart = ~((rows["low"] <= 0) & (rows["high"] >= 0))
show(
    rows.assign(differs_significantly=np.where(apart, "yes", "no"), by_the_margin=decided).drop(columns=["low", "high"])
)

# %% [markdown]
# Compare the last two columns. With a margin of two points B differs significantly from 0 and is equivalent all the
# same: the difference is real, and too small to matter. Where the first of the two says no and the second is not
# "equivalent", no difference was found, and no equality shown either.

# %% tags=["remove-input"]
quiz("significant")

# %% [markdown]
# ## How many examples does it take?
#
# The interval grows narrower with more examples. Around a true difference it fits into the margin as soon as its
# half-width is at most margin − |true difference|.
#
# ```{exercise} Enough examples
# :label: eq-needed
# Suppose that `true_difference` is a quarter of the margin, and that `sd`, the standard deviation of the differences,
# is that of all our examples. From how many examples on does the interval fit?
# ```

# %%
true_difference, sd = margin / 4, (small.astype(float) - large).std()

# %% tags=["solution"]
enough = (1.96 * sd / (margin - abs(true_difference))) ** 2

# %%
check("eq-needed", enough, true_difference, sd, margin)

# %%
shares = np.linspace(0, 0.9, 50)
counts = [right_answer("eq-needed", share * margin, sd, margin) for share in shares]
ax = plt.figure(figsize=(7, 3)).gca()
ax.semilogy(shares, counts, color="0.2")
ax.yaxis.set_major_formatter("{x:,.0f}")
ax.axhline(len(large), color="0.55", linestyle="--", label="examples of this test split")
ax.set(xlabel="true difference, as a share of the margin", ylabel="examples needed")
ax.set_title(f"From {counts[0]:,.0f} examples at no difference to {counts[-1]:,.0f} near the margin")
ax.legend()
put(ax)

# %% [markdown]
# Close to the margin no number of examples is enough, and "undecided" is the honest answer.

# %% tags=["remove-input"]
quiz("margin-after")

# %% [markdown]
# ```{exercise} Examples that belong together
# :label: eq-clusters
# In SNLI up to three examples share their first sentence. Why does that make the interval above too narrow, and what
# could one do?
# ```

# %% [markdown] tags=["solution"]
# ```{solution} eq-clusters
# :class: dropdown
# Examples about one sentence are right and wrong together, so they are worth fewer than their number says. One takes
# what belongs together as one unit: means over such groups, or a bootstrap that draws whole groups. trusteq's audit
# does (`--group`).
# ```

# %% [markdown]
# ## What to take home
#
# - p > 0.05 says that a study could not tell, which a small study always can say.
# - Equivalence has to be shown: the whole interval within a margin that was fixed before.
# - Three answers, not two: "undecided" asks for more examples.
# - A significant difference may be too small to matter.

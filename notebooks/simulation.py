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
# # Can these intervals be trusted?
#
# Every number of this book has a 95% interval. That is a promise: of a hundred such intervals, each from new examples,
# about 95 hold the truth. The share that really does is the interval's **coverage**. Real data cannot show it, since
# nobody knows the truth. So we make worlds in which we do, draw data sets from them again and again, and count.

# %% tags=["parameters"]
level = 0.95  # what the intervals promise

# %%
from trusteq.pages import simulation as page

# %% [markdown]
# Nothing on this page is of one run: `benchmarks/intervals.py` wrote these tables.
#
# ## The worlds
#
# - **Predictions.** A world of 200,000 examples, each with its true chance of every label. A large and a compressed
#   model see it through noise, a part of which they share, and are both too sure. A data set is drawn from these
#   examples, its labels by their chances. Since all chances are known, so is every true score.
# - **Explanations.** A world of 6,000 premises with three hypotheses each, as in SNLI, and the ten words that each
#   model's explanation finds important, in two runs of the explainer. A data set is some of the premises with all
#   their hypotheses. The true mean Jaccard is that of the whole world.
#
# The intervals come from the code that makes all intervals of this book.
#
# ## What is promised
#
# Coverage is itself counted in a limited number of data sets; the line through each dot is its 95% interval. The band
# is what we ask for, 93.5% to 96.5%. *Difference* is compressed minus large, or the difference of two pairs' mean
# Jaccards; *clusters* means that premises are resampled with all their hypotheses. In the table, half width is half the
# mean length of the interval, in units of the score.

# %%
page.promised(level)

# %% [markdown]
# ## What is not promised
#
# Calibration errors are harder. An ECE adds up absolute gaps, and noise makes gaps larger: the raw ECE is too high, the
# more so the fewer examples there are, and resampling adds the same noise once more. This book puts the middle of the
# interval at the ECE less its bias, and widens it to 0 where a calibrated model could have as large an ECE; a
# difference is widened by the bias that is then left. No theorem promises 95%, so here is what it is worth;
# *calibrated model* is the hard case, whose true ECE is 0. Below are also three intervals that nobody should use.

# %%
page.reported(level)

# %% [markdown]
# *ECE, not corrected* are percentiles of the draws as they are, *MCE* is by plain bootstrap, and *clusters ignored*
# takes hypotheses about one premise as if they had nothing in common.

# %% [markdown]
# *Below* and *above* say on which side of the truth the other intervals lie. Where nearly all lie on one side, the
# interval is in the wrong place rather than too short.
#
# The MCE is the largest gap of any bin. A maximum picks the bin with the most luck, often one with few examples; in a
# resampled data set it picks the luck of the luck. More draws do not help. With enough examples in every bin it may
# come out right, but data do not tell when that is. So the MCE has no interval in this book, only a null band, which
# needs no truth: it draws labels from the model's own probabilities.
#
# ## Decisions
#
# A pair is *equivalent* if an interval lies within a margin. Two errors are possible: a pair that differs by as much as
# the margin is called equivalent, or one that is the same is not. Where it says *verdict*, a whole audit decides, on
# 2,000 examples with 200 of them explained: the same model under other explainer seeds, and one whose head is random.

# %%
page.decisions()

# %% [markdown]
# With few examples a share of 0% costs something: nothing is called equivalent, and the honest answer is *undecided*.

# %% [markdown]
# ```{exercise} Half as wide
# :label: sim-half
# Somebody multiplies the length of all intervals of means by one half, "for nicer figures". What is their coverage?
# ```
#
# ```{solution} sim-half
# :class: dropdown
# A 95% interval reaches 1.96 standard errors to each side. Half of that is 0.98, and a normal variable is within 0.98
# standard deviations of its mean in 67% of the cases: one interval in three misses the truth.
# ```

# %% tags=["hide-input"]
page.origin()

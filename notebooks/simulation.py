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
# Nothing on this page is of one run: the scripts in `benchmarks/` wrote these tables, by the code that makes all
# intervals and decisions of this book.
#
# ## Intervals of many examples
#
# - **Predictions.** A world of 200,000 examples, each with its true chance of every label. A large and a compressed
#   model see it through noise, a part of which they share, and are both too sure. A data set is drawn from these
#   examples, its labels by their chances. Since all chances are known, so is every true score.
# - **Explanations.** A world of 6,000 premises with three hypotheses each, as in SNLI, and the ten words that each
#   model's explanation finds important, in two runs of the explainer. A data set is some of the premises with all
#   their hypotheses. The true mean Jaccard is that of the whole world.
#
# Coverage is itself counted in a limited number of data sets; the line through each dot is its 95% interval. The band
# is what we ask for, 93.5% at least: the intervals of right answers are wider than they need be where there are few.
# *Difference* is compressed minus large, or the difference of two pairs' mean Jaccards; *clusters* means that premises
# are drawn with all their hypotheses. In the table, half width is half the mean length of the interval, in units of the
# score.

# %%
page.promised(level)

# %% [markdown]
# ## What is not promised
#
# Calibration errors are harder. An ECE adds up absolute gaps, and noise makes gaps larger: the raw ECE is too high, the
# more so the fewer examples there are, and resampling adds the same noise once more. This book puts the middle of the
# interval at the ECE less its bias, and widens it to 0 where a calibrated model could have as large an ECE; a
# difference is widened by the bias that is then left. No theorem promises 95%, so here is what it is worth;
# *calibrated model* is the hard case, whose true ECE is 0. *Clusters ignored* is an interval that nobody should use: it
# takes hypotheses about one premise as if they had nothing in common.

# %%
page.reported(level)

# %% [markdown]
# The largest gap of any bin, the MCE, is not here. A maximum picks the bin with the most luck, often one with few
# examples, and in a resampled data set it picks the luck of the luck; more draws do not help. So the MCE has no
# interval in this book, only a null band, which needs no truth: it draws labels from the model's own probabilities.
#
# ## Decisions of few examples
#
# A pair is *equivalent* if an interval lies within the margin, and *not equivalent* if it lies beyond. Each may be
# false in 2.5% of samples. The hardest worlds are those whose true difference lies exactly on the margin: there,
# "equivalent" is as false as it can be with the difference only just too large, and "not equivalent" with it only
# just small enough. Here are 15 to 400 examples, or up to 2,000 in 1 to 40 clusters; models that give other answers
# often, hardly ever, or about examples they were nearly sure of. Every dot is one measure, or the verdict over all of
# them, at one size.

# %%
page.at_margins()

# %% [markdown]
# Right of the dashed line an error is more frequent than promised; up to the dotted one, chance alone explains it in a
# thousand samples. A rate of 0 costs something: nothing is decided, and the honest answer is *undecided*. Of fewer than
# 15 examples, or 8 clusters, nothing ever is, and a few dozen clusters decide little, however many examples they have:
# a kind of cluster that was not seen may do what none of the others does. The table says what this care costs: by how
# much our interval is wider than the textbook's (Tango's score interval of an accuracy, Student's of a mean), where
# ten flips or more are expected. With fewer, the last column says how often one end of the textbook's interval can miss
# the truth, of which it promises 2.5%.
#
# ## How many examples decide
#
# The same decisions in worlds that are not at a margin: the same model twice; one that is as good, but right about
# other examples; and true differences of half and of twice the margin, in all measures at once.

# %%
page.power()

# %% [markdown]
# The verdict is equivalent only if every measure is, so the one that is hardest to decide limits it; as a rule that is
# the calibration error, since each model's gaps are known only bin by bin. Two models that never disagree need the
# fewest examples, though not none: 182 equal answers can hide what happens to one example in fifty. The nearer a
# difference is to its margin, the more are needed.
#
# ## Claims about a way of compressing
#
# "Quantised models are as accurate" is about every model made that way, and each training seed makes another. In these
# worlds seeds and examples both add to a drop in accuracy that is exactly the margin. The first two rows count both
# kinds of luck; the last takes one seed for all.

# %%
page.seeds()

# %% [markdown]
# What is said from one seed is about that pair of models alone. Where seeds differ it errs more often than it promises
# about others, and more examples do not help. An interval over few seeds is wide, and so errs seldom: that too is
# honest.
#
# ## No worse than training again
#
# Here large model, small model and twins are trainings of one model, so *worse* is always false; *spread* is by how
# much a training moves all logits. Below stand the published trainings of the large model, taken in every order as
# large model, small model and twin. *Undecided* is what few examples leave: half of a margin is a narrow target.

# %%
page.retraining()

# %% [markdown]
# ## Audits that stop early
#
# An audit with `--until-decided` explains more and more examples and stops as soon as it can decide. Looking several
# times gives luck several chances, so each look spends a part of the 2.5%. Worlds are pairs of models whose alignment
# falls short by a part of the margin, and one of published examples, with its own loss as the margin. *Decided at once*
# is what one look at all examples of the budget would have decided.

# %%
page.sequential()

# %% [markdown]
# In a world at its margin either decision may be taken in 2.5% of audits; elsewhere one of them is right. The gap
# between decided and decided at once is the price of looking early, the median number of examples what it saves: far
# from the margin, a part of the budget is enough.
#
# ## Handing over
#
# A threshold of confidence lets the small model answer alone, and hands the rest over to the large one. It is chosen
# on a sample of dev, so that the risk on everything stays below a level in 95% of samples. Here the samples are drawn
# from published predictions, of which the risk of any threshold is known.

# %%
page.handover()

# %% [markdown]
# *Lowest share kept* is over all models and levels: the share of samples whose threshold keeps its level. *Share
# answered* is what the small model answers alone, on average, and *were all known* what it could, had the risks not to
# be estimated. With few examples there is often no threshold that can be shown to be safe, and nothing is answered
# alone.

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

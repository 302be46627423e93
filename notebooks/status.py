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
# # Status of this run
#
# What made these results, and how long it took.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %%
from trusteq.pages import status as page
from trusteq.pages.show import open_page

run = open_page(experiment, results)

# %% [markdown]
# ## Time of each stage
#
# In seconds of single jobs, as their artefacts recorded them; jobs run side by side, so the wall time is shorter. The
# second table has the pages of this run, start-up included. What all published runs took together is on the page
# [What the paper did and found](paper.ipynb).

# %%
page.times(run)

# %% [markdown]
# ## The attribution engine
#
# Not of this run: what `benchmarks/attribution.py` last measured, each figure within one process, on one thread.
# *Seconds* are for one example, the engine's and the library's, the latter called as the authors' scripts call it.
# *Bare share* is the time that the library's model takes for the distinct, unpadded inputs alone, over the engine's
# whole time; it is above 1 where the engine's own forward pass computes less than the library's model.

# %%
page.benchmark("attribution")

# %% [markdown]
# ## Stopping when the top ten is stable
#
# What `benchmarks/stopping.py` last measured of `stable`, on pairs of SNLI. *Stopped*: the share of runs that kept to
# the tolerance before their budget was spent; *mean Jaccard*, with its lower 95% bound over pairs, is theirs, and the
# next column that of all runs. *Equal budget* is the fixed one of the same mean, *saved* what stopping takes less than
# that, and *at most* what a rule could save that knew beforehand how each pair's agreement grows with its passes.

# %%
page.benchmark("stopping")

# %% [markdown]
# ## Fine-tuning
#
# Not of this run either: what `benchmarks/finetune.py` last measured. The authors' loop pads every row to 512 tokens;
# ours groups texts of like length. The last columns are the 95% interval of the difference in accuracy.

# %%
page.benchmark("finetune")

# %% [markdown]
# ## A million explained examples
#
# What `benchmarks/million.py` last measured of a made-up run: pairs of 20 words in 3 classes, two models explained by
# lime, again, and under a random head, so that a million examples are 60 million rows a table. They are made in shards,
# joined, compared and shown, each step in a process of its own, on one thread; the minutes leave out the making, in
# place of which a model would be explained. Nothing holds a whole table, and what the pages keep does not grow with the
# examples.

# %%
page.benchmark("million")

# %% [markdown]
# ## Estimators of Shapley values
#
# What `benchmarks/estimators.py` last measured on examples of which a model was asked about all masks, so that the
# exact values are known: our `shapley` and five estimators of the library shapiq, at equal passes. First, our squared
# error over that of each game's best rival, which is known only afterwards, and beside it over that of the rival that
# is best on average, both with 95% intervals over games; the share of our 95% intervals that hold the truth; then the
# relative squared error of each estimator, a geometric mean over games and seeds. The rows *held out* were set apart
# before anything was chosen; once they had been seen, intervals were widened by a factor chosen on the others. Second,
# the top ten of each method: its mean Jaccard index with the exact top ten by Shapley value, with the top ten of its
# own limit at endless passes, and with its own under another seed. LIME and SHAP have limits of their own, so that a
# method can agree with itself and not with Shapley.

# %%
page.benchmark("estimators")

# %% [markdown]
# ## What was tried to break it
#
# Not of this run: what the slow tests last counted, each with the command that counts it again. That no text of a
# title, a name or a data set acts in a page, a report or a terminal is tried in every run of the tests, with 60
# payloads in a real browser (`tests/test_payloads.py`). What is promised stands in `SECURITY.md`.

# %%
page.benchmark("robustness")

# %% [markdown]
# ## Versions, machine and experiment file
#
# From the manifests of all artefacts. More than one value in a row means that the run was made in several goes.

# %%
page.origin(run)

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
# # What it costs
#
# What the published runs took, stage by stage, and what the paper's own experiment would take: five models, both tasks.

# %% tags=["parameters"]
experiments = None  # names of published experiments; None: all on real data

# %%
from trusteq.pages import status as page

# %% [markdown]
# ## The published runs
#
# Hours of single jobs, as their artefacts recorded them. Two jobs ran side by side on two shared cores, so the wall
# time is about half of the sum, and an hour here is not an hour on a quiet machine. Below stands by what they were
# made, from the manifests of all artefacts; where that is more than one value, the run was made in several goes.

# %%
page.costs(experiments)

# %% [markdown]
# ## The paper's scale
#
# How fast a model explains does not depend on what its weights are. So it is measured with random weights of the exact
# sizes, by `benchmarks/attribution.py`: seconds for one SNLI pair, our engine and the libraries called as the authors'
# scripts call them, in one run on one machine. Below, times the number of examples and the budget of
# `experiments/paper.yaml`: hours on one core, for one table of attributions. Training is not in it.

# %%
page.papers_scale("cpu")

# %% [markdown]
# The questions of the second task are taken to be as long as SNLI's pairs, which they need not be. On a CPU, all models
# but BERT-Tiny were timed on two pairs, with other jobs beside them, so their hours are rough: by its size Distil-BERT
# should take half of BERT-base's.

# %% [markdown]
# ## On one GPU

# %%
page.papers_scale("gpu bf16")

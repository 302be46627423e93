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
from IPython.display import Markdown

from trusteq.pages import cost
from trusteq.pages.show import show
from trusteq.pages.status import benchmark_rows, origin_table
from trusteq.sentences.findings import cost_sentence, scale_sentence
from trusteq.study import publish
from trusteq.study.experiment import Experiment

runs = [run for run in publish.reference_runs() if experiments is None or run.experiment.name in experiments]
spent = cost.run_costs(runs)

# %% [markdown]
# ## The published runs
#
# Hours of single jobs, as their artefacts recorded them. Two jobs ran side by side on two shared cores, so the wall
# time is about half of the sum, and an hour here is not an hour on a quiet machine.

# %%
show(spent, digits=2)

# %%
Markdown(cost_sentence(spent))

# %% [markdown]
# ## By what they were made
#
# From the manifests of all artefacts. More than one value in a row means that the run was made in several goes.

# %% tags=["hide-output"]
for run in runs:
    display(show(origin_table(run), caption=run.experiment.name))

# %% [markdown]
# ## The paper's scale
#
# How fast a model explains does not depend on what its weights are. So it is measured with random weights of the exact
# sizes, by `benchmarks/attribution.py`: seconds for one SNLI pair, our engine and the libraries called as the authors'
# scripts call them, in one run on one machine. Below, times the number of examples and the budget of
# `experiments/paper.yaml`: hours on one core, for one table of attributions. Training is not in it.

# %%
scale = cost.paper_scale(benchmark_rows(), Experiment.load("paper"), device="cpu")
show(scale, digits=1, formats={"passes": "{:,}"})

# %%
Markdown(scale_sentence(scale, "cores"))

# %% [markdown]
# The questions of the second task are taken to be as long as SNLI's pairs, which they need not be. On a CPU, all models
# but BERT-Tiny were timed on two pairs, with other jobs beside them, so their hours are rough: by its size Distil-BERT
# should take half of BERT-base's.

# %% [markdown]
# ## On one GPU

# %%
gpu = cost.paper_scale(benchmark_rows(), Experiment.load("paper"), device="gpu bf16")
if gpu["ours"].notna().any():
    display(show(gpu, digits=1, formats={"passes": "{:,}"}))
    display(Markdown(scale_sentence(gpu, "GPUs")))
else:
    print("Not measured: no GPU was at hand. The rows of the benchmark are open, and the experiment file is ready.")

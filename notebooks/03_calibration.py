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
# # Calibration
#
# Does a model's confidence say how often it is right? All models of the experiment on every example of the test split,
# with 10 equal-width bins of confidence.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"
seed = 0

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq import Results, figures, sentences, tables

run = Results.of(experiment, results)
plt.style.use(figures.STYLE)

# %% [markdown]
# ## Scores
#
# ECE is the mean gap between confidence and accuracy, MCE the largest gap of a bin, both from 0 to 1. The Brier score
# sums squared errors over the classes, from 0 to 2; NLL is in nats. For all four, lower is better. The paper's numbers
# stand beside the models that play the part of its own.

# %%
scores = tables.score_table(run, task, seed)
run.write(scores, "calibration", task, seed, "scores", task=task, seed=seed)
tables.show(tables.beside_paper(scores, run, task), digits=4)

# %%
Markdown(sentences.calibration_sentence(scores, run))

# %% [markdown]
# ## Reliability diagrams
#
# Each bar is the accuracy within a bin of confidence, the hatching its gap to the diagonal, on which confidence and
# accuracy agree. A dot stands at the bin's mean confidence; its area is the bin's share of the predictions.

# %%
reliability = tables.reliability_tables(run, task, seed)
run.write(reliability, "calibration", task, seed, "reliability", task=task, seed=seed)
figures.per_model(reliability, figures.reliability_diagram, tables.titles(run));

# %% [markdown]
# Dots below the diagonal are overconfident bins, dots above it underconfident ones. A bin with a tiny dot holds few
# predictions: its gap is mostly noise, yet it alone can set the MCE.

# %% [markdown]
# ## Confidence histograms
#
# How sure are the models? The solid line is the mean confidence, the dashed line the accuracy: the distance between the
# two is the part of the miscalibration that a single number can show.

# %%
figures.per_model(reliability, figures.confidence_histogram, tables.titles(run));

# %% [markdown]
# ## Share of the predictions by confidence
#
# In percent of the test split. The paper gives this table for its NLI models; two of its cells are held.

# %%
tables.show(tables.share_table(reliability, run, task), digits=1)

# %% [markdown]
# A model that moves probability into the last bin without becoming more accurate has become overconfident there, which
# a score averaged over all bins may hide.

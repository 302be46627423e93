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
# # Results
#
# The paper's tables, filled by this run, with the paper's own numbers beside ours where we hold them. Details are in
# the chapters on calibration and alignment; every number comes from a results file of the run.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq import Results, figures, sentences, tables

run = Results.of(experiment, results)
seed = run.experiment.seeds[0]
plt.style.use(figures.STYLE)
Markdown(sentences.run_sentence(run))

# %% [markdown]
# ## The models
#
# The paper's Table 1. Accuracy is in percent of the test split; the inference time is for that whole split, on the
# machine named on the status page. The paper's times are for one A100 and its own test splits.

# %%
tables.show(tables.model_table(run, seed), digits=1, formats={"parameters_M": "{:.2f}"})

# %% [markdown]
# The paper's own numbers, and which model of this run plays each part:

# %%
whole = dict.fromkeys(["paper_layers", "paper_hidden_size"], "{:.0f}")
tables.show(tables.paper_model_table(run), digits=1, formats=whole)

# %% [markdown]
# ## May a smaller model replace the large one?
#
# The paper's rule asks for a mean Jaccard of at least 0.7 and for a calibration profile that does not differ
# significantly. It gives no test for the second half, so the change in ECE is shown here and not judged. Changes are
# from the large model to the smaller one; accuracy is in percentage points.

# %%
verdicts = tables.verdict_table(run, seed)
tables.show(verdicts, formats={"accuracy_change": "{:+.1f}", "ece_change": "{:+.3f}"})

# %%
Markdown(sentences.verdict_sentence(verdicts))

# %% [markdown]
# ## Alignment and calibration in one picture

# %%
figures.trust_plane(verdicts, tables.titles(run));

# %% [markdown]
# Up is more alike in words, left is better calibrated than the large model and right is worse. Accuracy plays no part
# in this picture: a model can stand anywhere in it at the same accuracy.

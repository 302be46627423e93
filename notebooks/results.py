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

from trusteq.pages.figures import STYLE
from trusteq.pages.results import (
    all_verdicts,
    deciding,
    difference_table,
    method_table,
    model_table,
    paper_model_table,
    plane_table,
    trust_plane,
    verdict_panels,
    verdict_table,
)
from trusteq.pages.show import show, side_titles
from trusteq.sentences.run import run_sentence
from trusteq.sentences.verdict import method_sentence, verdict_sentence
from trusteq.study.results import Results
from trusteq.verdict.margins import load_margins

run = Results.of(experiment, results)
seed = run.experiment.seeds[0]
plt.style.use(STYLE)
Markdown(run_sentence(run))

# %% [markdown]
# ## The models
#
# The paper's Table 1. Accuracy is in percent of the test split; the inference time is for that whole split, on the
# machine named on the status page. The paper's times are for one A100 and its own test splits.

# %%
show(model_table(run, seed), digits=1, formats={"parameters_M": "{:.2f}"})

# %% [markdown]
# The paper's own numbers, and which model of this run plays each part:

# %%
paper = paper_model_table(run)
sizes = ["paper_layers", "paper_parameters_millions", "paper_hidden_size", "paper_size_mb"]
whole = dict.fromkeys(["paper_layers", "paper_hidden_size"], "{:.0f}")
show(paper[["model", "played_by", *sizes]], digits=1, formats=whole)

# %%
show(paper.drop(columns=["played_by", *sizes]), digits=1)

# %% [markdown]
# ## May a smaller model replace the large one?
#
# In accuracy, in alignment and in calibration, each against a margin of what counts as the same. *Equivalent*: the 95%
# interval of the difference lies within the margin; *not-equivalent*: it lies outside; *undecided*: more examples would
# tell. The verdict is equivalent if all three are, and not as soon as one is not. Beside it stands the paper's rule: no
# drop-in replacement if the mean Jaccard is below 0.7 and the calibration differs. The last rows of a task are controls
# in the place of the smaller model.

# %%
found = all_verdicts(run, seed=seed)
chosen = deciding(found)
methods = ", ".join(f"{rows['method'].iloc[0]} on {task}" for task, rows in chosen.groupby("task", sort=False))
show(verdict_table(chosen, run), caption=f"Alignment by {methods}")

# %%
Markdown(verdict_sentence(chosen, run))

# %% [markdown]
# Each measure in units of its margin: a line within the green band is equivalent, one wholly outside is not. An arrow
# is a difference of more than four margins.

# %%
names, measures = side_titles(run), {name: margin.title for name, margin in load_margins().items()}
for task, rows in chosen.groupby("task", sort=False):
    verdict_panels(rows, names, measures).suptitle(task)

# %% [markdown]
# The control "itself, reseeded" must be green throughout and "its random head" must not: they show what the procedure
# makes of a model that is the same, and of one that has not learned the task. "Itself, retrained" has no right answer:
# it shows what training once more already changes.

# %% tags=["hide-output"]
show(difference_table(chosen, run), formats={"difference": "{:+.3f}", "margin": "{:.2f}"})

# %% [markdown]
# ## Does the method decide?

# %% tags=["hide-output"]
show(method_table(found, run), digits=2)

# %%
Markdown(method_sentence(found, run))

# %% [markdown]
# ## Alignment and calibration in one picture

# %%
plane, margins = plane_table(chosen), load_margins()
box = (margins["ece"].margin, margins["normalised_alignment"].margin)
panels = plt.subplots(1, len(run.experiment.tasks), figsize=(9, 4.6), sharey=True, squeeze=False)[1].flat
for ax, (task, rows) in zip(panels, plane.groupby("task", sort=False), strict=True):
    trust_plane(rows, names, list(run.experiment.models), ax, box=box).set_title(task)
    ax.label_outer()
ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4);

# %% [markdown]
# Up is more alike in words, left is better calibrated than the large model and right is worse; a model whose cross lies
# within the green box is the same in both. Accuracy plays no part in this picture: a model can stand anywhere in it at
# the same accuracy.

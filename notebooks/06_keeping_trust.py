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
# # Compression that keeps trust
#
# Can a student be trained to look at what its teacher looks at? The paper leaves it open. Here the same student, begun
# from the same layers of its teacher, is distilled under several objectives. Each is a sum of three parts, with
# weights: the *task* (labels), *calibration* (the teacher's probabilities and confidence), and *attribution*, in one of
# two forms:
#
# - *gradients*: the student's gradients over the words point where the teacher's do;
# - *deleted words*: the student answers like the teacher when random words are taken away, which is what LIME and SHAP
#   ask of a model, without either of them being run.

# %% tags=["parameters"]
experiment = "demo-keeping-trust"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
baseline = None  # the model that others are measured against; None: the first distilled one of the experiment
anew = False  # make all models again; otherwise only those that are missing

# %% tags=["remove-output"]
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages.compression import frontier, trust_view
from trusteq.pages.figures import STYLE
from trusteq.pages.keeping_trust import gain_intervals, gain_view, objective_table
from trusteq.pages.show import show, titles
from trusteq.sentences.compression import gain_sentence, price_sentence, seed_sentence
from trusteq.study import lab
from trusteq.study.compressions import compression_table, gain_table
from trusteq.study.results import Results

run = Results.of(experiment, results)
task, large = next(iter(run.experiment.tasks)), run.experiment.large
names, students = titles(run), run.experiment.students
baseline = baseline or students[0]
finer = {"accuracy": "{:.3f}", "ECE change": "{:+.3f}"}
plt.style.use(STYLE)

# %% [markdown]
# ## The students

# %% tags=["remove-stderr"]
made = lab.complete(run, task, anew=anew)
table = compression_table(run, task)
table = table[table["model"].isin([large, *students])].reset_index(drop=True)
run.write(table, "compression", task, "students", task=task)
print(f"{len(made)} of {len(run.experiment.models)} models were made here")
show(objective_table(run, task, students), digits=1)

# %% [markdown]
# ## The frontier
#
# A large dot is the mean over training seeds, small ones are the seeds. Up is more alike in words. A student that keeps
# trust stands high and, below, close to 0: as well calibrated as the teacher.

# %%
small, methods = table[table["model"] != large], table["method"].unique()
axes = plt.subplots(2, len(methods), figsize=(9, 8), sharey=True, squeeze=False)[1]
for column, method in enumerate(methods):
    rows = small[small["method"] == method]
    frontier(rows, names, axes[0, column], x="accuracy", xlabel="accuracy").set_title(method)
    frontier(rows, names, axes[1, column], x="ece_difference", xlabel="change in ECE").axvline(0, color="0.25")
for ax in axes[:, 1:].flat:
    ax.set_ylabel("")
axes[0, 0].figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3);

# %%
Markdown(price_sentence(table, run, baseline=baseline))

# %% [markdown]
# A longer training is the fair rival: an objective that costs twice the time must beat plain distillation given as
# much.

# %% [markdown]
# ## Does it help under explainers that it was not trained on?
#
# How much closer a student's top words are to the teacher's than those of the baseline, on the same examples, the mean
# over training seeds. Neither LIME nor SHAP was part of any objective.

# %%
gains = gain_table(run, task, baseline=baseline)
gains = gains[gains["model"].isin(students)]
run.write(gains, "compression", task, "gains", task=task, baseline=baseline)
gain_intervals(gains, names);

# %%
Markdown(gain_sentence(gains, run, baseline=baseline))

# %%
show(gain_view(gains, names), formats={"training s": "{:.1f}"})

# %% [markdown]
# The intervals are over examples; training seeds differ as well, and the next table has each of them.

# %% [markdown]
# ## Seed by seed

# %% tags=["hide-output"]
for method, rows in table.groupby("method", sort=False):
    display(show(trust_view(rows, names), digits=2, formats=finer, caption=method))

# %%
Markdown(seed_sentence(gains, run))

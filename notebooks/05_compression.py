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
# # Ways to compress
#
# The paper shrinks models in one way, by taking smaller pretrained ones. Here one fine-tuned model is made smaller in
# others: layers are dropped, weights rounded to 8 bits, small weights or whole heads pruned, matrices factorised; with
# and without training afterwards, from the labels or from the large model's answers. Each is asked the same question:
# may it replace the large one?

# %% tags=["parameters"]
experiment = "demo-compression"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
anew = False  # make all models again; otherwise only those that are missing

# %% tags=["remove-output"]
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages.compression import frontier, kept_panels, saving_view, trust_view
from trusteq.pages.figures import STYLE
from trusteq.pages.show import show, titles
from trusteq.sentences.compression import compression_sentence, recovery_sentence
from trusteq.study import lab
from trusteq.study.compressions import compression_table
from trusteq.study.results import Results
from trusteq.verdict.margins import load_margins

run = Results.of(experiment, results)
task, large = next(iter(run.experiment.tasks)), run.experiment.large
names, margins = titles(run), {name: margin.margin for name, margin in load_margins().items()}
finer = {"accuracy": "{:.3f}", "ECE change": "{:+.3f}"}
plt.style.use(STYLE)

# %% [markdown]
# ## The models
#
# A way to compress is a small function, a compressed model an entry in `registry.yaml` that names it. All are made from
# the same fine-tuned model, saved like any other, and explained for the same examples.

# %% tags=["remove-stderr"]
made = lab.complete(run, task, anew=anew)
table = compression_table(run, task)
run.write(table, "compression", task, "models", task=task)
small = table[table["model"] != large]
print(f"{len(run.experiment.models)} models of {task}, of which {len(made)} were made here")

# %% [markdown]
# ## What they save
#
# Zeros save nothing by themselves: a pruned matrix takes as much room and time as a full one, unless it is stored and
# multiplied as a sparse one. The times are medians on this machine, the memory is what loading a model and reading the
# test texts adds to a process.

# %% tags=["remove-stderr"]
show(saving_view(table, names, lab.footprints(run, task)), digits=2)

# %% [markdown]
# ## What they keep
#
# Accuracy, alignment and calibration beside the large model, with 95% intervals. The alignment runs from chance, 0, to
# what the explainer reaches with itself, 1.

# %%
for method, rows in table.groupby("method", sort=False):
    display(show(trust_view(rows, names), digits=2, formats=finer, caption=method))

# %%
Markdown(compression_sentence(table, run))

# %%
for method, rows in small.groupby("method", sort=False):
    kept_panels(rows, names, margins).supxlabel(method)

# %% [markdown]
# Green bands are what counts as the same. A model is a replacement where all three are green; one that stands right of
# the band in accuracy is better than the large one, and not the same.

# %%
Markdown(recovery_sentence(table, run))

# %% [markdown]
# Where training on adds accuracy and no alignment, it makes the model right more often, and another one.

# %% [markdown]
# ## What the words cost
#
# Agreement over the bytes on disk. The upper left is where a small model that can be trusted like the large one would
# stand.

# %%
panels = plt.subplots(1, small["method"].nunique(), figsize=(9, 4.6), sharey=True, squeeze=False)[1].flat
priced = small.assign(megabytes=small["weights_bytes"] / 1e6)
for ax, (method, rows) in zip(panels, priced.groupby("method", sort=False), strict=True):
    frontier(rows, names, ax, x="megabytes", xlabel="MB on disk").set_title(method)
    ax.label_outer()
ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3);

# %% [markdown]
# Where two models of one size stand far apart, it is not the size that decides what a model looks at.

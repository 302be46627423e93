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
# # Alignment
#
# Do two models look at the same words? For every pair of models and every method: the Jaccard index of the two top-10
# sets of each explained example, averaged. Beside it stands what two random sets of the same sizes would reach.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq import Results, figures, load_examples, sentences, tables

run = Results.of(experiment, results)
seed = run.experiment.seeds[0]
plt.style.use(figures.STYLE)

# %% [markdown]
# ## All pairs
#
# The interval is a 95% bootstrap interval over the explained examples. The last columns hold the paper's rule, which
# calls a pair aligned from a mean of 0.7 on, and the paper's number for the pair whose parts these models play.

# %%
alignment, examples = tables.alignment_tables(run, task)
run.write(alignment, "comparison", task, "alignment", task=task, k=run.experiment.k)
run.write(examples, "comparison", task, "examples", task=task, k=run.experiment.k)
tables.show(tables.pair_table(alignment, run, task), caption=sentences.paper_range_sentence())

# %%
Markdown(sentences.alignment_sentence(alignment, run))

# %%
figures.alignment_intervals(alignment, tables.titles(run));

# %% [markdown]
# A dot is a pair's mean, its line the interval, and the tick the chance level. What counts is the distance from the
# tick: two models that share no idea of what matters still stand on it, not at zero.

# %% [markdown]
# ## As a matrix

# %%
panels = plt.subplots(1, alignment["method"].nunique(), figsize=(9, 3.8), sharey=True, squeeze=False)[1].flat
for ax, (method, rows) in zip(panels, alignment.groupby("method", sort=False), strict=True):
    figures.alignment_matrix(rows, tables.titles(run), ax, title=method)

# %% [markdown]
# Where the two methods order the pairs differently, the order belongs to the explainer as much as to the models.

# %% [markdown]
# ## Example by example
#
# Each smaller model against the large one. A mean hides this spread: for one example the two models may share all ten
# words, for the next hardly more than chance.

# %%
figures.jaccard_distribution(examples, tables.titles(run), run.experiment.large);

# %% [markdown]
# The wider a box, the less a single example tells about the pair; an example with ten words or fewer always scores 1.

# %% [markdown]
# ## Right for the same reasons?
#
# As in the paper's Table 2: examples that the large model and the smallest one both classify correctly, with the words
# that each relies on. Blue words speak for the gold label, orange ones against it; framed words are the top 10.

# %% tags=["remove-stderr"]
small = list(run.experiment.models)[-1]
agreed = tables.agreed_examples(run, task, small, seed=seed)
test = load_examples(run.experiment.task(task), "test")
shown = test[test["id"].isin(agreed) & test["id"].isin(examples["id"])].head(3)
print(f"{len(agreed)} of {len(test)} test examples are classified correctly by both models")

# %%
for method in run.experiment.task_methods(task):
    for name in (run.experiment.large, small):
        weights = run.attribution(task, name, seed, method)
        title = f"{method}, {tables.titles(run)[name]}"
        display(figures.highlights(weights, shown, run.experiment.task(task).labels, title=title))

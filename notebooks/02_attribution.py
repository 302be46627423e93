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
# # Attribution
#
# Which words does one fine-tuned model look at? Every word of a sample of test examples gets a weight for every class,
# from each method of the experiment. Words are features by their place; the boundary of a pair is never perturbed.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"
model = "demo-tiny"
seed = 0
methods = None  # a list of methods; None: the experiment's
shard = None  # "1/4": explain the first quarter of the examples alone; None: all of them
reference = 5  # examples that the libraries explain as well, for the experiment's first model

# %% tags=["remove-output"]
import time

import matplotlib.pyplot as plt

from trusteq import Results, explain, figures, load_classifier, load_examples, speed, tables
from trusteq.attribution import shards
from trusteq.attribution.cost import estimate

run = Results.of(experiment, results)
settings = tables.chosen_methods(run, task, methods)
part = shards.Shard.parse(shard)
plt.style.use(figures.STYLE)

# %% [markdown]
# ## The model and the examples
#
# All models of a task explain the same examples, drawn once from the test split.

# %% tags=["remove-stderr"]
classifier = load_classifier(run.trained(task, model, seed))
test = load_examples(run.experiment.task(task), "test", limit=run.experiment.explained(task))
rows = part.rows(len(test), window=shards.window(classifier))
chosen = test.iloc[rows]
print(f"{len(chosen)} examples explained on {classifier.model.device.type}")

# %% [markdown]
# ## The weights
#
# Each example has its own random stream, from the explainer's seed and its id: neither order nor company changes a
# weight. What a method costs is estimated first, from a few of the examples. A table whose shards are all there is
# joined from them instead.

# %% tags=["remove-stderr"]
explained, seconds = {}, {}
for method, options in settings.items():
    origin = shards.origin(run, test, task=task, model=model, seed=seed, method=method)
    how = {"method": method, "n_samples": options.n_samples, "seed": origin["explainer_seed"]}
    explained[method], seconds[method], note = shards.joined(run, origin, test) if part.is_whole else shards.NOTHING
    if note:
        print(note)
    if explained[method] is None:
        print(f"{method}: {estimate(classifier, chosen, **how)}")
        started = time.perf_counter()
        explained[method] = explain(classifier, chosen, **how, progress=True)
        seconds[method] = time.perf_counter() - started
    facts = origin | {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": seconds[method]}
    facts |= {"skipped": explained[method].attrs["skipped"]}
    run.write(explained[method], "attribution", task, model, seed, part.name(method), **facts)

# %%
tables.show(speed.attribution_cost(explained, seconds))

# %% [markdown]
# ## Beside the libraries
#
# Ours are the methods of the libraries `lime` and `shap`, computed in another way: on the same masks the weights are
# to be the same but for rounding. Here are the largest weight, the largest difference of two weights, and the time
# of both.

# %% tags=["remove-stderr"]
budgets = {method: settings[method].n_samples for method in ("lime", "shap") if method in settings}
if budgets and reference and part.is_whole and model == run.experiment.large:
    beside = speed.beside_libraries(classifier, test.head(reference), budgets, seed=seed)
    display(tables.show(beside, formats={"largest_difference": "{:.0e}"}))
else:
    print("The libraries are run for the first model of an experiment alone, and where it uses lime or shap.")

# %% [markdown]
# ## Three examples
#
# The weights are those for the gold label. Blue words speak for it, orange words against it; the stronger the colour,
# the larger the weight within the example. The ten words with a frame are the top 10 that the comparison uses.

# %%
for method, attributions in explained.items():
    display(figures.highlights(attributions, chosen.head(3), classifier.labels, title=method))

# %% [markdown]
# ## How the weight is spread
#
# A steep curve means that a few words carry the explanation; a flat one that the tenth word is hardly more important
# than the fifteenth, so that the edge of a top-10 set falls by chance.

# %%
if len(chosen):
    figures.weight_by_rank(explained, chosen, classifier.labels)

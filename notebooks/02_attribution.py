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

# %% tags=["remove-output"]
import time

import matplotlib.pyplot as plt

from trusteq import Results, explain, figures, load_classifier, load_examples, tables

run = Results.of(experiment, results)
settings = tables.chosen_methods(run, task, methods)
plt.style.use(figures.STYLE)

# %% [markdown]
# ## The model and the examples
#
# All models of a task explain the same examples, drawn once from the test split.

# %% tags=["remove-stderr"]
classifier = load_classifier(run.trained(task, model, seed))
test = load_examples(run.experiment.task(task), "test", limit=run.experiment.explained(task))
print(f"{len(test)} examples explained on {classifier.model.device.type}")

# %% [markdown]
# ## The weights
#
# Each example has its own random stream, from the seed and its id: neither order nor company changes a weight.

# %%
explained, seconds = {}, {}
for method, options in settings.items():
    started = time.perf_counter()
    explained[method] = explain(classifier, test, method=method, n_samples=options.n_samples, seed=seed)
    seconds[method] = time.perf_counter() - started
    facts = {"task": task, "model": model, "seed": seed, "method": method, **options.model_dump()}
    facts |= {"seconds": seconds[method], "skipped": explained[method].attrs["skipped"]}
    run.write(explained[method], "attribution", task, model, seed, method, **facts)

# %%
tables.show(tables.attribution_cost(explained, seconds))

# %% [markdown]
# ## Three examples
#
# The weights are those for the gold label. Blue words speak for it, orange words against it; the stronger the colour,
# the larger the weight within the example. The ten words with a frame are the top 10 that the comparison uses.

# %%
for method, attributions in explained.items():
    display(figures.highlights(attributions, test.head(3), classifier.labels, title=method))

# %% [markdown]
# ## How the weight is spread
#
# A steep curve means that a few words carry the explanation; a flat one that the tenth word is hardly more important
# than the fifteenth, so that the edge of a top-10 set falls by chance.

# %%
figures.weight_by_rank(explained, test, classifier.labels);

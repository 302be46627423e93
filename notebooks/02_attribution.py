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
# Which words do the fine-tuned models look at? Every word of a sample of test examples gets a weight for every class,
# from each model and each method of the experiment. Words are features by their place; the boundary of a pair is never
# perturbed. All models of a task explain the same examples, drawn once from the test split.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own
task = "demo-nli"
model = None  # one of the experiment's alone; None: all of them
seed = None  # one training seed alone; None: all of them
methods = None  # a list of methods; None: the experiment's
shard = None  # "1/4": explain the first quarter of the examples alone; None: all of them

# %% tags=["remove-output"]
from trusteq.pages import attribution
from trusteq.pages.show import open_page
from trusteq.study import stages

run = open_page(experiment, results)
which = {"task": task, "model": model, "seed": seed, "methods": methods, "shard": shard}
stages.make(run, "explain", **which)
explained = attribution.chosen(run, **which)

# %% [markdown]
# ## The weights
#
# Each example has its own random stream, from the explainer's seed and its id: neither order nor company changes a
# weight. A method that draws is run again under another seed: how far it agrees with itself is the most that two
# models can be asked for. The large model brings a twin, its own encoder under a head drawn anew: what agrees with the
# twin agrees without having learned the task. The last column is the time for these further tables as well.

# %%
attribution.costs(explained)

# %% [markdown]
# *Skipped* examples have no word to explain, *cut* ones are longer than the model reads, and *retokenised* texts are
# those whose pieces could not be put together from their words' alone.

# %% [markdown]
# ## Beside the libraries
#
# Ours are the methods of the libraries `lime` and `shap`, computed in another way: on the same masks the weights are
# the same but for rounding, which the tests hold (`tests/attribution/test_libraries.py`). What the two cost is measured
# by a benchmark, and on the page *What the paper did and found*.
#
# ## Are they faithful?
#
# *Comprehensiveness* is what the gold class loses in probability without the top words, *sufficiency* what it loses
# when they are all that is left: a faithful method has much of the first and little of the second. The rows of random
# features hold as many words drawn at random: a method that does not lose more than these tells nothing.

# %%
attribution.faithfulness(explained)

# %% [markdown]
# ## Three examples
#
# Of the first and the last model, the weights for the gold label. Blue words speak for it, orange words against it; the
# stronger the colour, the larger the weight within the example. The words with a frame are the top words that the
# comparison uses.

# %% tags=["remove-stderr"]
attribution.examples(explained)

# %% [markdown]
# ## How the weight is spread
#
# A steep curve means that a few words carry the explanation; a flat one that the words beside the edge of the top set
# are hardly less important than the last ones within, so that the edge falls by chance.

# %%
attribution.spread(explained)

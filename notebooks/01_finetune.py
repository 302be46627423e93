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
# # Fine-tuning
#
# Every model of the experiment learns one task. The recipes come from the experiment file; the epoch with the best
# accuracy on the dev split is kept, and its probabilities for every dev and test example are saved for the stages that
# follow.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own
task = "demo-nli"
model = None  # one of the experiment's alone; None: all of them
seed = None  # one training seed alone; None: all of them

# %% tags=["remove-output"]
from trusteq.pages import finetune
from trusteq.pages.show import open_page
from trusteq.study import stages

run, which = open_page(experiment, results), {"task": task, "model": model, "seed": seed}
stages.make(run, "train", **which)

# %% [markdown]
# ## The examples
#
# The test split is never looked at while training. Where the task brings no dev split, a tenth of the training
# examples is held out, and no first text is on both sides.

# %% tags=["remove-stderr"]
finetune.examples(run, task)

# %% [markdown]
# ## The recipes
#
# What all models share that are trained comes first, then where they start and in what they differ. A compressed model
# starts from a fine-tuned one, and may be done with that. A model with a teacher also learns from what its fine-tuned
# teacher makes of the training examples; a dash says that a setting does not apply.

# %%
finetune.recipes(run, **which)

# %% [markdown]
# ## Training

# %%
finetune.training(run, **which)

# %% [markdown]
# The grey line marks the epoch that is kept: the first with the highest dev accuracy. Where the dev loss rises while
# the accuracy stands still, a model grows more confident without growing better, which the calibration chapter sees.

# %% [markdown]
# ## What they make of it
#
# On the test split first: the accuracy is to be read against the majority, the share of the most frequent class, which
# a model reaches by never reading.
#
# The dev split serves to find out how much of a miscalibration can be repaired. The large model also gets a twin with
# the same encoder under a head drawn anew, which was never trained: a control that no comparison may mistake for a
# replacement.

# %%
finetune.tested(run, **which)

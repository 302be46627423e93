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
# # Shrink it
#
# How small can a model become before it goes by other words, or before its confidence can no longer be believed?

# %% tags=["parameters"]
experiment = "snli-lab"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %% tags=["remove-output"]
from trusteq.pages import compression as page
from trusteq.pages.show import open_page
from trusteq.study import stages

run = open_page(experiment, results)
task = next(iter(run.experiment.tasks))
stages.make(run, "compress", task)

# %%
page.opening(run, task)

# %% [markdown]
# Agreement in words over the bytes on disk. The upper left is where a small model that can be trusted like the large
# one would stand. A large dot is the mean over training seeds, small ones are the seeds. Where two models of one size
# stand far apart, it is not the size that decides what a model looks at.
#
# The paper shrinks models in one way, by taking smaller pretrained ones. Here one fine-tuned model is made smaller in
# others: layers are dropped, weights rounded to 8 bits, small weights or whole heads pruned, matrices factorised; with
# and without training afterwards, from the labels or from the large model's answers. Each is asked the same question:
# may it replace the large one? The chapter on the method has each way in a line.

# %% [markdown]
# ## What they save
#
# A way to compress is a small function, a compressed model an entry in `registry.yaml` that names it. All are made from
# the same fine-tuned model, saved like any other, and explained for the same examples.
#
# Zeros save nothing by themselves: a pruned matrix takes as much room and time as a full one, unless it is stored and
# multiplied as a sparse one. The times are medians on one machine, the memory is what loading a model and reading the
# test texts adds to a process.

# %%
page.costs(run, task)

# %% [markdown]
# ## What they keep
#
# Accuracy, alignment and calibration beside the large model, with 95% intervals over examples; *ECE* is the debiased
# one. A verdict is about one checkpoint: where two trainings of one way of compressing have two verdicts, neither is
# the way's. The alignment runs from chance, 0, to what the explainer reaches with itself, 1. In the pictures green
# bands are what counts as the same. A model is a replacement where all three are green; one that stands right of the
# band in accuracy is better than the large one, and not the same.

# %%
page.kept(run, task)

# %% [markdown]
# ## What training on adds
#
# Of each model that is there with and without training after the compression.

# %%
page.recovery(run, task)

# %% [markdown]
# Where training on adds accuracy and no alignment, it makes the model right more often, and another one.

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
results = None  # folder below which results are kept; None: the project's own

# %%
from trusteq.pages import results as page
from trusteq.pages.show import open_page

run = open_page(experiment, results)

# %% [markdown]
# ## The models
#
# The paper's Table 1. Accuracy is in percent of the test split; the inference time is for that whole split, on the
# machine named on the status page. The paper's times are for one A100 and its own test splits. Below stand the paper's
# own numbers, and which model of this run plays each part.

# %%
page.models(run)

# %% [markdown]
# ## May a smaller model replace the large one?
#
# In accuracy, in alignment and in calibration, each against a margin of what counts as the same. *Equivalent*: the 95%
# interval of the difference lies within the margin; *not-equivalent*: it lies outside; *undecided*: more examples would
# tell. The verdict is equivalent if all three are, and not as soon as one is not. Beside it stands the paper's rule: no
# drop-in replacement if the mean Jaccard is below 0.7 and the calibration differs. The last rows of a task are controls
# in the place of the smaller model. The second table counts the verdicts.
#
# The figures have each measure in units of its margin: a line within the green band is equivalent, one wholly outside
# is not. An arrow is a difference of more than four margins.

# %%
page.verdicts(run)

# %% [markdown]
# The control "itself, reseeded" must be green throughout and "its random head" must not: they show what the procedure
# makes of a model that is the same, and of one that has not learned the task. "Itself, retrained" has no right answer:
# it shows what training once more already changes.

# %% tags=["hide-output"]
page.differences(run)

# %% [markdown]
# ## Does the method decide?
#
# The verdict above goes by each task's first method. Where another would find another outcome, the verdict is about two
# models and an explainer, and not about the models alone.

# %% tags=["hide-output"]
page.methods(run)

# %% [markdown]
# ## Alignment and calibration in one picture

# %%
page.plane(run)

# %% [markdown]
# Up is more alike in words, left is better calibrated than the large model and right is worse; a model whose cross lies
# within the green box is the same in both. Accuracy plays no part in this picture: a model can stand anywhere in it at
# the same accuracy.

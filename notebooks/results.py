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
# own numbers, and which model of this run plays each part, if any does.

# %%
page.models(run)

# %% [markdown]
# ## May a smaller model replace the large one?
#
# Three questions, three answers. The first: are the two **interchangeable**? In accuracy, in alignment and in
# calibration, each against a margin of what counts as the same. *Equivalent*: the interval of the difference lies
# within the margin; *not-equivalent*: it lies beyond, corrected for asking about several measures; *undecided*: neither
# is shown. The verdict is equivalent if all three are, and not as soon as one is not. Beside it stands the paper's
# rule: no drop-in replacement if the mean Jaccard is below 0.7 and the calibration differs. The last rows of a task are
# controls in the place of the smaller model. The second table counts the verdicts.
#
# The figures have each measure in units of its margin: a line within the green band is equivalent, one wholly outside
# is not. An arrow is a difference of more than four margins.

# %%
page.verdicts(run)

# %% [markdown]
# The control "itself, reseeded" must never be red, and with enough examples is green throughout; "its random head" must
# not be green. They show what the procedure makes of a model that is the same, and of one that has not learned the
# task. "Itself, retrained" has no right answer here: the next section makes it the yardstick.

# %% [markdown]
# ## No worse than training again? And with hand-over?
#
# Every release trains the large model again, and nobody calls that a risk. So the second question is whether the
# smaller model loses more beside the large one than the **large one trained again** does: at most half of each margin.
# The claim is about the other trainings that are here; from three on, about training again. Where the model trained
# again is not shown to do better than the large model's own encoder under a random head, the yardstick shows nothing,
# and the answer is *undecided*.
#
# The third: on which share of inputs may the smaller model **answer alone**, if the large one has all others? It
# answers from a confidence on, which is chosen on the dev split so that a risk, over all inputs, stays below a level in
# 95% of such choices: flips kept are right answers of the large model that are wrong now. The promise is about inputs
# like those of dev; what came of it on the test split stands beside.

# %%
page.answers(run)

# %% [markdown]
# What they rest on, each difference, each loss and each risk:

# %% tags=["hide-output"]
page.differences(run)

# %% [markdown]
# ## How much hangs on the margins
#
# A margin is a choice; its reason is in `trusteq/verdict/margins.yaml`. Where a verdict changes at half or at twice the
# margins, it is about the margin as much as about the models. The second table asks whether agreement in words is a
# sign of the same reasons at all: how much more a smaller model agrees with the large one than the large one does with
# its own encoder under a random head, which knows no task. *No evidence*: shown to be below a quarter of the margin.

# %% tags=["hide-output"]
page.margins(run)

# %% [markdown]
# ## Does the method decide?
#
# The verdict above goes by each task's first method. Where another would find another outcome, the verdict is about two
# models and an explainer, and not about the models alone. Integrated gradients take 50 points a class by themselves:
# where the first table's line allows fewer passes than that, their weights can miss the sum that they should have, by
# how much is not published, and their rows are those of a coarse explainer.

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

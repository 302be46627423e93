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
# # Keep trust
#
# Can a small model, the student, be trained to look at what its large one, the teacher, looks at?

# %% tags=["parameters"]
experiment = "snli-lab"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %% tags=["remove-output"]
from trusteq.pages import keeping_trust as page
from trusteq.pages.show import open_page
from trusteq.study import stages

run = open_page(experiment, results)
task = next(iter(run.experiment.tasks))
stages.make(run, "compress", task)

# %%
page.opening(run, task)

# %% [markdown]
# How much closer a student's top words are to the teacher's than those of the plain student, on the same examples, the
# mean over training seeds. An interval right of 0 shows a gain of these very checkpoints: it is over examples, and says
# nothing of other trainings. Whether students trained so keep more words than others do is asked over all trainings of
# all data on the page *What holds*, where the answer is less sure.
#
# The paper leaves the question open. Here the same student, begun from the same layers of its teacher, is distilled
# under several objectives. Each is a sum of three parts, with weights: the *task* (labels), *calibration* (the
# teacher's probabilities and confidence), and *attribution*, in one of two forms:
#
# - *gradients*: the student's gradients over the words point where the teacher's do;
# - *deleted words*: the student answers like the teacher when random words are taken away, which is what LIME and SHAP
#   ask of a model, without either of them being run.

# %% [markdown]
# ## The students
#
# The first is the plain one, which the others are measured against.

# %%
page.objectives(run, task)

# %% [markdown]
# ## The frontier
#
# A large dot is the mean over training seeds, small ones are the seeds. Up is more alike in words. A student that keeps
# trust stands high and, below, close to 0: as well calibrated as the teacher.

# %%
page.frontiers(run, task)

# %% [markdown]
# The table has what each objective costs beside the plain student: accuracy, distance from the teacher's calibration
# error (below 0 it is closer), and training time. A longer training is the fair rival: an objective that costs twice
# the time must beat plain distillation given as much. Where no row of the students is such a rival, it was not run, and
# a part of the gain may be that of more training.

# %% [markdown]
# ## Does it help under explainers that it was not trained on?
#
# Neither LIME nor SHAP was part of any objective. The gains of the picture above, in numbers, beside what each training
# took.

# %%
page.gains(run, task)

# %% [markdown]
# ## Seed by seed
#
# The last table has each gain beside what the training seeds of one student differ by. A gain that is no larger than
# what the training seeds of one student differ by may be a seed's luck. Of a student with one seed it is not known how
# far seeds differ.

# %% tags=["hide-output"]
page.by_seed(run, task)

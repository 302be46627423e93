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
# # What holds
#
# The paper's claims, one by one, held against runs on real sentences and real pretrained weights, which are published
# with this book. Every number and every verdict on this page is computed from their tables. A row *supports* a claim,
# or *contradicts* it, where its whole 95% interval does, and otherwise *cannot say*. A claim is *mixed* where rows do
# both.
#
# These are not the paper's models: MiniLM, six layers and 22 million parameters, stands where BERT-base stood, and what
# is made of it where the smaller BERTs stood. A claim about compression as such should survive that; a number need not.
# *n* is the number of examples, or of first texts where several examples share one. An interval is over examples: what
# other trainings of the same models would change is not in it, and trainings are few; `snli-again` has models of
# `snli-minilm` trained once more. A third training of two of these is on that run's page on ways to compress, and not
# in the rows here. No interval is widened for the number of rows: of forty, one may err.

# %% tags=["parameters"]
experiments = None  # names of published experiments; None: all on real data

# %%
from trusteq.pages import findings as page

found = page.held(experiments)

# %% [markdown]
# ## All in one table
#
# *Ours* runs from the lowest estimate to the highest. The sections below have the rows, how many say what, and numbers
# to read beside them: the lowest and highest of the runs, models and tasks.

# %%
page.summary(found)

# %% [markdown]
# ## Alignment is low
#
# The paper: the ten words that weigh most for BERT-base and for a smaller model have a mean Jaccard index below 0.7,
# for every pair, task and explainer. Below, the same of the models here.

# %%
page.section(found, "alignment is low")

# %% [markdown]
# What such a number means is another question: below the table stands what chance alone gives, and what the large model
# shares with itself.

# %% [markdown]
# ## Below 0.7 is no drop-in replacement
#
# If that rule is right, a model must pass it beside itself: under another seed of the explainer, and trained again on
# the same data from another seed, as happens with every update of a model that nobody compressed.

# %%
page.section(found, "a model below 0.7 is no drop-in replacement")

# %% [markdown]
# Where the large model does not pass beside itself, the rule says little about compression. The share is the part of
# the disagreement with the smaller models that the explainer's seed alone makes.

# %% [markdown]
# ## Compressed models look at other words
#
# The same question with anchors: 0 is what two random sets share, 1 what the explainer shares with itself. Three
# quarters of that way count as the same words.

# %%
page.section(found, "compressed models look at other words")

# %% [markdown]
# ## Compression changes calibration
#
# Two measures: the expected calibration error less its bias, and mean confidence less accuracy, which has a sign. The
# margin is 0.02.

# %%
page.section(found, "compression changes calibration")

# %% [markdown]
# The numbers beside it are mean confidence less accuracy, less the large model's: below 0 a model is less sure than the
# large one, above it surer. Training the large model again moves it too.

# %% [markdown]
# ## The small model is better calibrated
#
# The paper reports a lower ECE of BERT-Tiny than of BERT-base. Below 0, the smaller model's is lower.

# %%
page.section(found, "the small model is better calibrated")

# %% [markdown]
# A smaller model's error can be lower than the large one's by no more than that is.

# %% [markdown]
# ## Distillation keeps calibration better
#
# Than taking fewer layers does, says the paper. Three layers of MiniLM, once with the large model as a teacher and once
# without: below 0, the distilled one's calibration error is closer to the large model's.

# %%
page.section(found, "distillation keeps calibration better")

# %% [markdown]
# Beside it stand both models' errors, less the large model's. Where the two lie on different sides of it, the interval
# of their difference is not that of the estimate, and the row cannot say.

# %% [markdown]
# ## Accuracy and trust are uncoupled
#
# Models whose accuracy is shown to be the large one's, within the margin of 0.02. The estimate is the difference in
# accuracy; a row supports the claim where the model is then not equivalent in words or in calibration.

# %%
page.section(found, "accuracy and trust are uncoupled")

# %% [markdown]
# ## The boundary changes the number
#
# The released scripts perturb a pair of sentences with its boundary, which is then lost in half of the perturbed texts.
# The estimate is the mean Jaccard as released less that with the boundary kept, on the same examples; the two also have
# different chance levels.

# %%
page.section(found, "the boundary changes the number")

# %% [markdown]
# *0 to 1* is the place of the smaller models between chance and ceiling, both ways.

# %% [markdown]
# ## Most disagreement is compression's
#
# A part of 1 − Jaccard comes from the explainer's own luck, and a part would be there after training the same model
# again. The estimate is what is left for compression; most is more than half of all disagreement, by both intervals.
# Where the large model was trained once, the part of training is not known and stays in the estimate: such a row may
# contradict the claim and cannot support it. Elsewhere it comes from one further training of the large model. A model
# that is made without training has no such part; where the method draws nothing either, it has no row, since nothing
# but compression could make it disagree.

# %%
page.section(found, "most disagreement is compression's")

# %% [markdown]
# Beside it is the share that each source has. More than nothing is compression's where a whole interval lies right of
# 0.

# %% [markdown]
# ## Training can keep more of the words
#
# The paper asks whether a model can be compressed so that it stays trust-equivalent. The student's objective asks it to
# answer like its teacher when words are deleted; the estimate is the gain in mean Jaccard with the teacher over the
# same student without that part.

# %%
page.section(found, "training can keep more of the words")

# %% [markdown]
# ## What fidelity costs
#
# No claim, and so no verdict: what is saved, and what is kept. *Bytes* and *time* are shares of the large model's, the
# time for one text on the CPU of that run, where 8 bits save time only if it has instructions for them; the words are
# on the scale from chance, 0, to ceiling, 1, by the first method.

# %%
page.costs(found)

# %% [markdown]
# ## The three first experiments
#
# The paper expects a mean Jaccard index of 0.5 to 0.7 for LIME's top five words.

# %%
page.first_experiments(found)

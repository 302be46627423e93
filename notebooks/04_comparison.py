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
# Do two models look at the same words? For every pair of models and every method: the Jaccard index of the two sets of
# top words of each explained example, averaged. The number needs two anchors before it says anything: what two random
# sets of the same sizes would reach, *chance*, and what the explainer reaches with itself under another seed, the
# *ceiling*.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own
task = "demo-nli"

# %% tags=["remove-output"]
from trusteq.pages import comparison
from trusteq.pages.show import open_page
from trusteq.study import stages

run = open_page(experiment, results)
stages.make(run, "compare", task)

# %% [markdown]
# ## All pairs and the controls
#
# Each pair under explainer seeds of its own. Intervals are 95% intervals over the explained examples, those
# about one premise drawn together. `0 to 1` puts the mean on the scale from chance, 0, to the ceiling of the pair, 1.
# The last rows are controls of the large model: with itself; under another explainer seed; trained again; with its head
# drawn anew; and beside words drawn at random.

# %%
comparison.pairs(run, task)

# %% [markdown]
# A dot is a pair's mean, its line the interval, the tick the chance level, the diamond the ceiling. What counts is
# where the dot stands between the two: two models that share no idea of what matters still stand on the tick, not at
# zero, and no two models can be expected beyond the diamond. A method that draws nothing has its ceiling at 1. A pair
# whose interval holds the tick is not told from blind choice.

# %% [markdown]
# ## From chance to ceiling
#
# The same on one scale. Below 0 the models agree less than blind choice would; the green band reaches as far below the
# ceiling as the verdict calls "the same". A pair without a place on the scale, since its explainer does not agree with
# itself beyond chance, is left out.

# %%
comparison.scale(run, task)

# %% [markdown]
# The large model with itself under another explainer seed stands at 1 by construction, random words should stand at 0.
# Trained again, the large model is the yardstick: a smaller model that stands as high agrees with it as much as it does
# with itself, and one whose interval ends below agrees clearly less. The results page holds models and controls against
# the margins.
#
# The randomly headed twin shares the encoder and nothing of what the head has learned. Where it stands high, agreement
# on words says little about agreement on the task: the words are those that the encoder reacts to. In a task of two
# classes there is a further reason. The sets take absolute weights, and a head that turns every decision round has the
# same ones.

# %% [markdown]
# ## The paper's rule
#
# The paper calls a pair aligned from a mean of 0.7 on. Beside it stands the mean under common masks: both models
# explained again with the same perturbations, so that they share the explainer's luck. The last column is the paper's
# number for the pair whose parts these models play.

# %%
comparison.papers_rule(run, task)

# %% [markdown]
# Where common masks raise a number, part of the agreement belongs to the masks and not to the models.

# %% [markdown]
# ## Each model with itself
#
# The ceiling of a pair is the mean of its two models' agreement with themselves under another explainer seed. A model
# trained under several seeds is compared across these as well. No pair can be asked for the paper's 0.7 where the
# models do not reach it with themselves.

# %%
comparison.numbers(run, task, "ceilings")

# %% [markdown]
# ## As a matrix

# %%
comparison.figure(run, task, "alignment")

# %% [markdown]
# Where the methods order the pairs differently, the order belongs to the explainer as much as to the models.

# %% [markdown]
# ## Does the size of the sets matter?
#
# The same for the top 1 to 20 words, each smaller model with the large one. The dotted line is the large model under
# another explainer seed, the dashed one the large model trained again, the grey area chance.

# %%
comparison.figure(run, task, "curves")

# %% [markdown]
# With k the chance level rises, until all words are in both sets; a high mean at a large k is no sign of agreement.
# What counts is the distance from the grey area, and at which k it is largest.

# %% [markdown]
# ## In which text?
#
# The top words of the pair, cut to its first and to its second text. Chance is that of two random sets as large as the
# cuts, so how many words each model takes from a text counts as given: the text in which a pair stands further above
# its chance level is the one on which the models agree more.

# %% tags=["hide-output"]
comparison.numbers(run, task, "segments")

# %% [markdown]
# ## Example by example
#
# Each smaller model against the large one. A mean hides this spread: for one example the two models may share all top
# words, for the next hardly more than chance.

# %%
comparison.figure(run, task, "examples")

# %% [markdown]
# The wider a box, the less a single example tells about the pair; an example with no more words than a set takes always
# scores 1.

# %% [markdown]
# ## Other measures of agreement
#
# A set forgets order and size. These do not: the *weighted Jaccard* compares all absolute weights, *RBO* the rankings
# with most weight on their tops, *Spearman* the whole rankings, the *cosine* the weights with their signs.

# %%
comparison.numbers(run, task, "companions")

# %% [markdown]
# The row of random words shows what each measure makes of no agreement: 0 for the last two only. Where the measures put
# different models closest to the large one, which of them is closest is a matter of the measure.

# %% [markdown]
# ## Where the disagreement comes from
#
# The explainer's seed takes what a pair's own explanations differ by from one draw to the next; the training seed, how
# far the large model and itself retrained stay below their ceiling, the same for every model; the model, how much
# further the pair stays below its own. Together they are 1 − Jaccard; a part can come out negative, and is then drawn
# to the left of 0. A model that is made without training has no step of the training seed.

# %%
comparison.figure(run, task, "sources")

# %% tags=["hide-output"]
comparison.numbers(run, task, "sources")

# %% [markdown]
# Only what is left to "model" is compression's doing. What the explainer's seed takes is noise that more samples would
# remove; what the training seed takes would also be seen between two large models.

# %% [markdown]
# ## Does compression lose the evidence, or does the explainer?
#
# Where it is known which words matter, agreement with them can be told from agreement between models. The generated
# tasks plant evidence, and in some examples a shortcut; for SNLI there are the words that people edited to change the
# label. *Recall* is how much of these words is among the top words, *precision* how much of the top words they are.

# %%
comparison.evidence(run, task)

# %% tags=["hide-output"]
comparison.numbers(run, task, "truth")

# %% [markdown]
# If one method finds less of the evidence than another in the same model, it is the explainer that loses it; if under
# each method the smaller model shows less than the large one, it is compression.

# %% [markdown]
# ## Are the explanations faithful?
#
# *Comprehensiveness* is what the gold class loses in probability without the top words, *sufficiency* what it loses
# when they are all that is left: a faithful method has much of the first and little of the second. A method that does
# not stand above the random features, as many words drawn at random, has not found what the model uses.

# %%
comparison.numbers(run, task, "faithfulness_means")

# %% [markdown]
# ## Right for the same reasons?
#
# As in the paper's Table 2: examples that the large model and the smallest one both classify correctly, with the words
# that each relies on. Blue words speak for the gold label, orange ones against it; framed words are the top words.

# %% tags=["remove-stderr"]
comparison.same_reasons(run, task)

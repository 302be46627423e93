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
# # Is 0.5 low?
#
# Two models are asked which ten words of a text decided, and the two lists share half of what they hold together: a
# Jaccard index of 0.5. Is that little?

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %%
import pandas as pd

from trusteq.alignment import chance_jaccard
from trusteq.pages import is_half_low as page
from trusteq.pages.show import open_page, show

run = open_page(experiment, results)

# %% tags=["hide-input"]
page.opening(run)

# %% [markdown]
# A row is a task and an explainer of this run. What is left of the tick, two lists drawn blindly would share as well;
# what is right of the diamond, no two models can be expected to reach. Both are means over all smaller models and all
# explained examples.
#
# The paper reports means on both sides of 0.5 and calls what is below 0.7 not aligned. A number between 0 and 1 seems
# to speak for itself. It does not, and this page shows why: 0 is not what blind choice gives, and 1 is not what
# agreement can reach.

# %% [markdown]
# ## The floor is not at zero
#
# Put the words of a pair of sentences into a hat and draw ten, twice. From twelve words the two draws must share at
# least eight. How much they share on average follows from the number of words alone, exactly, by counting.

# %%
words = [10, 12, 15, 20, 30, 50]
show(pd.DataFrame({"words": words, "chance": [chance_jaccard(n, 10) for n in words]}))

# %% [markdown]
# SNLI's pairs are short. The upper picture shows the chance level by number of words, the lower one how many words
# SNLI's test pairs have. This project takes each occurrence of a word as a feature of its own (*positions*); the
# authors' scripts take the *distinct words* of both texts, the separator among them.

# %% tags=["hide-input"]
page.chance_in_snli()

# %% [markdown]
# *Chance* is the mean Jaccard of two sets drawn blindly, over all these pairs; compare it with the range of the paper's
# own, whose single cells are not held. *0.5 less chance* is all that a mean of 0.5 says beyond it. *Always 1* is the
# share of pairs with ten words or fewer: there both sets hold everything, and the index is 1 whatever the models do.
# Part of what looks like agreement in such a mean is the shortness of the texts. The paper's range pools two tasks, and
# questions may be longer than captions, so this is no correction of its numbers; it is the reason why they cannot be
# read without one.

# %% [markdown]
# ## The ceiling is not at one
#
# LIME draws perturbed texts at random. Run it on the same model and the same sentence under another seed, and the top
# ten differ. No two models can be expected to agree more than the explainer agrees with itself. And one step further:
# train the *same* model again under another seed, and ask how far it agrees with its own twin. The first two rows of
# each picture are these; the others are the smaller models of this run.

# %% tags=["hide-input"]
page.ceilings(run)

# %% [markdown]
# A method that draws nothing, such as SHAP's partition explainer, agrees with itself at 1 by construction. That is no
# proof that it is right: its error is the same each time. The model trained again is then the only yardstick it has.

# %% [markdown]
# ## Why not simply draw more?
#
# More samples make an explainer steadier, at a price in time. Measured once, with a model fine-tuned on SNLI (see the
# status page for the machine):

# %% tags=["hide-input"]
page.steadiness()

# %% [markdown]
# `passes` is what was allowed for one example. The ceiling moves with the budget: a cut at a fixed number is strict for
# a hasty explainer and lenient for a patient one.

# %% [markdown]
# ## From chance to ceiling
#
# So put 0 at chance and 1 at the ceiling, and the same pairs again. At the ends stand the controls: random words, and
# the large model under another explainer seed. The tables count the smaller models that agree with the large one as far
# as it does with itself trained again, and those whose interval lies below that one's; where the large model was
# trained once, there is nothing to count.

# %% tags=["hide-input"]
page.scale(run)

# %% [markdown]
# ## So, is 0.5 low?
#
# It depends on the words of the texts and on the explainer's budget. In this run:

# %% tags=["hide-input"]
page.half(run)

# %% [markdown]
# What stands under "0.5 is" is its place between chance, 0, and ceiling, 1. At 0 or below it is no more than chance:
# low. A number above 1 is one that no two models could be expected to reach: not low. In between, no line divides low
# from high by itself: hold it against the large model trained again, in the tables above, and against a margin that was
# set beforehand. Where there is none, the explainer does not agree with itself beyond chance, and no number could be
# judged. "0.7 is" says the same of the paper's cut.

# %% [markdown]
# ## In class
#
# ```{exercise} Your own 0.5
# :label: half-own
# A colleague reports a mean Jaccard of 0.5 between two models, for top-10 sets of texts of 20 words each; the explainer
# agrees with itself at 0.8. Another reports 0.4 for texts of 50 words and a ceiling of 0.6. Whose models agree more?
# Use `trusteq.alignment.chance_jaccard`.
# ```
#
# ```{solution-start} half-own
# :class: dropdown
# ```
# Chance first:

# %%
show(pd.DataFrame({"words": [20, 50], "chance": [chance_jaccard(20, 10), chance_jaccard(50, 10)]}))

# %% [markdown]
# Subtract it from both the value and the ceiling, and divide: (0.5 − 0.341) / (0.8 − 0.341) = 0.35 for the one, and
# (0.4 − 0.116) / (0.6 − 0.116) = 0.59 for the other.
#
# The lower number is the better agreement: 0.4 in long texts is further from chance, and nearer to what the explainer
# can see at all.
#
# ```{solution-end}
# ```
#
# ```{exercise} A rule that travels
# :label: half-rule
# Someone proposes "aligned from 0.7 on" for all tasks and explainers. Name a task on which two models that share
# nothing would pass, and an explainer with which a model would fail beside itself.
# ```
#
# ```{solution} half-rule
# :class: dropdown
# Any task whose texts have eleven words or fewer passes: two random top-10 sets out of eleven words share at least
# nine, so each index is at least 9/11. An explainer that draws too few samples fails: look for one below 0.7 in the
# table of steadiness above, and think of the same one with a tenth of the passes.
# ```

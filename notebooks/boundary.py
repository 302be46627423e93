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
# # What the boundary does
#
# A pair of sentences is two texts. The scripts that the paper's authors released make it one text before they explain
# it, and let the explainer delete what stood between the two. What does that change?

# %% tags=["parameters"]
premise = "A tired man sleeps on a bench near the old station."  # invented, as the next
hypothesis = "The man is running near the station."
samples, seed = 6, 0  # perturbed texts that are shown

# %%
from trusteq.pages import boundary as page
from trusteq.pages import findings

found = page.held()

# %%
page.opening(found)

# %% [markdown]
# The same two models and examples, explained by LIME in both ways. The diamond is how far their ten words agree, the
# tick what two lists drawn blindly would share; only what lies between them says something of the models.
#
# ## How an explainer asks
#
# LIME finds out what matters to a model by deleting words at random and watching the answer. A model that reads pairs
# has learnt from pairs: a first text, a mark, a second text. If the mark is never deleted, whatever is left is a pair.
# The released scripts join both texts around the mark, as in "… station. [SEP] The man …", and treat `SEP` as a word.
# When it goes, the script that takes the text apart again finds no second text: it gives the model everything as the
# first, and nothing as the second. So it is with LIME on NLI, which this page is about; what the scripts do with
# paraphrases, and with SHAP, is among the [deviations](../deviations.md#explanations).
#
# ## A pair to look at
#
# Two invented sentences. As released, a word that occurs twice is one feature, and the mark is one; with the boundary
# kept, each place of a word is one and the mark none. *Chance* is the mean Jaccard of two sets of ten drawn blindly
# from so many features: two models that share nothing come out as more alike where there is less to choose from.
#
# Below are a few of the texts that LIME asks the models about, for each way.

# %%
page.pair(premise, hypothesis, samples=samples, seed=seed)

# %% [markdown]
# The word `SEP` goes, its brackets stay. Where the second column is empty, a model is asked about something that it
# never saw in training: a premise with no hypothesis, or with both sentences run together. What it answers there enters
# the weights of all words. The share counts every text without a second one.
#
# ## What published runs say
#
# The claim to be tested is that the released boundary makes models look alike: that above chance, too, they share more
# words. Chance must be taken off first, since the raw indices, in the second table, differ as much by it. In the
# picture, right of 0 the released way makes models look more alike, left of it less; black is what decides.

# %%
findings.section(found, page.STATEMENT)

# %% [markdown]
# One pair of models of one training is about these checkpoints, and not about boundaries as such. And the boundary is
# not isolated: fewer features, a feature that is no word, and an empty second text come together in the released way,
# and no published run changes one of these alone. What is safe to say: a Jaccard index found in one way must not be
# held against one found in the other, nor against the same cut.

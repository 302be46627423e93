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
# # May I replace mine?
#
# You have a large model and a smaller one. There are three ways to ask, and each has its own answer: are they
# **interchangeable**? Is the small one **no worse than training again**? Which inputs may it **answer alone**?

# %% tags=["parameters"]
published = "snli-minilm"  # a folder of data/published
small = "MiniLM distilled to 3 layers"  # the one that is looked at closely
another, alike = "snli-again", "MiniLM in int8"  # a folder, and a model of it that is audited beside these

# %%
from trusteq.pages import replace as page

found = page.held(published) | page.held(another, only=[alike])

# %%
page.opening(found)

# %% [markdown]
# One panel a smaller model, one line a measure: its difference from the large model with the 95% interval, in units of
# the margin, which is how much one is ready to bear. A line within the green band is shown to be the same, one wholly
# outside is shown to differ. Where it reaches across an end, these examples cannot tell, and "cannot tell" is not "the
# same". An arrow is a difference of more than four margins.
#
# Everything here is computed from what the models answered to the same test examples, as probabilities. No model is
# needed for it, and so it can be done with yours. What it leaves out is **whether they go by the same words**: with the
# models at hand an audit asks that too. A model that is undecided here may be shown to go by other words there, and is
# then not equivalent: the results of [these runs](published/snli-minilm/results.ipynb), and of
# [the model in 8 bits](published/snli-again/results.ipynb), have it.
#
# The models are of SNLI, under one training seed; the one in 8 bits is made of the same large model under another.
#
# ## The three answers
#
# *Interchangeable*: equivalent only if every measure is within its margin; not as soon as one is shown beyond it.
# *Beside training again*: the large one, trained again with another seed, is not quite itself either; does the small
# one lose more than that? *Alone*: it answers when it is sure enough and hands all else to the large one. The threshold
# is chosen so that at most 1% of all inputs were right and are wrong now (flips), in 95% of such choices, for inputs
# like those that it was chosen on. The promise is no better than that likeness: on
# [SST-2](published/sst2-minilm/results.ipynb), where dev is cut from the training rows, some thresholds are shown to
# miss their level. Each answer is about two checkpoints, and each model has its own 95%: nothing is corrected for
# looking at several.

# %%
page.table(found)

# %% [markdown]
# They need not agree, since they are about different uses. Who swaps the models unseen needs the first. Who retrains
# every month anyway may live with the second. Who can keep both models running needs only the third.
#
# ## When the answer is not yet
#
# Each measure with its margin. *n* counts what is independent: examples, or premises that several of them share. *n
# needed* is how many would decide, if the difference is the one that is seen. Close to a margin that is more than
# anyone has, and "undecided" is then the answer that stays.
#
# Then what hand-over costs: to the right, the small model answers more on its own, and more goes wrong. A dot is what
# came of a threshold chosen on other examples, the dev split; the tick of its colour is the level that was promised. A
# dot below its tick kept its promise.

# %%
page.example(found, small)

# %% [markdown]
# ## When the answer is yes
#
# Weights in 8 bits save bytes, and time where the processor has instructions for them. Every interval below lies within
# its margin, so the two are interchangeable in what is asked here, and by the results of that run in their words as
# well, by LIME and by SHAP. That is no promise about 8 bits: the verdict is about this pair, on inputs like these. And
# equivalent is not equal: the answers that turned wrong are those of the curve at its right end.

# %%
page.example(found, alike)

# %% [markdown]
# ## Now yours
#
# Save what each model answers to the same examples: a file for each, with a column `label`, a column of probabilities a
# class and perhaps an `id`. Then one command:
#
# ```bash
# trusteq audit large.csv small.csv --retrained large-again.csv --dev large-dev.csv small-dev.csv --out audit/
# ```
#
# It writes a report to read (`audit.html`), one for machines and a paragraph for a model card. Without a second
# training or a dev split leave out their options: the answers that need them are then not given. With two checkpoints
# and a file of texts in place of predictions, the same command also explains both models and compares their words;
# [Run it again](../rerun.md#two-models-of-your-own) has every way. To get a feeling for margins and thresholds first,
# turn the knobs of [the third instrument](try_it.ipynb) of *Try it*; [the lesson](lesson_audit.ipynb) audits a pair
# step by step.

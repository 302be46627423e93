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
# # Beyond sentence pairs
#
# The paper asks it in its last words: do the same trends carry over to decoder-only language models, to images and to
# audio? Here the question is put to each with the same instruments: what chance gives, what a model shows that knows no
# task, what the large model shows when it is trained again, and what its explainer shows with itself.

# %% tags=["parameters"]
published = None  # kinds of input, by name: folders of data/published; None: all that the project asks of

# %%
from trusteq.pages import beyond as page

kinds = page.held(published)

# %%
page.opening(kinds, published)

# %% [markdown]
# ## What carries over
#
# Three things are asked of each kind. *Other features*: do compressed models lie below the margin within which features
# would count as the same? *More than training again*: are they further below their ceiling than the large model is when
# it is trained again? *Another calibration*: does the error move, up or down, by more than its margin? Each number is
# the mean over compressed models that were trained (over all, where none was), and over explainers, with the mean of
# their intervals; three trainings or more, filled points, speak of further ones, fewer of these checkpoints. *Yes*: the
# whole interval lies beyond the line; *no*: it lies short of it; where it lies on both sides, these examples cannot
# say.

# %%
page.carries_over(kinds)

# %% [markdown]
# ## The four anchors
#
# A row for each kind of input and explainer. *Knows no task*: the large model's own encoder, which was trained, under a
# random head (of label words, random words in their place). *Compressed*: one point a smaller model, with its 95%
# interval. *Trained again*: the large model beside itself under another training seed. Where a random head agrees as
# well as compressed models do, what the encoder attends to decides, and agreement says little of the task.
#
# Below, the same as Jaccard indices of the top features, which is what the paper reports. They cannot be compared down
# the page: how many features there are, and how many of them count as top, decides what chance alone gives.

# %%
page.anchor_table(kinds)

# %% [markdown]
# ## The models, one by one
#
# *Change of error*: of the debiased calibration error, less the large model's. *Flips*: of all inputs, those that the
# large model has right and the small one wrong. *Place*: of its top features, from chance, 0, to ceiling, 1. Then the
# three answers: *interchangeable*, "not equivalent" as soon as one explainer or training says so; *beside training
# again*, "worse" as soon as one does; *alone*, on which share of the inputs it may answer at 1% of flips (of the first
# training).

# %%
page.model_table(kinds)

# %% [markdown]
# ## Is the top set where the answer is?
#
# Of images and sound it is known by construction which features decide: the digit with the bar, the keyword among three
# words. How much of the top set lies there says whether explanations can be trusted at all on such inputs, before two
# models are compared by them.

# %%
page.truth(kinds)

# %% [markdown]
# ## What two models look at
#
# The large model and one that was cut and trained on: blue speaks for the right class, orange against it; the top
# patches, or segments, have a frame.

# %%
page.pictures(kinds)

# %% [markdown]
# ## How to read it
#
# - **The decoder** was brought from 4 bits to single precision before anything was done with it, and so was its
#   "large" model: what is lost between SmolLM2 as it was released and this one is no part of the comparison. Few
#   sentences are explained, since a pass takes a tenth of a second on the machine that made this. In 4 bits again, the
#   fine-tuned model knows nothing of its task: fine-tuning moved its weights by less than half a step of the 4 bits
#   that they had come from, and rounding puts them back. That is no finding about 4 bits of other weights.
# - **Label words.** Probabilities are normalised over the label words alone, which makes confidence look higher than
#   the model's own: the table below has how much of its probability is on them, in the mean over all test sentences and
#   in the least of them. Without training nothing can be trained again.
# - **Images and sound** are small models on made-up data: two digits, one of them with a bar; three words in noise.
#   What stands where a patch or a segment is left out matters: the results of each run say which, and have LIME under
#   another mask beside it.
# - **Margins** are those of text pairs. Whether a place of 0.75 is as good on patches as it is on words, nobody has
#   asked users.
#

# %%
page.label_words(kinds)

# %% [markdown]
# ## What is open
#
# Models that write text: what "the same answer" and "how sure" mean for a sequence would have to be settled first.
# Languages other than English. Images and sound of the world, and models of their size: the same experiment files name
# them by Hub id, see [rerun](../rerun.md).

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
# # The paper's first experiments
#
# At its end the paper names three small experiments to begin with:
#
# - **(a)** On 50 random test pairs of MRPC, do a large model and its distilled half share LIME's top five words? The
#   paper expects a mean Jaccard index of 0.5 to 0.7.
# - **(b)** How does the calibration of the same two models shift, in confidence histograms and ECE?
# - **(c)** The same two questions about sentiment, on SST-2.
#
# The range is that of (a); that it is meant for (c) too is our reading of "the same".
#
# Each has an experiment file, `first-alignment`, `first-calibration` and `first-sentiment`, and this page is made for
# every one of them. It always has both parts; where one is not as the paper asks, it says so.

# %% tags=["parameters"]
experiment = "first-alignment"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %%
from trusteq.pages import first as page
from trusteq.pages.show import open_page

run = open_page(experiment, results)

# %% [markdown]
# ## The answers in short
#
# The paper names BERT-base and Distil-BERT; here their parts are played by the models in the first table. *Explained as
# asked* is LIME's top five words of 50 examples.
#
# Of the answers, *open*: the interval reaches over an end of the expected range. *not shown*: the interval of the
# difference holds 0; that does not show that there is no shift.

# %%
page.answers(run)

# %% [markdown]
# ## Do the two look at the same words?

# %%
page.words(run)

# %% [markdown]
# The grey area is the range that the paper expects, 0.5 to 0.7. The dot is the mean, the line its interval, the tick
# what two sets drawn blindly would share, and the diamond what the explainer shares with itself under another seed. A
# method that draws nothing has its ceiling at 1. Where an interval reaches over an end of the range, so few examples
# leave it open.

# %% [markdown]
# ## What does such a mean say?
#
# A range of Jaccard indices expects something only between its anchors: at chance it would be met by two models that
# share nothing, and above the ceiling not even by one model beside itself. So put chance at 0 and the ceiling at 1, and
# the mean and the expected range between them.

# %%
page.scale(run)

# %% [markdown]
# An interval above 0 tells the pair from chance, one below 1 from a single model explained twice. An end of the
# expected range at 0 or below asks for no more than chance gives, one above 1 for more than a model reaches with
# itself.

# %% [markdown]
# ## How many examples does it take?
#
# The width of an interval falls with the square root of the number of examples: half the width takes four times as
# many. One reason for wide intervals is how coarse a single index is.

# %%
page.needed(run)

# %% [markdown]
# One dot is one example; the box holds the middle half of them. The further the dots are apart, the less the mean of a
# few of them tells about the next few.

# %% [markdown]
# ## Does the calibration shift?
#
# All test examples now, not the explained ones alone. In the picture the solid line is the mean confidence, the dashed
# one the accuracy. Solid right of dashed is too sure, left of it not sure enough. The ECE can stay where it is while
# the confidences move, if the accuracy moves with them.
#
# The ECE of a calibrated model is not 0, and is larger the fewer the examples. So it is the difference that is tested:
# both models are scored on the same drawn examples, and the interval is for the difference of the two errors without
# that luck. The difference of the raw values may lie near its end.

# %%
page.calibration(run)

# %% [markdown]
# *Above 0.9* is the share of predictions that are so sure. An interval of the difference that leaves out 0 shows a
# shift: above it for the worse, below it for the better. Where the ECE shifts, a confidence of the smaller model is not
# worth what it was in the large one. Whether a shift is small enough to live with is a matter of margins, and so for
# the page of results.

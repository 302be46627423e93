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
# # Try it
#
# Three instruments that compute in this very page, offline: two of the run's models and LIME, the calibration of all
# its models, and the decision whether a small one may take a large one's place. Nothing is sent anywhere. Turn a knob,
# by mouse, touch or keyboard, and see what moves, and what does not.

# %% tags=["parameters"]
samples, seed = 200, 0  # what the knobs show at first
bins = 10
margin, threshold = 0.02, 0.6

# %% tags=["remove-input"]
from trusteq.pages import instruments as page

# %% [markdown]
# ## Explain it yourself
#
# Choose a pair, or type your own: both models answer, and LIME says which words weighed most in the answer of the large
# one, which may differ from the small one's. (LIME deletes words at random, watches the answers, and fits a straight
# line: [a lesson](lesson_lime.ipynb) builds it.) Words in blue speak for the answer, words in orange against it; framed
# ones are among the ten of largest weight. The dot is the Jaccard index of the two models' ten: what they share, over
# what they hold together.
#
# **Try**: press *Another seed* five times and watch the dot. Then press *Same model, another seed*. **What to see**:
# the number moves although neither model has changed, and in all but very short pairs the large model does not agree
# with itself at 1 either. Draw more texts, and the ceiling rises: it belongs to the explainer, not to the models.

# %% tags=["remove-input"]
page.instrument("explain", samples=samples, seed=seed)

# %% [markdown]
# Both models know the words of the generated corpora alone; all others are one and the same unknown word to them.
# Chance is what two random lists of ten out of as many words would share, so it is high in short pairs: with ten words
# or fewer it is 1. The ceiling is the mean of what each model shares with itself under another seed, over the draws so
# far.

# %% [markdown]
# ## The calibration bench
#
# A model is calibrated if of its answers at a confidence of 0.8 eight in ten are right: dots on the dashed line. The
# expected calibration error (ECE) is the mean distance from it, the maximum one (MCE) the largest.
#
# **Try**: press *Draw labels from the model itself*, which makes it calibrated by construction, and take fewer and
# fewer examples. **What to see**: the errors are not 0, and they grow, by luck alone; the MCE most, and more so with
# more bins. An error inside its band shows no miscalibration. Then use the true labels again and seek the *temperature*
# that takes the ECE into its band: a number that makes the model less sure, above 1, or more, and changes no answer.

# %% tags=["remove-input"]
page.instrument("bench", bins=bins)

# %% [markdown]
# ## May it replace the large one?
#
# Say how many points of accuracy you could bear to lose, or to gain: the margin. It may, if the whole interval of the
# difference lies within; it may not, if it lies wholly beyond; else these examples do not tell. Below a confidence of
# your choice the small model hands an input over to the large one, which costs the time of both.
#
# **Try**: fewer examples, then a wider margin; then raise the threshold until the answer with hand-over is yes. **What
# to see**: with few examples nothing is decided, which is not the same as "no difference"; answers turn wrong and right
# even where the accuracies are equal; and a hand-over buys agreement with time.

# %% tags=["remove-input"]
page.instrument("exchange", margin=margin, threshold=threshold)

# %% [markdown]
# This is one measure of several, accuracy, and the threshold is chosen by eye on the very examples that judge it. An
# audit asks for all measures at once, and takes its threshold from other examples than those it promises for.

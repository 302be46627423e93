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
# # Calibration, with error bars
#
# Does a model's confidence say how often it is right, and does a smaller model say it as the large one does?

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own
task = "demo-nli"
seed = 0

# %% tags=["remove-output"]
from trusteq.pages import calibration
from trusteq.pages.show import open_page
from trusteq.study import stages

run = open_page(experiment, results)
stages.make(run, "calibrate", task, seed=seed)

# %%
calibration.opening(run, task, seed)

# %% [markdown]
# A model that says 80% should be right in 80 of 100 such cases. The **expected calibration error** (ECE) is the mean
# distance between what it says and how often it is right: predictions are put into 10 bins by their confidence, and the
# distance of each bin counts by its share of them. 0 is perfect, 0.05 means five points off in the mean.
#
# The dot is the ECE, the line its 95% interval, the grey bar where a calibrated model would have it: not at 0, since
# bins of few examples leave the diagonal by luck. A dot within its bar is no sign of miscalibration, and no proof of
# calibration either: with more examples the bar would be narrower. The paper reports a lower ECE for BERT-Tiny than for
# BERT-base, without bars; whether a difference between two models is more than luck is for the differences below to
# say. The last rows are controls of the large model: trained again under another seed, where the experiment has one,
# and with its head drawn anew.
#
# All models of the experiment answer every example of the test split; examples about one premise are taken together.
# Intervals are over these examples, of one training of each model: nothing here is about other trainings. The 95% of a
# calibration error is what is aimed at; how often it is reached is on the page *Can these intervals be trusted?*.

# %% [markdown]
# ## Scores
#
# Each value stands beside its 95% interval. The Brier score sums squared errors over the classes, from 0 to 2; NLL is
# in nats. For both, lower is better.

# %%
calibration.numbers(run, task, seed, "scores")

# %% [markdown]
# ## Calibration errors
#
# ECE is the mean gap between confidence and accuracy, MCE the largest gap of a bin, both from 0 to 1, lower is better.
# Neither is 0 for a calibrated model, since bins of few examples leave the diagonal by luck. *If calibrated* is where
# 95% of the values would lie if the model had these confidences and were calibrated. The interval of an ECE is for the
# error without that luck, so the value may stand near its upper end or above it; an MCE has none.

# %%
calibration.errors(run, task, seed)

# %% [markdown]
# ## Does the kind of error matter?
#
# The same gap measured otherwise: *adaptive*, over bins that hold equally many examples; *classwise*, for the
# probability of each class and not the largest alone; *debiased*, the ECE less what luck adds to it; and *smooth*, with
# a kernel in place of bins.

# %%
calibration.numbers(run, task, seed, "kinds")

# %% [markdown]
# Where two models swap places from one column to the next, no single one of these errors can rank them.

# %% [markdown]
# ## Differences from the large model
#
# Both models are scored on the same drawn examples, so what is hard for both cancels. *Equivalent*: the 95% interval
# lies within the margin; *not-equivalent*: outside of it; *undecided*: so many examples would be needed for an answer,
# if the difference is the one seen. The calibration error is the debiased one. The first control, the large model
# beside itself, must come out as exactly 0. Scores that mix calibration with accuracy have no margin.

# %%
calibration.numbers(run, task, seed, "differences")

# %% [markdown]
# ## Reliability diagrams
#
# Each bar is the accuracy within a bin of confidence, the hatching its gap to the diagonal, on which confidence and
# accuracy agree. A dot stands at the bin's mean confidence; its area is the bin's share of the predictions. The grey
# line through it is where 95% of such dots would be if the model were calibrated.

# %%
calibration.reliability(run, task, seed)

# %% [markdown]
# Dots below the diagonal are overconfident bins, dots above it underconfident ones. A bin with a tiny dot holds few
# predictions: its gap is mostly noise and its grey line long, yet it alone can set the MCE. One bin in twenty lies
# outside its line by luck.

# %% [markdown]
# ## Confidence
#
# How sure are the models? The solid line is the mean confidence, the dashed line the accuracy: the distance between the
# two is the part of the miscalibration that a single number can show. The paper gives the shares below for its NLI
# models; two of its cells are held.

# %%
calibration.confidence(run, task, seed)

# %% [markdown]
# A model that moves probability into the last bin without becoming more accurate has become overconfident there, which
# a score averaged over all bins may hide.

# %% [markdown]
# ## What the Brier score is made of
#
# Brier score = reliability − resolution + uncertainty + what happens within bins. *Reliability* is what is
# miscalibrated, *resolution* how far the probabilities tell one example from another, and *uncertainty* belongs to the
# labels alone. The part in which a smaller model stands furthest from the large one says what it has lost: its
# calibration, or its grip on the examples.

# %%
calibration.numbers(run, task, seed, "parts")

# %% [markdown]
# ## What can be repaired?
#
# Temperature scaling divides the logits by one number $T$, fitted to the dev split. It makes a model more or less sure
# and changes no prediction; a $T$ above 1 takes confidence away. The test split, before and after. A mismatch that one
# number removes on both sides is a matter of setting a dial; what is left is not. So each model is also compared with
# the large one as they are, and with both rescaled. $T$ is fitted once: how uncertain it is itself, is not in the
# intervals. It repairs the test split as far as dev is like it: where the ECE grows, dev is not, or chose its epoch too
# well, and a hand-over that is chosen on the same dev split has the same weakness.

# %%
calibration.numbers(run, task, seed, "repair")

# %% [markdown]
# ## Loyalty
#
# Does a model say what the large one says, right or wrong? *Label loyalty* is the share of examples with the same
# predicted class, *probability loyalty* compares all probabilities of an example, 1 if they are equal, and *total
# variation* is the most that the probability of anything differs, 0 if nothing does. *Confidence distance* compares the
# confidences as a whole, not example by example: two models can be sure equally often, of different things.

# %%
calibration.numbers(run, task, seed, "loyalty")

# %% [markdown]
# The large model trained again is the yardstick, where there is one: what it would not do for itself cannot be asked of
# a smaller one. The random head shows what is left when only the encoder is shared.

# %% [markdown]
# ## How the predictions agree
#
# What a user of the large model would notice. *Right to wrong* are negative flips: answers that were right and are
# wrong now; then beside how many there would be if both models erred independently. Do both err on the same examples,
# beyond what as many errors would share by chance? How far do the probabilities move, in the mean and in the worst
# tenth and hundredth of the examples? How well does confidence sort errors out, how many classes must a set hold to
# have the right one in 90% of cases (calibrated on the dev split), and which class loses most? All of this informs and
# decides nothing.

# %%
calibration.numbers(run, task, seed, "agreement")


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
# # Calibration
#
# Does a model's confidence say how often it is right, and does a smaller model say it as the large one does? All
# models of the experiment on every example of the test split. Where bins of confidence are needed, there are 10 of
# equal width.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"
seed = 0

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages.calibration import (
    beside_paper,
    decomposition_view,
    difference_view,
    error_intervals,
    error_view,
    loyalty_view,
    outcome_view,
    repair_view,
    score_view,
    share_table,
    temperature_view,
)
from trusteq.pages.figures import STYLE, confidence_histogram, per_model, reliability_diagram
from trusteq.pages.show import show, side_titles, titles
from trusteq.sentences.calibration import (
    bar_sentence,
    calibration_outcome_sentence,
    calibration_sentence,
    decomposition_sentence,
    loyalty_sentence,
    null_band_sentence,
    temperature_sentence,
)
from trusteq.study.calibrate import calibration_differences, decomposition_table, interval_scores, judged_scores, loyalty_tables, reliability_tables, score_table, temperature_table
from trusteq.study.sides import predicted_sides
from trusteq.study.results import Results

run = Results.of(experiment, results)
which = {"task": task, "seed": seed}
names, models = side_titles(run), list(run.experiment.models)
plt.style.use(STYLE)

# %% [markdown]
# ## Scores
#
# Each value stands beside its 95% bootstrap interval; examples about one premise are drawn together. The Brier score
# sums squared errors over the classes, from 0 to 2; NLL is in nats. For both, lower is better. The last rows are
# controls of the large model: trained again under another seed, where the experiment has one, and with its head drawn
# anew.

# %%
scores = score_table(run, task, seed)
run.write(scores, "calibration", task, seed, "scores", **which)
sides = predicted_sides(run, task, seed)
found = interval_scores(sides)
show(score_view(found, run, "accuracy", "brier", "nll"))

# %% [markdown]
# ECE is the mean gap between confidence and accuracy, MCE the largest gap of a bin, both from 0 to 1, lower is better.
# Neither is 0 for a calibrated model, since bins of few examples leave the diagonal by luck. *If calibrated* is where
# 95% of the values would lie if the model had these confidences and were calibrated. The interval of an ECE is for the
# error without that luck, so the value may stand near its upper end or above it; an MCE has none.

# %%
show(error_view(found, run))

# %%
error_intervals(found, names, models);
# %% [markdown]
# The dot is the ECE, the line its interval, the grey bar where a calibrated model would have it. A dot within its bar
# is no sign of miscalibration, and no proof of calibration either: with more examples the bar would be narrower.

# %%
Markdown(null_band_sentence(found, run))

# %% [markdown]
# The paper's numbers stand beside the models that play the part of its own:

# %%
three = scores[["model", "ece", "mce", "brier"]]
show(beside_paper(three, run, task))

# %%
Markdown(calibration_sentence(scores, run))

# %% [markdown]
# ## Does the kind of error matter?
#
# The same gap measured otherwise: *adaptive*, over bins that hold equally many examples; *classwise*, for the
# probability of each class and not the largest alone; *debiased*, the ECE less what luck adds to it; and *smooth*, with
# a kernel in place of bins.

# %%
others = ("adaptive_ece", "classwise_ece", "debiased_ece", "smooth_ece")
view = score_view(found, run, *others, chance=True)
show(view.drop(columns="debiased if calibrated"))

# %% [markdown]
# Where two models swap places from one column to the next, no single one of these errors can rank them.

# %% [markdown]
# ## Differences from the large model
#
# Both models are scored on the same drawn examples, so what is hard for both cancels. *Equivalent*: the 95% interval
# lies within the margin; *not-equivalent*: outside of it; *undecided*: so many examples would be needed for an answer,
# if the difference is the one seen. The calibration error is the debiased one. The first control, the large model
# beside itself, must come out as exactly 0.

# %%
differences = calibration_differences(sides)
run.write(differences, "calibration", task, seed, "differences", **which)
judged = judged_scores()
for score, margin in judged.items():
    caption = f"{margin.title}, margin ±{margin.margin:g}"
    display(show(outcome_view(differences, run, score), caption=caption))

# %%
Markdown(calibration_outcome_sentence(differences, run))

# %% [markdown]
# Scores that mix calibration with accuracy have no margin; above 0 is worse than the large model:

# %%
show(difference_view(differences, run, "brier", "nll"))

# %% [markdown]
# ## Reliability diagrams
#
# Each bar is the accuracy within a bin of confidence, the hatching its gap to the diagonal, on which confidence and
# accuracy agree. A dot stands at the bin's mean confidence; its area is the bin's share of the predictions. The grey
# line through it is where 95% of such dots would be if the model were calibrated.

# %%
reliability = reliability_tables(run, task, seed)
run.write(reliability, "calibration", task, seed, "reliability", **which)
per_model(reliability, reliability_diagram, titles(run));
# %%
Markdown(bar_sentence(reliability, run))

# %% [markdown]
# Dots below the diagonal are overconfident bins, dots above it underconfident ones. A bin with a tiny dot holds few
# predictions: its gap is mostly noise and its grey line long, yet it alone can set the MCE. One bin in twenty lies
# outside its line by luck.

# %% [markdown]
# ## Confidence histograms
#
# How sure are the models? The solid line is the mean confidence, the dashed line the accuracy: the distance between the
# two is the part of the miscalibration that a single number can show.

# %%
per_model(reliability, confidence_histogram, titles(run));
# %% [markdown]
# ## Share of the predictions by confidence
#
# In percent of the test split. The paper gives this table for its NLI models; two of its cells are held.

# %%
show(share_table(reliability, run, task), digits=1)

# %% [markdown]
# A model that moves probability into the last bin without becoming more accurate has become overconfident there, which
# a score averaged over all bins may hide.

# %% [markdown]
# ## What the Brier score is made of
#
# Brier score = reliability − resolution + uncertainty + what happens within bins. *Reliability* is what is
# miscalibrated, *resolution* how far the probabilities tell one example from another, and *uncertainty* belongs to the
# labels alone.

# %%
parts = decomposition_table(sides)
show(decomposition_view(parts, run))

# %%
Markdown(decomposition_sentence(parts, run))

# %% [markdown]
# ## What can be repaired?
#
# Temperature scaling divides the logits by one number $T$, fitted to the dev split. It makes a model more or less sure
# and changes no prediction. The test split, before and after:

# %%
dev = predicted_sides(run, task, seed, "dev")
repaired = temperature_table(sides, dev)
run.write(repaired, "calibration", task, seed, "temperature", **which)
view = temperature_view(repaired, run, "ece", "nll", "overconfidence")
show(view, formats={"temperature": "{:.2f}"})

# %% [markdown]
# A mismatch that one number removes on both sides is a matter of setting a dial; what is left is not. So each model is
# compared with the large one as they are, and with both rescaled. $T$ is fitted once: how uncertain it is itself, is
# not in the intervals.

# %%
for score in ("debiased_ece", "overconfidence"):
    view = repair_view(differences, repaired, run, score)
    caption = f"Difference from the large model in {judged[score].title}"
    display(show(view, caption=caption))

# %%
Markdown(temperature_sentence(differences, repaired, run))

# %% [markdown]
# ## Loyalty
#
# Does a model say what the large one says, right or wrong? *Label loyalty* is the share of examples with the same
# predicted class, *probability loyalty* compares all probabilities of an example, 1 if they are equal, and *total
# variation* is the most that the probability of anything differs, 0 if nothing does. *Confidence distance* compares the
# confidences as a whole, not example by example: two models can be sure equally often, of different things.

# %%
loyalty = loyalty_tables(sides)
run.write(loyalty, "calibration", task, seed, "loyalty", **which)
show(loyalty_view(loyalty, run, "label_loyalty", "probability_loyalty"))

# %%
show(loyalty_view(loyalty, run, "total_variation", "confidence_distance"))

# %%
Markdown(loyalty_sentence(loyalty, run))

# %% [markdown]
# The large model trained again is the yardstick, where there is one: what it would not do for itself cannot be asked of
# a smaller one. The random head shows what is left when only the encoder is shared.

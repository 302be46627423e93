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
# Each has an experiment file, `first-alignment`, `first-calibration` and `first-sentiment`, and this page is made for
# every one of them. It always has both parts; where one is not as the paper asks, it says so.

# %% tags=["parameters"]
experiment = "first-alignment"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages.comparison import pair_table
from trusteq.pages.figures import STYLE, alignment_intervals, confidence_histogram, jaccard_distribution, per_model
from trusteq.pages.first import EXPECTED, first_alignment, first_answers, first_calibration, first_calibration_view
from trusteq.pages.show import show, titles
from trusteq.sentences.first import (
    first_alignment_sentence,
    first_confidence_sentence,
    first_ece_sentence,
    first_needed_sentence,
    first_question_sentence,
    first_scale_sentence,
    first_steps_sentence,
)
from trusteq.sentences.run import run_sentence
from trusteq.study.sides import of_seed
from trusteq.study.results import Results

run = Results.of(experiment, results)
seed, large, names = run.experiment.seeds[0], run.experiment.large, titles(run)
plt.style.use(STYLE)
Markdown(f"{first_question_sentence(run)} {run_sentence(run)}")

# %% [markdown]
# ## The answers in short
#
# *open*: the interval reaches over an end of the expected range. *not shown*: the interval of the difference holds 0.

# %%
aligned, calibrated = first_alignment(run), first_calibration(run)
show(first_answers(aligned, calibrated, run))

# %% [markdown]
# ## Do the two look at the same words?

# %%
Markdown(first_alignment_sentence(aligned, run))

# %%
for task in run.experiment.tasks:
    pairs = of_seed(run, task, "alignment", seed=seed).query("model_a == @large")
    display(show(pair_table(pairs, run), digits=2, caption=task))
    ax = alignment_intervals(pairs, names)
    ax.axvspan(*EXPECTED, color="0.5", alpha=0.15, linewidth=0)
    ax.set_title(task)

# %% [markdown]
# The grey area is the range that the paper expects. The dot is the mean, the line its interval, the tick what two sets
# drawn blindly would share, and the diamond what the explainer shares with itself under another seed. A method that
# draws nothing has its ceiling at 1.

# %% [markdown]
# ## What does such a mean say?
#
# A range of Jaccard indices expects something only between its anchors: at chance it would be met by two models that
# share nothing, and above the ceiling not even by one model beside itself.

# %%
Markdown(first_scale_sentence(aligned, run))

# %% [markdown]
# ## How many examples does it take?
#
# The width of an interval falls with the square root of the number of examples: half the width takes four times as
# many.

# %%
Markdown(first_needed_sentence(aligned, run))

# %% [markdown]
# One reason is how coarse a single index is.

# %%
Markdown(first_steps_sentence(run))

# %%
for task in run.experiment.tasks:
    examples = of_seed(run, task, "examples", seed=seed)
    height = 1.6 + 0.5 * len(aligned[aligned["task"] == task])
    ax = plt.figure(figsize=(7, height)).gca()
    jaccard_distribution(examples, names, large, ax).set_title(task)

# %% [markdown]
# One dot is one example; the box holds the middle half of them. The further the dots are apart, the less the mean of a
# few of them tells about the next few.

# %% [markdown]
# ## Does the calibration shift?
#
# All test examples now, not the explained ones alone.

# %%
for task in run.experiment.tasks:
    bins = run.calibration(task, seed, "reliability")
    per_model(bins, confidence_histogram, names).supxlabel(f"on {task}")

# %% [markdown]
# The solid line is the mean confidence, the dashed one the accuracy. Solid right of dashed is too sure, left of it not
# sure enough. The ECE can stay where it is while the confidences move, if the accuracy moves with them.

# %%
Markdown(first_confidence_sentence(calibrated, run))

# %% [markdown]
# The ECE of a calibrated model is not 0, and is larger the fewer the examples. So it is the difference that is tested:
# both models are scored on the same drawn examples, and the interval is for the difference of the two errors without
# that luck. The difference of the raw values may lie near its end.

# %%
show(first_calibration_view(calibrated, run))

# %%
Markdown(first_ece_sentence(calibrated, run))

# %% [markdown]
# Where the ECE shifts, a confidence of the smaller model is not worth what it was in the large one. Whether a shift is
# small enough to live with is a matter of margins, and so for the page of results.

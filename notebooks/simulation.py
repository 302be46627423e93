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
# # Can these intervals be trusted?
#
# Every number of this book has a 95% interval. That is a promise: of a hundred such intervals, each from new examples,
# about 95 hold the truth. The share that really does is the interval's **coverage**. Real data cannot show it, since
# nobody knows the truth. So we make worlds in which we do, draw data sets from them again and again, and count.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages.figures import STYLE
from trusteq.pages.show import show
from trusteq.pages.simulation import benchmark, coverage_intervals, table

plt.style.use(STYLE)
coverage, decisions = table("coverage"), table("decisions")
promised, reported = coverage[coverage["holds"].notna()], coverage[coverage["holds"].isna()]

# %% [markdown]
# Nothing on this page is of one run: `benchmarks/intervals.py` wrote these tables, the same for all experiments.
#
# ## The worlds
#
# - **Predictions.** A world of 200,000 examples, each with its true chance of every label. A large and a compressed
#   model see it through noise, a part of which they share, and are both too sure. A data set is drawn from these
#   examples, its labels by their chances. Since all chances are known, so is every true score.
# - **Explanations.** A world of 6,000 premises with three hypotheses each, as in SNLI, and the ten words that each
#   model's explanation finds important, in two runs of the explainer. A data set is some of the premises with all
#   their hypotheses. The true mean Jaccard is that of the whole world.
#
# The intervals come from the code that makes all intervals of this book.
#
# ## What is promised
#
# Coverage is itself counted in a limited number of data sets; the line through each dot is its 95% interval. The band
# is what we ask for, 93.5% to 96.5%. *Difference* is compressed minus large, or the difference of two pairs' mean
# Jaccards; *clusters* means that premises are resampled with all their hypotheses.

# %%
coverage_intervals(promised);
# %% tags=["hide-input"]
missed = promised[~promised["holds"].astype(bool)]
named = "; ".join(f"{row.what} at n = {row.n:,} with {row.coverage:.1%}" for row in missed.itertuples())
Markdown(
    f"{len(promised) - len(missed)} of {len(promised)} coverages lie in the band. "
    f"{'Outside: ' + named + '.' if named else 'None lies outside.'} "
    f"They run from {promised['coverage'].min():.1%} to {promised['coverage'].max():.1%}."
)

# %% [markdown]
# The same in numbers; half width is half the mean length of the interval, in units of the score.

# %%
wide = promised.pivot(index="what", columns="n", values=["coverage", "half_width"])
wide = wide.reindex(promised["what"].unique()).reset_index()
names = {"coverage": "coverage, n = {}", "half_width": "half width, {}"}
wide.columns = [names.get(kind, kind).format(n) for kind, n in wide.columns]
percent = {column: "{:.1%}" for column in wide if column.startswith("coverage")}
show(wide, formats=percent)

# %% [markdown]
# ## What is not promised
#
# Calibration errors are harder. An ECE adds up absolute gaps, and noise makes gaps larger: the raw ECE is too high, the
# more so the fewer examples there are, and resampling adds the same noise once more. This book puts the middle of the
# interval at the ECE less its bias, and widens it to 0 where a calibrated model could have as large an ECE; a
# difference is widened by the bias that is then left. No theorem promises 95%, so here is what it is worth;
# *calibrated model* is the hard case, whose true ECE is 0. Below are also three intervals that nobody should use.

# %%
coverage_intervals(reported);
# %%
compact = reported[["what", "n", "simulations", "truth", "coverage", "below", "above"]]
shares = dict.fromkeys(["coverage", "below", "above"], "{:.1%}")
show(compact, formats=shares | {"n": "{:,}", "simulations": "{:,}"})

# %% tags=["hide-input"]
spans = reported.groupby("what")["coverage"].agg(["min", "max"]).map("{:.1%}".format).agg(" to ".join, axis=1)
Markdown(
    f"- **ECE**: its interval holds the truth in {spans['ECE']} of the data sets, that of a difference in "
    f"{spans['ECE difference']}.\n"
    f"- **Calibrated model**: {spans['ECE, calibrated model']} for its ECE, and "
    f"{spans['ECE difference, calibrated model']} for the difference from it.\n"
    f"- **ECE, not corrected** (percentiles of the draws as they are): {spans['ECE, not corrected']}.\n"
    f"- **MCE, by plain bootstrap**: {spans['MCE, by plain bootstrap']}.\n"
    f"- **Clusters ignored**, as if hypotheses about one premise had nothing in common: "
    f"{spans['mean Jaccard, clusters ignored']}."
)

# %% [markdown]
# *Below* and *above* say on which side of the truth the other intervals lie. Where nearly all lie on one side, the
# interval is in the wrong place rather than too short.
#
# The MCE is the largest gap of any bin. A maximum picks the bin with the most luck, often one with few examples; in a
# resampled data set it picks the luck of the luck. More draws do not help. With enough examples in every bin it may
# come out right, but data do not tell when that is. So the MCE has no interval in this book, only a null band, which
# needs no truth: it draws labels from the model's own probabilities.
#
# ## Decisions
#
# A pair is *equivalent* if an interval lies within a margin. Two errors are possible: a pair that differs by as much as
# the margin is called equivalent, or one that is the same is not. Where it says *verdict*, a whole audit decides, on
# 2,000 examples with 200 of them explained: the same model under other explainer seeds, and one whose head is random.

# %%
low, high = (decisions[end].map("{:.1%}".format) for end in ("low", "high"))
shown = decisions.assign(**{"95%": low + " to " + high})[["what", "n", "share", "95%", "wanted"]]
show(shown, formats={"share": "{:.1%}", "n": "{:,}"})

# %% tags=["hide-input"]
asked = decisions[decisions["holds"].notna()]
failed = asked[~asked["holds"].astype(bool)]
named = "; ".join(f"{row.what} at n = {row.n:,}: {row.share:.1%}" for row in failed.itertuples())
Markdown(
    f"{len(asked) - len(failed)} of {len(asked)} rows are as wanted. {named + '.' if named else ''} With few examples "
    "a share of 0% costs something: nothing is called equivalent, and the honest answer is *undecided*."
)

# %% [markdown]
# ```{exercise} Half as wide
# :label: sim-half
# Somebody multiplies the length of all intervals of means by one half, "for nicer figures". What is their coverage?
# ```
#
# ```{solution} sim-half
# :class: dropdown
# A 95% interval reaches 1.96 standard errors to each side. Half of that is 0.98, and a normal variable is within 0.98
# standard deviations of its mean in 67% of the cases: one interval in three misses the truth.
# ```

# %% tags=["hide-input"]
origin = benchmark()
Markdown(f"Made on {origin['machine']} in {origin['seconds'] / 60:.0f} minutes, seed {origin['seed']}.")

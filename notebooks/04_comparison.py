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
# # Alignment
#
# Do two models look at the same words? For every pair of models and every method: the Jaccard index of the two top-10
# sets of each explained example, averaged. The number needs two anchors before it says anything: what two random sets
# of the same sizes would reach, *chance*, and what the explainer reaches with itself under another seed, the *ceiling*.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from trusteq.examples.load import load_examples
from trusteq.pages.comparison import (
    agreed_examples,
    alignment_curves,
    alignment_matrix,
    ceiling_view,
    companion_view,
    disagreement_sources,
    faithfulness_view,
    pair_table,
    rule_table,
    segment_view,
    source_view,
    truth_intervals,
    truth_view,
)
from trusteq.pages.figures import STYLE, alignment_intervals, highlights, jaccard_distribution, scale_intervals
from trusteq.pages.show import show, side_titles, titles
from trusteq.sentences.alignment import (
    alignment_sentence,
    ceiling_sentence,
    companion_sentence,
    control_sentence,
    curve_sentence,
    paper_range_sentence,
    segment_sentence,
    source_sentence,
    yardstick_sentence,
)
from trusteq.sentences.verdict import faithfulness_sentence, truth_sentence
from trusteq.study.compare import (
    alignment_tables,
    ceiling_table,
    companion_table,
    control_table,
    curve_table,
    segment_table,
    source_table,
)
from trusteq.study.comparisons import compare
from trusteq.study.evidence import faithfulness_table, known_truths, truth_table
from trusteq.study.judge import verdicts
from trusteq.study.results import Results
from trusteq.verdict.margins import load_margins

run = Results.of(experiment, results)
seed, k = run.experiment.seeds[0], run.experiment.k
names, models = side_titles(run), titles(run)
made_of = {"task": task, "k": k}
plt.style.use(STYLE)

# %%
compared = compare(run, task)
alignment, examples = alignment_tables(compared)
controls = control_table(compared)
for name, table in {"alignment": alignment, "examples": examples, "controls": controls}.items():
    run.write(table, "comparison", task, name, **made_of)
both = pd.concat([alignment, controls])

# %% [markdown]
# ## All pairs and the controls
#
# Each pair under explainer seeds of its own. Intervals are 95% bootstrap intervals over the explained examples, those
# about one premise drawn together. `0 to 1` puts the mean on the scale from chance, 0, to the ceiling of the pair, 1.
# The last rows are controls of the large model: with itself; under another explainer seed; trained again; with its head
# drawn anew; and beside words drawn at random.

# %%
for method, rows in both.groupby("method", sort=False):
    display(show(pair_table(rows, run).drop(columns="method"), digits=2, caption=method))

# %%
Markdown(alignment_sentence(alignment, run))

# %%
alignment_intervals(both[both["model_b"] != "itself"], names);

# %% [markdown]
# A dot is a pair's mean, its line the interval, the tick the chance level, the diamond the ceiling. What counts is
# where the dot stands between the two: two models that share no idea of what matters still stand on the tick, not at
# zero, and no two models can be expected beyond the diamond. A method that draws nothing has its ceiling at 1.

# %% [markdown]
# ## From chance to ceiling
#
# The same on one scale. Below 0 the models agree less than blind choice would; the green band reaches as far below the
# ceiling as the verdict calls "the same".

# %%
margin = load_margins()["normalised_alignment"].margin
scale_intervals(both, names, margin=margin);

# %%
Markdown(control_sentence(controls, run))

# %%
Markdown(yardstick_sentence(alignment, controls, run))

# %% [markdown]
# The randomly headed twin shares the encoder and nothing of what the head has learned. Where it stands high, agreement
# on words says little about agreement on the task: the words are those that the encoder reacts to. In a task of two
# classes there is a further reason. The sets take absolute weights, and a head that turns every decision round has the
# same ones.

# %% [markdown]
# ## The paper's rule
#
# The paper calls a pair aligned from a mean of 0.7 on. Beside it stands the mean under common masks: both models
# explained again with the same perturbations, so that they share the explainer's luck. The last column is the paper's
# number for the pair whose parts these models play.

# %%
rule = rule_table(alignment, run, task)
show(rule, caption=paper_range_sentence())

# %% [markdown]
# Where common masks raise a number, part of the agreement belongs to the masks and not to the models.

# %% [markdown]
# ## Each model with itself
#
# The ceiling of a pair is the mean of its two models' agreement with themselves under another explainer seed.

# %%
ceilings = ceiling_table(compared)
run.write(ceilings, "comparison", task, "ceilings", **made_of)
show(ceiling_view(ceilings, models), digits=2)

# %%
Markdown(ceiling_sentence(ceilings, run))

# %% [markdown]
# ## As a matrix

# %%
panels = plt.subplots(1, alignment["method"].nunique(), figsize=(9, 3.8), sharey=True, squeeze=False)[1].flat
for ax, (method, rows) in zip(panels, alignment.groupby("method", sort=False), strict=True):
    alignment_matrix(rows, models, ax, title=method)

# %% [markdown]
# Where the methods order the pairs differently, the order belongs to the explainer as much as to the models.

# %% [markdown]
# ## Does ten matter?
#
# The same for the top 1 to 20 words, each smaller model with the large one. The dotted line is the large model under
# another explainer seed, the dashed one the large model trained again, the grey area chance.

# %%
curves = curve_table(compared)
run.write(curves, "comparison", task, "curves", **made_of)
panels = plt.subplots(1, curves["method"].nunique(), figsize=(9, 4.2), sharey=True, squeeze=False)[1].flat
of_seed = curves[curves["seed"] == seed]
for ax, (method, rows) in zip(panels, of_seed.groupby("method", sort=False), strict=True):
    alignment_curves(rows, models, ax, k=k).set_title(method)
    ax.label_outer()
ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4);

# %%
Markdown(curve_sentence(curves, run))

# %% [markdown]
# With k the chance level rises, until all words are in both sets; a high mean at a large k is no sign of agreement.

# %% [markdown]
# ## In which text?
#
# The top words of the pair, cut to its first and to its second text. Chance is that of two random sets as large as the
# cuts, so how many words each model takes from a text counts as given.

# %%
segments = segment_table(compared)
run.write(segments, "comparison", task, "segments", **made_of)
Markdown(segment_sentence(segments, run))

# %% tags=["hide-output"]
show(segment_view(segments, run), digits=2)

# %% [markdown]
# ## Example by example
#
# Each smaller model against the large one. A mean hides this spread: for one example the two models may share all ten
# words, for the next hardly more than chance.

# %%
jaccard_distribution(examples, models, run.experiment.large);

# %% [markdown]
# The wider a box, the less a single example tells about the pair; an example with ten words or fewer always scores 1.

# %% [markdown]
# ## Other measures of agreement
#
# A set forgets order and size. These do not: the *weighted Jaccard* compares all absolute weights, *RBO* the rankings
# with most weight on their tops, *Spearman* the whole rankings, the *cosine* the weights with their signs.

# %%
companions = companion_table(compared)
run.write(companions, "comparison", task, "companions", **made_of)
show(companion_view(companions, run), digits=2)

# %%
Markdown(companion_sentence(companions, alignment, run))

# %% [markdown]
# The row of random words shows what each measure makes of no agreement: 0 for the last two only.

# %% [markdown]
# ## Where the disagreement comes from
#
# Step by step more is varied: the explainer's seed alone, the training seed of the large model as well, the model.
# What each step adds to 1 − Jaccard is its part; a part can come out negative, and is then drawn to the left of 0.
# A model that is made without training has no step of the training seed.

# %%
sources = source_table(compared)
run.write(sources, "comparison", task, "sources", **made_of)
panels = plt.subplots(1, sources["method"].nunique(), figsize=(9, 3.2), sharey=True, squeeze=False)[1].flat
of_seed = sources[sources["seed"] == seed]
for ax, (method, rows) in zip(panels, of_seed.groupby("method", sort=False), strict=True):
    disagreement_sources(rows, names, ax).set_title(method)
ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3);

# %%
Markdown(source_sentence(sources, run))

# %% tags=["hide-output"]
show(source_view(sources, run), digits=2)

# %% [markdown]
# Only what is left to "model" is compression's doing. What the explainer's seed takes is noise that more samples would
# remove; what the training seed takes would also be seen between two large models.

# %% [markdown]
# ## Does compression lose the evidence, or does the explainer?
#
# Where it is known which words matter, agreement with them can be told from agreement between models. The generated
# tasks plant evidence, and in some examples a shortcut; for SNLI there are the words that people edited to change the
# label.

# %%
truth = truth_table(compared, known_truths(run, task))
run.write(truth, "comparison", task, "truth", **made_of)
known = truth[truth["truth"].isin(["evidence", "edits"])]
recall, precision = (known[known["measure"] == measure] for measure in ("recall", "precision"))
if len(recall):
    truth_intervals(recall, names, xlabel=f"share of the {recall['truth'].iloc[0]} among the top {k}")
else:
    print(f"Of {task} it is not known which words matter.")

# %%
if len(recall):
    display(Markdown(f"Recall, how much of it is among the top {k}. {truth_sentence(recall, run)}"))
    display(Markdown(f"Precision, how much of these it is. {truth_sentence(precision, run)}"))

# %% tags=["hide-output"]
if len(recall):
    display(show(truth_view(recall, run), digits=2, caption="recall"))
    display(show(truth_view(precision, run), digits=2, caption="precision"))

# %% [markdown]
# If one method finds less of the evidence than another in the same model, it is the explainer that loses it; if under
# each method the smaller model shows less than the large one, it is compression.

# %%
shortcut = truth[(truth["truth"] == "shortcut") & (truth["measure"] == "share")]
if len(shortcut):
    weight = "Weight on the planted shortcut, as a share of all absolute weight."
    display(Markdown(f"{weight} {truth_sentence(shortcut, run)}"))
    display(show(truth_view(shortcut, run), digits=2))

# %% [markdown]
# ## Are the explanations faithful?
#
# *Comprehensiveness* is what the gold class loses in probability without the top words, *sufficiency* what it loses
# when they are all that is left: a faithful method has much of the first and little of the second.

# %%
faithful = faithfulness_table(run, task, compared.clusters)
show(faithfulness_view(faithful, models), digits=2)

# %%
Markdown(faithfulness_sentence(faithful, run))

# %% [markdown]
# ## The verdicts
#
# From the predictions and the attributions, without a model: each smaller model and each control against the margins.
# The results page shows them.

# %%
verdicts = verdicts(compared)
run.write(verdicts, "comparison", task, "verdicts", **made_of)

# %% [markdown]
# ## Right for the same reasons?
#
# As in the paper's Table 2: examples that the large model and the smallest one both classify correctly, with the words
# that each relies on. Blue words speak for the gold label, orange ones against it; framed words are the top 10.

# %% tags=["remove-stderr"]
small = list(run.experiment.models)[-1]
agreed = agreed_examples(run, task, small, seed=seed)
n_test = len(run.predictions(task, small, seed))
print(f"{len(agreed)} of {n_test} test examples are classified correctly by both models")
if run.may_show(task):
    test = load_examples(run.experiment.task(task), "test")
    shown = test[test["id"].isin(agreed) & test["id"].isin(examples["id"])].head(3)
else:
    shown = None
    print("Texts of this data set are not published again.\nThe demo's pages show generated ones.")

# %%
both = [found.method for found in compared.by_place if found.model_b == small and shown is not None]
for method in dict.fromkeys(both):
    for name in (run.experiment.large, small):
        weights = run.attribution(task, name, seed, method)
        title = f"{method}, {models[name]}"
        display(highlights(weights, shown, run.experiment.task(task).labels, title=title))

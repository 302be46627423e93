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
# # Is 0.5 low?
#
# Two models are asked which ten words of a text decided, and the two lists share half of what they hold together: a
# Jaccard index of 0.5. Is that little? The paper reports means on both sides of it and calls what is below 0.7 not
# aligned. A number between 0 and 1 seems to speak for itself. It does not, and this page shows why: 0 is not what blind
# choice gives, and 1 is not what agreement can reach.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from trusteq.alignment import overlap
from trusteq.pages.figures import STYLE, alignment_intervals, scale_intervals
from trusteq.pages.is_half_low import (
    chance_by_words,
    chance_curve,
    mean_chance,
    on_the_scale,
    steadiness_table,
    word_counts,
    word_histogram,
)
from trusteq.pages.show import paper_table, show, side_titles
from trusteq.pages.status import benchmark_rows
from trusteq.sentences.alignment import ceiling_sentence, paper_range_sentence, yardstick_sentence
from trusteq.sentences.verdict import chance_sentence, half_sentence
from trusteq.study.sides import CONTROLS, of_seed
from trusteq.study.results import Results

run = Results.of(experiment, results)
seed, large = run.experiment.seeds[0], run.experiment.large
names = side_titles(run)
plt.style.use(STYLE)
Markdown(paper_range_sentence())

# %% [markdown]
# ## The floor is not at zero
#
# Put the words of a pair of sentences into a hat and draw ten, twice. From twelve words the two draws must share at
# least eight. How much they share on average follows from the number of words alone, exactly, by counting.

# %%
first = {words: overlap.chance_jaccard(words, 10) for words in (10, 12, 15, 20, 30, 50)}
show(pd.DataFrame({"words": first.keys(), "chance": first.values()}))

# %% [markdown]
# SNLI's pairs are short. The upper picture shows the chance level by number of words, the lower one how many words
# SNLI's test pairs have. This project takes each occurrence of a word as a feature of its own (*positions*); the
# authors' scripts take the *distinct words* of both texts, the separator among them.

# %% tags=["hide-input"]
counts, chance = word_counts(), chance_by_words(60)
paper = paper_table("jaccard_range").iloc[0]
top, bottom = plt.subplots(2, 1, figsize=(7, 5.6), sharex=True, height_ratios=[3, 2])[1]
chance_curve(chance, top, band=(paper["low"], paper["high"]))
word_histogram(counts, bottom, last=60);

# %% tags=["hide-input"]
means = mean_chance(counts)
Markdown(chance_sentence(means))

# %% tags=["hide-input"]
show(means)

# %% [markdown]
# The last column is the share of pairs with ten words or fewer: there both sets hold everything, and the index is 1
# whatever the models do. Part of what looks like agreement in such a mean is the shortness of the texts. The paper's
# range pools two tasks, and questions may be longer than captions, so this is no correction of its numbers; it is the
# reason why they cannot be read without one.

# %% [markdown]
# ## The ceiling is not at one
#
# LIME draws perturbed texts at random. Run it on the same model and the same sentence under another seed, and the top
# ten differ. No two models can be expected to agree more than the explainer agrees with itself. And one step further:
# train the *same* model again under another seed, and ask how far it agrees with its own twin. The first two rows of
# each picture are these; the others are the smaller models of this run.

# %% tags=["hide-input"]
rows = {}
for task in run.experiment.tasks:
    controls, pairs = (of_seed(run, task, name, seed=seed) for name in ("controls", "alignment"))
    anchors = controls[controls["model_b"].isin(["reseeded", "retrained"])]
    rows[task] = pd.concat([anchors, pairs[pairs["model_a"] == large]])
    ax = alignment_intervals(rows[task], names)
    ax.set_title(task)

# %% tags=["hide-input"]
for task in run.experiment.tasks:
    own = ceiling_sentence(run.comparison(task, "ceilings"), run)
    display(Markdown(f"- **{task}**: {own}"))

# %% [markdown]
# A method that draws nothing, such as SHAP's partition explainer, agrees with itself at 1 by construction. That is no
# proof that it is right: its error is the same each time. The model trained again is then the only yardstick it has.

# %% [markdown]
# ## Why not simply draw more?
#
# More samples make an explainer steadier, at a price in time. Measured once, with a model fine-tuned on SNLI (see the
# status page for the machine):

# %% tags=["hide-input"]
steady = steadiness_table(benchmark_rows())
show(steady, digits=2)

# %% [markdown]
# `passes` is what was allowed for one example. The ceiling moves with the budget: a cut at a fixed number is strict for
# a hasty explainer and lenient for a patient one.

# %% [markdown]
# ## From chance to ceiling
#
# So put 0 at chance and 1 at the ceiling, and the same pairs again. At the ends stand the controls: random words, and
# the large model under another explainer seed.

# %% tags=["hide-input"]
for task in run.experiment.tasks:
    controls = of_seed(run, task, "controls", seed=seed).query("model_b != 'itself'")
    pairs = rows[task][~rows[task]["model_b"].isin(CONTROLS)]
    scale_intervals(pd.concat([controls, pairs]), names).set_title(task)

# %% tags=["hide-input"]
for task in run.experiment.tasks:
    controls, pairs = (of_seed(run, task, name, seed=seed) for name in ("controls", "alignment"))
    display(Markdown(f"- **{task}**: {yardstick_sentence(pairs, controls, run)}"))

# %% [markdown]
# ## So, is 0.5 low?
#
# It depends on the words of the texts and on the explainer's budget. In this run:

# %% tags=["hide-input"]
places = on_the_scale(run, seed=seed)
Markdown(half_sentence(places))

# %% tags=["hide-input"]
show(places, digits=2)

# %% [markdown]
# What stands under "0.5 is" is its place between chance, 0, and ceiling, 1. A number above 1 is one that no two models
# could be expected to reach.

# %% tags=["hide-input"]
above = [f"{0.5 - row.chance:+.3f} over {row.counted}" for row in means.itertuples()]
Markdown(f"On SNLI 0.5 stands this far from chance, whatever the ceiling: {', '.join(above)}.")

# %% [markdown]
# ## In class
#
# ```{exercise} Your own 0.5
# :label: half-own
# A colleague reports a mean Jaccard of 0.5 between two models, for top-10 sets of texts of 20 words each; the explainer
# agrees with itself at 0.8. Another reports 0.4 for texts of 50 words and a ceiling of 0.6. Whose models agree more?
# Use `overlap.chance_jaccard`.
# ```
#
# ```{solution-start} half-own
# :class: dropdown
# ```
# Subtract chance from both the value and the ceiling, and divide:

# %%
cases = pd.DataFrame({"words": [20, 50], "Jaccard": [0.5, 0.4], "ceiling": [0.8, 0.6]})
cases["chance"] = [overlap.chance_jaccard(words, 10) for words in cases["words"]]
cases["0 to 1"] = (cases["Jaccard"] - cases["chance"]) / (cases["ceiling"] - cases["chance"])
show(cases, digits=2)

# %% [markdown]
# The lower number is the better agreement: 0.4 in long texts is further from chance, and nearer to what the explainer
# can see at all.
#
# ```{solution-end}
# ```
#
# ```{exercise} A rule that travels
# :label: half-rule
# Someone proposes "aligned from 0.7 on" for all tasks and explainers. Name a task on which two models that share
# nothing would pass, and an explainer with which a model would fail beside itself.
# ```
#
# ```{solution} half-rule
# :class: dropdown
# Any task whose texts have eleven words or fewer passes: two random top-10 sets out of eleven words share at least
# nine, so each index is at least 9/11. An explainer that draws too few samples fails: look for one below 0.7 in the
# table of steadiness above, and think of the same one with a tenth of the passes.
# ```

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
# # Lesson: how high is Jaccard by chance?
#
# *30 minutes. You need fractions and a little Python.*
#
# **Afterwards you can** say what two sets share by luck, compute it exactly, and place a measured agreement between
# chance and what is possible.
#
# Two models are explained: an explainer such as LIME says how much each word mattered to their answers. Of each the
# ten most important words are kept, and the two sets are compared by the *Jaccard index*, the share of their union
# that both hold:
#
# $$
# J(A, B) = \frac{|A \cap B|}{|A \cup B|} .
# $$
#
# Is 0.5 much or little? This lesson finds out.
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
published = "snli-minilm"  # a folder of data/published, or a path

# %%
import itertools

import matplotlib.pyplot as plt
import numpy as np

import trusteq
from trusteq.alignment import chance_jaccard, jaccard
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.pages.show import page_style, put

page_style()

# %% [markdown]
# ## Two sets
#
# ```{exercise} A Jaccard index
# :label: chance-two
# Compute the Jaccard index of `a` and `b`. In Python `a & b` is what both hold, and `a | b` what either holds.
# ```

# %%
a, b = frozenset("abcde"), frozenset("defgh")

# %% tags=["solution"]
index = len(a & b) / len(a | b)

# %%
check("chance-two", index, a, b)

# %% tags=["remove-input"]
quiz("strict")

# %% [markdown]
# ## Chance, by listing everything
#
# Take a text of four words, and let two models choose two of them blindly. There are six sets of two, and so 36 pairs
# of sets, all equally likely.
#
# ```{exercise} All pairs
# :label: chance-small
# What is the mean Jaccard index over all 36 pairs? `itertools.combinations(range(4), 2)` gives the sets of two;
# `jaccard(a, b)` takes two frozensets.
# ```

# %% tags=["solution"]
sets = [frozenset(of) for of in itertools.combinations(range(4), 2)]
mean = np.mean([jaccard(a, b) for a, b in itertools.product(sets, sets)])

# %%
check("chance-small", mean, 4, 2)

# %% [markdown]
# ## Chance, by a formula
#
# For 24 words and ten of them there are far too many pairs to list. But only the number s of shared words matters.
# Given the first set, the second one is ten draws from 24 words of which ten are "hits": s follows the
# *hypergeometric* distribution, and
#
# $$
# \mathrm{chance} = \sum_{s} P(s) \, \frac{s}{2k - s} .
# $$
#
# ```{exercise} The formula
# :label: chance-long
# Compute the chance level for n = 24 words and k = 10. `hypergeom(24, 10, 10).pmf(s)` is P(s); s runs from 0 to 10.
# ```

# %%
from scipy.stats import hypergeom

# %% tags=["solution"]
s = np.arange(11)
level = (hypergeom(24, 10, 10).pmf(s) * s / (20 - s)).sum()

# %%
check("chance-long", level, 24, 10)

# %% [markdown]
# `chance_jaccard(24, 10)` gives the same. Is it believable? Draw and see:

# %%
rng = np.random.default_rng(0)
sets = [frozenset(rng.choice(24, 10, replace=False).tolist()) for _ in range(4000)]
drawn = [jaccard(a, b) for a, b in zip(sets[::2], sets[1::2], strict=True)]
put(f"{len(drawn)} blind pairs: mean {np.mean(drawn):.3f}. By the formula: {chance_jaccard(24, 10):.3f}.")

# %% [markdown]
# ## Chance in real texts
#
# The published results know how many words each explained example has. Here each is a dot on the curve.

# %%
tables = trusteq.load_published(published)
row, k = tables["alignment"].query("method == 'lime'").iloc[0], 10  # the first two models
found = tables["examples"].merge(row[["task", "method", "seed", "model_a", "model_b"]].to_frame().T)
n_words = found["n_features"].to_numpy()

# %%
lengths = range(1, n_words.max() + 2)
ax = plt.figure(figsize=(7, 3.4)).gca()
ax.plot(lengths, [chance_jaccard(n, k) for n in lengths], color="0.3", label="chance, exact")
ax.plot(n_words, found["chance"], "o", alpha=0.3, label=f"{len(found)} examples")
ax.set(xlabel="words in the example", ylabel=f"chance Jaccard, k = {k}", ylim=(0, 1.02))
ax.set_title(f"Chance is {found['chance'].min():.2f} to {found['chance'].max():.2f} in these texts")
ax.legend()
put(ax)

# %% [markdown]
# The fewer words, the higher the line: with ten words or fewer both sets are the whole text, and chance gives 1.
#
# ```{exercise} The chance level of a data set
# :label: chance-mean
# `n_words` has the number of words of each example. What is the chance level of all these examples together, the mean
# of their levels?
# ```

# %% tags=["solution"]
floor = np.mean([chance_jaccard(n, k) for n in n_words])

# %%
check("chance-mean", floor, n_words, k)

# %% [markdown]
# ## Between chance and ceiling
#
# The highest one can hope for is not 1 either: LIME deletes words at random to see what a model makes of the rest, so
# asked twice about one model it does not fully agree with itself. That agreement is the *ceiling*.

# %% tags=["remove-input"]
put(f"{row.model_a} and {row.model_b}: {row.jaccard:.3f}. Chance: {row.chance:.3f}. Ceiling: {row.ceiling:.3f}.")

# %% [markdown]
# ```{exercise} A place on the scale
# :label: chance-place
# Where does the mean Jaccard index lie on a scale on which chance is 0 and the ceiling is 1? You have `row.jaccard`,
# `row.chance` and `row.ceiling`.
# ```

# %% tags=["solution"]
place = (row.jaccard - row.chance) / (row.ceiling - row.chance)

# %%
check("chance-place", place, row.jaccard, row.chance, row.ceiling)

# %%
place = right_answer("chance-place", row.jaccard, row.chance, row.ceiling)
says = f"{place:.0%} of the way from chance to the ceiling"
put(f"So a Jaccard of {row.jaccard:.2f} is {says}, and that is how it should be told.")

# %% tags=["remove-input"]
quiz("small-jaccard")

# %% [markdown]
# ## What k does
#
# Ten is a choice. The same pair of models, for every k:

# %%
curve = tables["curves"].merge(row[["task", "method", "seed", "model_a", "model_b"]].to_frame().T)
ax = plt.figure(figsize=(7, 3.4)).gca()
ax.plot(curve["k"], curve["jaccard"], marker="o", label=f"{row.model_a} – {row.model_b}")
ax.plot(curve["k"], curve["chance"], color="0.3", label="chance")
ax.set(xlabel="k", ylabel="mean Jaccard", ylim=(0, 1.02), xticks=curve["k"])
ax.set_title(f"Above chance at {(curve['low'] > curve['chance']).sum()} of {len(curve)} sizes")
ax.legend()
put(ax)

# %%
gain = (curve["jaccard"] - curve["chance"]).set_axis(curve["k"])
put(f"What the models add is the distance between the lines: most at k = {gain.idxmax()}, {gain.max():+.2f}.")

# %% tags=["remove-input"]
quiz("short-texts")

# %% [markdown]
# ```{exercise} Shared and wrong
# :label: chance-truth
# Two models have a Jaccard index of 1 on an example. Are they right? Where could such an agreement come from?
# ```

# %% [markdown] tags=["solution"]
# ```{solution} chance-truth
# :class: dropdown
# Alignment is about two models, not about the world. A common cause outside the models can make them agree: both
# learned the same shortcut from the same data, or the explainer itself has a taste, say for the first words, and
# repeats it on every model.
# ```

# %% [markdown]
# ## What to take home
#
# - Two blind choices share words too, and in short texts they share most of them.
# - The chance level is exact: it needs the number of words and k, and no model.
# - Read a Jaccard index between its chance level and its ceiling.
# - Sharing reasons is not the same as having good ones.

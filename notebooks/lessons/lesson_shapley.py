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
# # Lesson: Shapley values, exactly
#
# *30 minutes. You need averages and a little Python.*
#
# **Afterwards you can** compute the Shapley values of a short text by hand, say what they promise, and why long texts
# need an estimate.
#
# Players win a prize together. What is each one's fair share? Lloyd Shapley's answer of 1953: let them join one after
# the other, note what each adds when it joins, and average over all orders. Here the players are words, and the prize
# is a model's probability. The method SHAP is built on it.
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
words = ["not", "good", "but", "great"]

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import trusteq
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.lessons.toy import sentiment
from trusteq.pages.show import page_style, put, show

page_style()

# %% [markdown]
# ## What a set of words is worth
#
# The model is a toy that adds up scores of words; "not" turns the next word's score round. We ask it about every
# subset of the words, and keep its probability of *positive* in `value`, by the set of places (from 0).

# %%
n = len(words)
sizes = range(n + 1)
subsets = [frozenset(of) for size in sizes for of in itertools.combinations(range(n), size)]
texts = [" ".join(words[i] for i in sorted(of)) for of in subsets]
value = dict(zip(subsets, sentiment(texts)[:, 1].tolist(), strict=True))
table = pd.DataFrame({"kept": [text or "(nothing)" for text in texts], "positive": value.values()})
show(table, caption=f"Scores: {dict(sentiment.scores)}")

# %% tags=["remove-input"]
quiz("subsets")

# %% [markdown]
# ```{exercise} Joining
# :label: shapley-joins
# How much does the word at place 3 add to the probability when it joins the first two (places 0 and 1)?
# `value[frozenset({0, 1})]` is what those two are worth.
# ```

# %% tags=["solution"]
adds = value[frozenset({0, 1, 3})] - value[frozenset({0, 1})]

# %%
check("shapley-joins", adds, value, 3, frozenset({0, 1}))

# %% [markdown]
# ## Average over all orders
#
# What a word adds depends on who is there already. So let the words join in every possible order.
#
# ```{exercise} The Shapley values
# :label: shapley-values
# For every order of the places (`itertools.permutations(range(n))`), let the words join one by one and add up what
# each adds, in `total`. Then take the mean over the orders. `frozenset(order[:t])` are the words before step t.
# ```

# %% tags=["solution"]
total = np.zeros(n)
for order in itertools.permutations(range(n)):
    for step, word in enumerate(order):
        total[word] += value[frozenset(order[: step + 1])] - value[frozenset(order[:step])]
shapley = total / math.factorial(n)

# %%
check("shapley-values", shapley, value, n)

# %% [markdown]
# `trusteq.explain(method="shapley")` finds the same, from subsets instead of orders:

# %%
shapley = right_answer("shapley-values", value, n)
example = pd.DataFrame({"id": ["a"], "text_a": [" ".join(words)], "text_b": [None]})
found = trusteq.explain(sentiment, example, method="shapley")
found = found[found["label"] == "positive"]
left_out = [value[frozenset(range(n))] - value[frozenset(range(n)) - {i}] for i in range(n)]
compared = {"word": words, "by_hand": shapley, "trusteq": found["weight"].to_numpy(), "leave_one_out": left_out}
show(pd.DataFrame(compared), digits=4)

# %% tags=["remove-input"]
ax = plt.figure(figsize=(7, 2.8)).gca()
ax.bar(np.arange(n) - 0.2, shapley, width=0.4, label="Shapley value", color="#3a6edc")
ax.bar(np.arange(n) + 0.2, left_out, width=0.4, label="leave one out", color="0.7")
ax.axhline(0, color="0.25", linewidth=1)
ax.set_xticks(range(n), words)
apart = np.abs(shapley - np.array(left_out)).argmax()
ax.set(ylabel="for positive", title=f"The two ways differ most on “{words[apart]}”")
ax.legend()
put(ax)

# %% [markdown]
# Leaving out one word at a time (*occlusion*) sees each word only beside all others. The Shapley value sees it in
# every company, the empty one included.

# %% tags=["remove-input"]
quiz("adds-up")

# %% tags=["remove-input"]
quiz("missing")

# %% [markdown]
# ## A model of your own
#
# ```{exercise} Your own model
# :label: shapley-own
# Write a model that reads a list of words and returns one probability, between 0 and 1, also for the empty list. Make
# two words depend on each other. Guess the Shapley values of `words`; then compute them, in the order of `words`.
# ```


# %% tags=["solution"]
# Any model will do: the check computes the values of yours.
def my_model(words):
    """Return the probability of positive, for a list of words."""
    return 0.9 if {"good", "great"} <= set(words) else 0.5 if words else 0.4


worth = {of: my_model([words[i] for i in sorted(of)]) for of in subsets}
total = np.zeros(n)
for order in itertools.permutations(range(n)):
    for step, word in enumerate(order):
        total[word] += worth[frozenset(order[: step + 1])] - worth[frozenset(order[:step])]
my_values = total / math.factorial(n)

# %%
check("shapley-own", my_values, my_model, words)

# %% [markdown]
# ## Long texts
#
# With n words there are $2^n$ subsets. The table says how many that are, and how long a model takes that answers a
# thousand texts a second.

# %%
lengths = np.array([4, 10, 20, 30])
show(pd.DataFrame({"words": lengths, "subsets": 2**lengths, "hours": 2.0**lengths / 1000 / 3600}), digits=2)

# %% [markdown]
# So for longer texts the values are estimated from some subsets, and an honest estimate comes with its standard error:

# %%
long = "the first half is not bad but the ending felt dull and good actors had great lines"
example = pd.DataFrame({"id": ["long"], "text_a": [long], "text_b": [None]})
found = trusteq.explain(sentiment, example, method="shapley", n_samples=1000)
found = found[found["label"] == "positive"].sort_values("weight", key=abs, ascending=False)
show(
    found[["word", "position", "weight", "standard_error"]].head(8),
    digits=4,
    caption=f"1,000 of {2 ** len(long.split()):,} subsets",
)

# %% tags=["remove-input"]
quiz("standard-error")

# %% [markdown]
# ## What to take home
#
# - A Shapley value is what a word adds, averaged over all orders of joining.
# - The values of all words add up to what they change together.
# - "Leaving out" a word is a choice: deleting it and masking it are two different questions.
# - Exact values need $2^n$ answers of the model; estimates need a standard error.

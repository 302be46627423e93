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
# # Lesson: attribution
#
# *Ten to fifteen minutes. You need fractions and a little Python. Afterwards you can compare two explanations by
# hand, and you know what agreement by chance looks like.*
#
# Two models give the same answer. Do they give it because of the same words? Every number below comes from this
# book's own run.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the project's own

# %%
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

from trusteq import load_examples
from trusteq.alignment import align, chance_jaccard, jaccard, top_features
from trusteq.pages.show import open_page, show, titles

# %%
run = open_page(experiment, results)
seed, k = run.experiment.seeds[0], run.experiment.k
task, titles = next(iter(run.experiment.tasks)), titles(run)
large, *_, small = run.experiment.models
methods = [name for name in run.experiment.task_methods(task) if small in run.experiment.models_of(task, name)]

# %% [markdown]
# ## What a word's weight is
#
# A model turns a text into the probability of a class. An *attribution* gives each word a weight: how much it pushes
# that probability up (positive) or down (negative). Two methods are used here, and both only ask the model about
# texts with words left out:
#
# - **LIME** leaves out random words, many times, and fits a straight line: probability against which words are there.
#   The slopes are the weights. As in the paper it keeps 20 words; any others get weight 0.
# - **SHAP** shares the probability out among the words, as one shares a gain among players: by what each adds when it
#   joins, averaged over orders of joining.
#
# A word is known by its *place*: which text, and which position in it. So "the" at two places is two words. The class
# is always the gold label.

# %%
weights = {}
for name, method in itertools.product((large, small), methods):
    weights[name, method] = run.attribution(task, name, seed, method)
a, b = weights[large, methods[0]], weights[small, methods[0]]
gold = run.predictions(task, large, seed).set_index("id")["label"]
label = gold[a["id"].unique()].map(dict(enumerate(run.experiment.task(task).labels)))
n_words = a[a["label"] == a["id"].map(label)].groupby("id", sort=False).size()

# %% [markdown]
# Our example is the first one with more words than a top-k set holds.

# %%
example = (n_words > k).idxmax()
words = a[(a["id"] == example) & (a["label"] == label[example])].reset_index(drop=True)
texts = words.groupby("segment")["word"].agg(" ".join)
heading = f"{example}, labelled **{label[example]}**, without its punctuation:"
Markdown(heading + "\n\n> " + "<br>".join(texts))

# %%
words["size"] = words["weight"].abs()
words["rank"] = words["size"].rank(ascending=False, method="first").astype(int)
heaviest = words.sort_values("rank").head(5)
columns = ["rank", "segment", "position", "word", "weight"]
title = f"The five heaviest words, {titles[large]}, {methods[0]}"
show(heaviest[columns], formats={"weight": "{:+.4f}"}, caption=title)

# %% [markdown]
# Segment 0 is the first text and 1 the second; positions count from 0. All words of the example, in reading order:

# %%
ax = plt.figure(figsize=(7, 0.6 + 0.2 * len(words))).gca()
colour = np.where(words["weight"] > 0, "#3a6edc", "#eb8214")
ax.barh(words.index, words["weight"], color=colour)
ax.axhline(words["segment"].eq(0).sum() - 0.5, color="0.55", linestyle="--")
ax.set_yticks(words.index, words["word"] + np.where(words["rank"] <= k, " ★", ""))
ax.grid(axis="y", visible=False)
ax.set_ylim(len(words), -1)
ax.set(xlabel=f"weight for {label[example]}", title=f"{titles[large]}, {methods[0]}");
# %% tags=["hide-input"]
top_share = words.loc[words["rank"] <= k, "size"].sum() / words["size"].sum()
first = words.loc[words["rank"] == 1].iloc[0]
direction = "for" if first["weight"] > 0 else "against"
Markdown(
    f"The longest bar belongs to “{first['word']}” and speaks {direction} {label[example]}. The dashed line parts the "
    f"two texts. A star marks the {k} longest bars of {len(words)}: together they carry {top_share:.0%} of all length."
)

# %% [markdown]
# ## From weights to a set
#
# To compare two models, the study keeps of each explanation the set of the k words with the largest *absolute*
# weights, k = 10 as in the paper. Signs, sizes and order are dropped.

# %%
top_a = top_features(a, k=k, label=label)[example]
top_b = top_features(b, k=k, label=label)[example]
word_at = words.set_index(["segment", "position"])["word"]
Markdown(", ".join(f"{word_at[place]} {place}" for place in sorted(top_a)))

# %% [markdown]
# ```{exercise} Why a set?
# :label: att-set
# Why are the top features taken as an *unordered* set, and not as a ranking?
# ```
#
# ```{solution} att-set
# :class: dropdown
# Because the order is the least reliable part of an explanation. Neighbouring weights are often nearly equal, so a
# little sampling noise swaps ranks 4 and 5, though nothing about the model has changed; a measure of order would
# count that as disagreement. The question is also a plain one: do both models rely on the *same words*? What the set
# loses is real, too: it cannot tell a model that puts half of all weight on one word from one that spreads it evenly.
# ```
#
# ## The Jaccard index
#
# Two sets are compared by the share of their union that both hold:
#
# $$
# J(A, B) = \frac{|A \cap B|}{|A \cup B|} .
# $$
#
# ```{exercise} A small Jaccard
# :label: att-jaccard
# What is the Jaccard index of {a, b, c} and {b, c, d}?
# ```
#
# ```{solution} att-jaccard
# :class: dropdown
# Both hold b and c, so the intersection has 2 elements. The union {a, b, c, d} has 4. The index is 2/4 = **0.5**. In
# Python: `jaccard(frozenset("abc"), frozenset("bcd"))`.
# ```
#
# ## Two models, one example
#
# Which words do the large and the small model share on our example?

# %%
owners = ["both", f"only {titles[large]}", f"only {titles[small]}"]
groups = pd.DataFrame({"in_the_top_of": owners})
places = [top_a & top_b, top_a - top_b, top_b - top_a]
groups["how_many"] = [len(group) for group in places]
groups["words"] = [", ".join(word_at[place] for place in sorted(group)) for group in places]
show(groups)

# %% tags=["hide-input"]
shared, union = len(top_a & top_b), len(top_a | top_b)
Markdown(f"Shared {shared}, union {union}: the Jaccard index here is {shared}/{union} = **{shared / union:.2f}**.")

# %% [markdown]
# ```{exercise} How strict is 0.7?
# :label: att-rule
# The paper calls two models aligned if the mean Jaccard is at least 0.7. With ten words in each set, how many must
# two sets share to reach 0.7 on one example?
# ```
#
# ```{solution} att-rule
# :class: dropdown
# With s shared words the union has 20 − s, so the index is s / (20 − s). Eight shared words give 8/12 ≈ 0.67, nine
# give 9/11 ≈ 0.82. So **nine of ten**: the rule is strict.
# ```
#
# ## What chance gives
#
# Two sets drawn blindly from the same few words share some of them anyway. How many? Let us draw ten words of our
# example at random, twice, again and again.

# %%
n, size = len(words), min(k, len(words))
rng = np.random.default_rng(seed)
sets = [frozenset(rng.choice(n, size, replace=False).tolist()) for _ in range(10_000)]
drawn = [jaccard(*pair) for pair in zip(sets[::2], sets[1::2], strict=True)]
exact = chance_jaccard(n, k)
Markdown(
    f"{len(drawn)} pairs of sets of {size} from {n} words: mean Jaccard {np.mean(drawn):.4f}. Exact value: {exact:.4f}."
)

# %% [markdown]
# The exact value needs no drawing. If both sets hold k of n words, the number s that they share follows the
# hypergeometric distribution, and the chance level is the mean of s / (2k − s) over it. It depends on n alone once k
# is fixed:

# %%
lengths = range(1, max(41, n_words.max() + 1))
levels = pd.Series([chance_jaccard(n, k) for n in lengths], index=lengths)
expected = levels[n_words]
ax = plt.figure(figsize=(7, 3.4)).gca()
ax.plot(levels, color="0.3", label="chance, exact")
ax.plot(expected, "o", alpha=0.4, label="examples of this run")
cut = 0.7
ax.axhline(cut, color="0.55", linestyle="--", label=f"the paper's cut, {cut}")
ax.set(xlabel="words in the example", ylabel=f"chance Jaccard, k = {k}", ylim=(0, 1.02))
ax.legend();
# %% tags=["hide-input"]
Markdown(
    "The fewer words, the higher the line: with k words or fewer both sets are the whole text, and chance gives 1. The "
    f"examples of this run have {n_words.min()} to {n_words.max()} words, and chance levels from {expected.min():.2f} "
    f"to {expected.max():.2f}. Read no Jaccard index without its chance level beside it."
)

# %% [markdown]
# ## All examples, and two explainers
#
# One example proves nothing. Here are the means over all explained examples: the two models under each method, and,
# in the other direction, the methods against each other on one model.

# %%
pairs = [((large, method), (small, method)) for method in methods]
if len(methods) > 1:
    pairs += [((name, methods[0]), (name, methods[-1])) for name in (large, small)]
found = [align(weights[x], weights[y], k=k, label=label) for x, y in pairs]
found = pd.DataFrame(map(vars, found))[["mean", "low", "high", "chance"]]
found.insert(0, "second", [f"{titles[name]}, {method}" for _, (name, method) in pairs])
found.insert(0, "first", [f"{titles[name]}, {method}" for (name, method), _ in pairs])
show(found, caption=f"Mean Jaccard over {len(label)} examples, with a 95% interval")

# %% tags=["hide-input"]
by_model = found["mean"].iloc[: len(methods)].mean()
by_method = found["mean"].iloc[len(methods) :].mean()
more, less = ("model", "explainer") if by_model < by_method else ("explainer", "model")
at_chance = int((found["low"] <= found["chance"]).sum())
Markdown(
    f"Exchange the model and keep the explainer: {by_model:.2f} on average. Exchange the explainer and keep the model: "
    f"{by_method:.2f}. In this run the {more} makes more of a difference than the {less}. In {at_chance} of "
    f"{len(found)} rows the interval reaches down to the chance level: blind draws might share as much."
    if len(methods) > 1
    else f"This experiment has one explainer, {methods[0]}: it cannot say how much depends on it."
)

# %% [markdown]
# ```{exercise} Same model, other words
# :label: att-methods
# LIME and SHAP explain the same model on the same text. How can they disagree? And what follows for a sentence such
# as "the two models look at the same words"?
# ```
#
# ```{solution} att-methods
# :class: dropdown
# They answer different questions: LIME fits one straight line to many texts with about half of the words missing,
# SHAP averages what a word adds to fewer or more others. LIME also draws at random, so it does not even fully agree
# with itself under another seed. The sentence is therefore about two models *and an explainer*; it deserves trust if
# several explainers support it.
# ```
#
# ## What k does
#
# Ten is a choice. The same comparison for every k from 1 to 20:

# %%
by_k = {size: align(a, b, k=size, label=label) for size in range(1, 21)}
ax = plt.figure(figsize=(7, 3.4)).gca()
between = f"{titles[large]} – {titles[small]}, {methods[0]}"
ax.plot(by_k.keys(), [found.mean for found in by_k.values()], marker="o", label=between)
ax.plot(by_k.keys(), [found.chance for found in by_k.values()], color="0.3", label="chance")
ax.axvline(k, color="0.55", linestyle="--", linewidth=1)
ax.set(xlabel="k", ylabel="mean Jaccard", ylim=(0, 1.02), xticks=range(1, 21))
ax.legend();
# %% tags=["hide-input"]
gain = pd.Series({size: f.mean - f.chance for size, f in by_k.items()})
Markdown(
    "Chance climbs towards 1: once k reaches the number of words, both sets are the whole text. What the models add is "
    f"the distance between the lines. It is largest at k = {gain.idxmax()} ({gain.max():+.2f}); at k = 10 it is "
    f"{gain[10]:+.2f}, at k = 20 {gain[20]:+.2f}."
)

# %% [markdown]
# ```{exercise} The sign
# :label: att-sign
# For one model a word has weight +0.2, for the other −0.2. Does it count as shared? Change the comparison so that
# only words that speak *for* the label can be shared. (Turn the weights of the others into 0 before the sets are
# made; take k = 3, as few words may be left.)
# ```
#
# ```{solution-start} att-sign
# :class: dropdown
# ```
# It counts as shared, because the sets are made from absolute weights. With negative weights set to zero:

# %%
pro_a = a.assign(weight=a["weight"].clip(lower=0))
pro_b = b.assign(weight=b["weight"].clip(lower=0))
signed = align(pro_a, pro_b, k=3, label=label)
kinds = ["absolute weights", "positive weights", "chance"]
means = [by_k[3].mean, signed.mean, signed.chance]
show(pd.DataFrame({"sets_by": kinds, "jaccard": means}), caption="At k = 3")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Are they the right words?
#
# Agreement says nothing about truth: two models can share the same wrong reasons. In a generated task the grammar has
# *planted* the words that decide the label, so there the explanations can be checked. `recall` is the share of an
# example's planted words that are in the top k; `chance` is what a blind draw of k words would find.

# %%
generated = run.experiment.task(task).generated
examples = load_examples(run.experiment.task(task), "test") if generated else pd.DataFrame()
rows = []
if "evidence" in examples:
    planted = examples.set_index("id")["evidence"][label.index].map(frozenset)
    for (name, method), table in weights.items():
        tops = top_features(table, k=k, label=label)
        pairs = zip(tops, planted, strict=True)
        recall = np.mean([len(top & truth) / len(truth) for top, truth in pairs])
        rows.append({"model": titles[name], "method": method, "recall": recall})
    blind = (k / n_words).clip(upper=1).mean()
    display(show(pd.DataFrame(rows).assign(chance=blind)))

# %% tags=["hide-input"]
best = max(rows, key=lambda row: row["recall"], default=None)
better = sum(row["recall"] > blind for row in rows) if rows else 0
Markdown(
    f"{better} of {len(rows)} explanations find more planted words than a blind draw would. The most are found by "
    f"{best['method']} on {best['model']}: {best['recall']:.0%}, where a blind draw finds {blind:.0%}."
    if rows
    else f"Nobody has planted evidence in {task}: which words are the right ones is not known, as in most real tasks."
)

# %% [markdown]
# ```{exercise} Shared and wrong
# :label: att-truth
# Two models have a Jaccard index of 1 on an example, and neither has a planted word in its top ten. Are they aligned?
# Are they right? Where could such an agreement come from?
# ```
#
# ```{solution} att-truth
# :class: dropdown
# They are aligned, and both explanations miss the truth: alignment is about two models, not about the world. A common
# cause is a *shortcut*, a word that predicts the label in the training data without deciding it; both models were
# trained on the same data. Or the explainer has a habit of its own, such as a taste for the first words, and repeats
# it on every model.
# ```
#
# ## What to take home
#
# - A weight says how a word moves the probability of one class, for one model, one text and one explainer.
# - Top-k sets keep which words matter and drop order, size and sign.
# - A Jaccard index is read beside its chance level, which is high for short texts and large k.
# - Explainers disagree too: check a finding with a second one.
# - Sharing reasons is not the same as having good ones.

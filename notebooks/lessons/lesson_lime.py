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
# # Lesson: LIME from scratch
#
# *45 minutes. You need averages, a straight line through points, and a little numpy.*
#
# **Afterwards you can** build the explanation method LIME in a dozen lines, say what its weights are, and show how far
# it disagrees with itself.
#
# LIME leaves words out of a text at random, asks the model each time, and fits a straight line: the probability
# against which words are there. The slopes are the words' *weights*.
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
text = "the first half is not bad but the ending felt dull and good actors had great lines"
published = "snli-minilm"  # a folder of data/published, or a path

# %%
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import trusteq
from trusteq.alignment import jaccard
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.lessons.toy import sentiment
from trusteq.pages.show import page_style, put, show

page_style()

# %% [markdown]
# ## A model that we know
#
# To judge an explanation one has to know the truth. So the model here is a toy: it adds up scores of words, "not"
# turns the next word's score round, and the logistic function makes a probability of the sum.

# %%
words = text.split()
negative, positive = sentiment([text])[0]
scores = dict(sentiment.scores)
put(f"Scores: {scores}. The rest count 0. Of our text of {len(words)} words, positive: {positive:.3f}.")

# %% [markdown]
# ## Ask about texts with words left out
#
# A *mask* says of each word whether it is kept. The first mask keeps all; each other one leaves out a random number
# of random words.

# %%
rng = np.random.default_rng(0)
masks = np.ones((300, len(words)), dtype=bool)
for mask in masks[1:]:
    mask[rng.choice(len(words), rng.integers(1, len(words) + 1), replace=False)] = False
put(f"`masks` has the shape {masks.shape}: {len(masks)} masks of {len(words)} words.")

# %% [markdown]
# ```{exercise} Ask the model
# :label: lime-ask
# Make the masked texts (words joined by a space), and ask `sentiment` about them all at once: it takes a list of texts
# and returns a table with a row for each and the columns negative and positive. Keep the column *positive*.
# `itertools.compress(words, mask)` gives the words that a mask keeps.
# ```

# %% tags=["solution"]
texts = [" ".join(itertools.compress(words, mask)) for mask in masks]
p = sentiment(texts)[:, 1]

# %%
check("lime-ask", p, sentiment, words, masks)

# %% [markdown]
# ## Which texts count
#
# A text with two words left says less about ours than one with all words but one. LIME weighs each masked text by its
# nearness: with a share $s$ of the words kept, its distance is $d = 1 - \sqrt{s}$, and
#
# $$
# \mathrm{nearness} = \exp\Bigl(-\frac{(100\,d)^2}{2 \cdot 25^2}\Bigr) .
# $$
#
# ```{exercise} Nearness
# :label: lime-nearness
# Compute the nearness of every mask.
# ```

# %% tags=["solution"]
distance = 1 - np.sqrt(masks.mean(axis=1))
nearness = np.exp(-((100 * distance) ** 2) / (2 * 25**2))

# %%
check("lime-nearness", nearness, masks)

# %% [markdown]
# ## The straight line
#
# Fit p = intercept + sum of the weights of the words that are kept, by least squares, each row counted by its
# nearness. The trick for weighted least squares: multiply every row, on both sides, by the *square root* of its
# weight.
#
# ```{exercise} The weights
# :label: lime-slopes
# Make a table with a column of ones (the intercept) and one column for each word, and solve with
# `np.linalg.lstsq(table, target, rcond=None)[0]`. Keep the words' weights and leave out the intercept.
# ```

# %%
p, nearness = right_answer("lime-ask", sentiment, words, masks), right_answer("lime-nearness", masks)

# %% tags=["solution"]
root = np.sqrt(nearness)
columns = np.column_stack([np.ones(len(masks)), masks])
weights = np.linalg.lstsq(columns * root[:, None], p * root, rcond=None)[0][1:]

# %%
check("lime-slopes", weights, masks, p, nearness)

# %%
weights = right_answer("lime-slopes", masks, p, nearness)
ax = plt.figure(figsize=(7, 4.2)).gca()
ax.barh(range(len(words)), weights, color=np.where(weights > 0, "#3a6edc", "#eb8214"))
ax.set_yticks(range(len(words)), words)
ax.invert_yaxis()
most = np.abs(weights).argmax()
ax.set(xlabel="weight for positive", title=f"“{words[most]}” weighs most, {weights[most]:+.2f}")
put(ax)

# %% [markdown]
# Words that the toy does *not* know have bars, too: their true weight is 0, and what is drawn is noise of the sampling.
# And where a text has "not bad", as the one above, look at "bad". Alone it speaks against the class; after "not" it
# speaks for it. A straight line has one slope for the word, between the two.

# %% tags=["remove-input"]
quiz("not-bad")

# %% [markdown]
# ## From weights to a set
#
# To compare two models, or two runs, one often keeps only the k words with the largest *absolute* weights.

# %% tags=["remove-input"]
quiz("sets")

# %% [markdown]
# ```{exercise} The top words
# :label: lime-top
# Make the set of the places (from 0) of the five words with the largest absolute weights.
# ```

# %% tags=["solution"]
top = set(np.argsort(-np.abs(weights))[:5].tolist())

# %%
check("lime-top", top, weights, 5)

# %% tags=["remove-input"]
quiz("sign")

# %% [markdown]
# ## The same again, with another seed
#
# A *seed* is the number that decides what is drawn at random; another one draws other masks. `trusteq.explain` does
# what you built (and pulls weights a little towards 0, as LIME's own library does). Same model, same text, ten seeds,
# and two budgets of masked texts:

# %%
example = pd.DataFrame({"id": ["a"], "text_a": [text], "text_b": [None]})
k, runs = 8, {}
for n_samples, seed in itertools.product((100, 1000), range(10)):
    found = trusteq.explain(sentiment, example, n_samples=n_samples, seed=seed)
    of_positive = found.loc[found["label"] == "positive", "weight"].to_numpy()
    runs[n_samples, seed] = right_answer("lime-top", of_positive, k)
tops = [runs[100, seed] for seed in range(10)]

# %% [markdown]
# How alike are two such sets? The *Jaccard index* is the share of their union that both hold: `jaccard(a, b)`.
#
# ```{exercise} How far LIME agrees with itself
# :label: lime-itself
# `tops` has the ten sets of 100 samples. What is the mean Jaccard index over all pairs of two different runs?
# `itertools.combinations(tops, 2)` gives the pairs.
# ```

# %% tags=["solution"]
agreement = np.mean([jaccard(a, b) for a, b in itertools.combinations(tops, 2)])

# %%
check("lime-itself", agreement, tops)

# %%
more = [runs[1000, seed] for seed in range(10)]
known = sum(word in scores or word == "not" for word in words)
itself = [right_answer("lime-itself", of) for of in (tops, more)]
put(f"With 100 samples LIME agrees with itself by {itself[0]:.2f}, with 1,000 by {itself[1]:.2f}.")

# %% tags=["remove-input"]
put(f"The toy reacts to {known} words here, and {k} are kept: noise chooses at least {max(k - known, 0)} of them.")

# %% [markdown]
# ```{exercise} More samples
# :label: lime-more
# More samples make the weights steadier. Why need the agreement of the sets not reach 1, however many there are?
# ```

# %% [markdown] tags=["solution"]
# ```{solution} lime-more
# :class: dropdown
# A set of k words has to be filled. Where fewer than k words matter, the rest are words whose true weight is 0, and
# which of them come first is a matter of noise alone, however small that noise is.
# ```

# %% [markdown]
# ## On a real model
#
# The published results have LIME on a real model twice, under two seeds, and on a smaller model. How alike are the
# top ten words of one model under two seeds, beside those of two models?

# %%
tables = trusteq.load_published(published)
two = tables["alignment"].query("method == 'lime'").iloc[0]
same = tables["ceilings"].query("method == 'lime' and other == 'explainer seed'").set_index("model").loc[[two.model_a]]
rows = [{"compared": f"{two.model_a} with itself, another seed", "mean_jaccard": same["jaccard"].iloc[0]}]
rows += [{"compared": f"{two.model_a} with {two.model_b}", "mean_jaccard": two.jaccard}]
rows += [{"compared": "two blind choices of ten words", "mean_jaccard": two.chance}]
show(pd.DataFrame(rows), digits=2)

# %% [markdown]
# The first row is the *ceiling*: no other model can be expected to agree better with this one than the explainer
# agrees with itself. The last row is the floor: the lesson on chance shows where it comes from.

# %% tags=["remove-input"]
quiz("ceiling")

# %% [markdown]
# ## What to take home
#
# - LIME's weights are slopes of a straight line through a model that is not straight.
# - They are estimates: another seed gives other weights, and other top words.
# - Where fewer words matter than are kept, noise fills the set.
# - Read the agreement of two models beside the explainer's agreement with itself.

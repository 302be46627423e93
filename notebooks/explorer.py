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
# # Every explained example
#
# Which words weighed in an answer, by every model and method, one example after the other. Words in blue speak for the
# gold label, words in orange against it, the stronger the colour the more; framed ones are the top words that the page
# on alignment compares, and bold ones are top words of the other model as well.
#
# **Try**: choose *at the ceiling or above*, then *no more than chance*, and leaf through each with the arrow keys. Then
# let only flips pass. **What to see**: how often two models give the same answer for other words, and how far two
# methods differ about one and the same model.

# %% tags=["parameters"]
agreement = 0  # shown at first: 0 all, 1 no more than chance, 2 between chance and ceiling, 3 at the ceiling or above

# %% tags=["remove-input"]
from trusteq.pages import instruments as page

# %% [markdown]
# ## One after the other

# %% tags=["remove-input"]
page.instrument("explorer", agreement=agreement)

# %% [markdown]
# Jaccard is of the top words of the large model and the compressed one. Chance is what two random sets of the same
# sizes would share in this very example, so it is high in short texts; the ceiling is the mean over the examples of
# what each of the two shares with itself under another explainer seed, and a single example may lie above it by luck.
# All is of the first training seed. The address in the browser's bar leads back to the example that is shown.

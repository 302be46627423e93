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
# # What the paper did and found
#
# A small model scores nearly as well as a large one. Is it then the same to whoever has to trust it?

# %% tags=["parameters"]
published = "snli-minilm"  # the published run that stands beside the paper's numbers
experiments = None  # names of published experiments whose hours are counted; None: all on real data

# %%
from trusteq.pages import paper as page
from trusteq.pages import status

run = page.held(published)

# %%
page.opening()

# %% [markdown]
# Left, how often each of the paper's models is right; right, the range in which all of its mean agreements with
# BERT-base lie, from pairs of both tasks and both explainers. The single values are not known to us.
#
# ## What it did
#
# {cite:t}`rai2025compressed` take BERT-base and four smaller relatives and fine-tune each on two tasks. In *natural
# language inference* (NLI) a model reads two sentences, a premise and a hypothesis, and says whether the second follows
# from the first, contradicts it, or neither. In *paraphrase identification* (PI) it says whether two questions ask the
# same. Then it asks of each pair of models:
#
# 1. **Do they go by the same words?** Two explainers, LIME and SHAP, give each word of an example a weight for the
#    answer. The ten largest make a set, and two models' sets are compared by the *Jaccard index*: how many words both
#    hold, divided by how many at least one holds. 1 is the same set, 0 no word in common. Its mean over examples is the
#    *alignment* of the two models.
# 2. **Can their confidence be believed alike?** By the *expected calibration error* (ECE), the *maximum* one (MCE) and
#    the Brier score, and by how often a model is more than 90% sure.
#
# Its rule: a smaller model is no drop-in replacement if its alignment is below 0.7 and its calibration differs
# significantly. By this rule, it says, none of the four is one.
#
# No interval and no chance level stands beside the numbers that we know of it, and no released script varies the
# training seed. What that leaves open is what the next pages are about.
#
# ## The models
#
# The paper's Table 1 as it stands there: accuracy in percent, time for the whole test split, on one A100. Below, the
# same of a run of ours on SNLI, where MiniLM, a smaller model, stands where BERT-base stood. Its accuracy is lower also
# because SNLI's own training split was not at hand, and far fewer pairs were learnt from
# ([deviations](../deviations.md#training)). All of ours on this page are of its first training seed. Times are of other
# machines and other test splits, and are not to be compared.

# %%
page.models(run)

# %% [markdown]
# ## The same words?
#
# What is held of the paper is the range. "Not held" means that we do not know the paper's number; none is guessed. Ours
# stand with their 95% intervals over examples, those about one premise taken together, and beside what chance alone
# would give. A range cannot be held against single means, so nothing is concluded from the two side by side.

# %%
page.words(run)

# %% [markdown]
# ## The same confidence?
#
# ECE and MCE go from 0 to 1, the Brier score from 0 to 2; lower is better for all. Two of the paper's shares are held:
# its largest model is sure far more often than its smallest. Ours are of all test examples; their intervals and null
# bands are on [the page of calibration](published/snli-minilm/03_calibration-snli-0.ipynb).

# %%
page.calibration(run)

# %% [markdown]
# Where the paper's claims stand when they are asked of such runs is on the page [What holds](findings.ipynb), and where
# we did otherwise than the paper on the page [of deviations](../deviations.md). The paper ends with three small
# experiments to begin with; [the first](published/first-alignment/first.ipynb) was run as it asks.
#
# ## What it takes
#
# Hours of single jobs of our published runs, as their artefacts recorded them. Two jobs ran side by side on two shared
# cores, so the wall time is about half of the sum, and an hour here is not an hour on a quiet machine. Below stands by
# what they were made, from the manifests of all artefacts; where that is more than one value, the run was made in
# several goes.

# %%
status.costs(experiments)

# %% [markdown]
# ## What the paper's scale would take
#
# How fast a model explains does not depend on what its weights are. So it is measured with random weights of the exact
# sizes, by `benchmarks/attribution.py`: seconds for one SNLI pair, our engine and the libraries called as the authors'
# scripts call them, in one run on one machine. Below, times the number of examples and the budget of
# `experiments/paper.yaml`: hours on one core, for one table of attributions. Training is not in it.

# %%
status.papers_scale("cpu")

# %% [markdown]
# The questions of the second task are taken to be as long as SNLI's pairs, which they need not be. On a CPU, all models
# but BERT-Tiny were timed on two pairs, with other jobs beside them, so their hours are rough: by its size Distil-BERT
# should take half of BERT-base's. The same on one GPU:

# %%
status.papers_scale("gpu bf16")

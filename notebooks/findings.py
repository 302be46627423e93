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
# # What holds
#
# The paper's claims, one by one, and after them what it leaves open or does not ask, held against runs on real
# sentences and real pretrained weights, which are published with this book. Every number and every verdict on this page
# is computed from their predictions and explanations.

# %% tags=["parameters"]
experiments = None  # names of published experiments; None: all on real data

# %%
from trusteq.pages import findings as page

found = page.held(experiments)

# %%
page.at_a_glance(found)

# %% [markdown]
# ## How it is decided
#
# Each claim is put in one number for each data set, and the number is held against the claim's line, which is drawn in
# its section. A data set *supports* the claim, or *contradicts* it, where the whole 95% interval lies beyond the line.
# Over data sets, a claim is supported if every one that has the number does, and contradicted if every one does; it
# *differs by data* where some support and others contradict it; otherwise the evidence *cannot say*. Rows are not
# counted: ten models of one training are one training.
#
# **What an interval is about.** A training of the large model, with all that is made of it, is one unit. Three or more
# vary as the examples do, by Student's *t* on one degree of freedom fewer, and the number is about *further trainings*.
# With one or two, the interval is over examples alone and says nothing of other trainings: it is about *these
# checkpoints*. SNLI's trainings come from two recipes, and what two runs publish of one training counts once.
#
# **What is in a number.** The mean over smaller models that were trained, as the paper's were, and over LIME and SHAP;
# where some have three trainings, over those. What has fewer, and what is made without training, is drawn but does not
# decide. The interval of a mean over models is the mean of their intervals, which is wide enough however they hang
# together; *n* is the fewest examples, or first texts that several share, behind any of them. No interval is widened
# for the number of claims: of thirty, one or two may err.
#
# **What this cannot show.** These are not the paper's models: MiniLM, six layers and 22 million parameters, stands
# where BERT-base stood. A claim about compression as such should survive that; a number need not. Few trainings, few
# explained examples, three data sets in English, and one family of models: *cannot say* is often said of these runs,
# and not of the claim. And a verdict over data sets can be that of one, where the others have no number for it.
#
# First the runs, all of which compare the ten top words, then the claims. A star: about these checkpoints. *Asked
# here*: no claim of the paper. In the pictures below, ×3 behind a name: over three trainings.

# %%
page.summary(found)

# %% [markdown]
# ## Alignment is low
#
# The paper: the ten words that weigh most for BERT-base and for a smaller model have a mean Jaccard index below 0.7,
# for every pair, task and explainer. Below, the same of the models here. What such a number means is another question:
# beside it stand what chance alone gives, and what the large model shares with itself.

# %%
page.section(found, "alignment is low")

# %% [markdown]
# ## Below 0.7 is no drop-in replacement
#
# The half of the paper's rule that is about words; its go or no-go asks for a difference in calibration as well. If it
# is right, a model must pass it beside itself: trained again on the same data from another seed, as happens with every
# update of a model that nobody compressed. A large model that was trained once is only explained again.

# %%
page.section(found, "a model below 0.7 is no drop-in replacement")

# %% [markdown]
# ## Compressed models look at other words
#
# The same question with anchors: 0 is what two random sets share, 1 what the explainer shares with itself. Three
# quarters of that way count as the same words.

# %%
page.section(found, "compressed models look at other words")

# %% [markdown]
# The large model trained again stands beside it: where it comes no further, other words are no mark of compression.
# {cite:t}`arxiv260112654` is near to this: it asks how far SHAP varies with the model's and the explainer's seeds.

# %% [markdown]
# ## Compression changes calibration
#
# By how much the expected calibration error, less its bias, moves up or down; the line is the margin. The sign goes
# after the mean over trainings: a model that is better calibrated once and worse the next time has not been changed by
# its way of compressing, but by its training. So single models can be shown to lie beyond the margin, as on the pages
# of calibration, and the claim about further trainings stay open.

# %%
page.section(found, "compression changes calibration")

# %% [markdown]
# Mean confidence less accuracy has a sign, and may move where the error does not.

# %% [markdown]
# ## The small model is better calibrated
#
# The paper reports a lower ECE of BERT-Tiny than of BERT-base; here the same is asked of all smaller models in the
# mean. Below 0, the smaller model's is lower.

# %%
page.section(found, "the small model is better calibrated")

# %% [markdown]
# ## Distillation keeps calibration better
#
# Than taking fewer layers does, says the paper. Three layers of MiniLM, with the large model as a teacher and without:
# below 0, the distilled one's error is closer to the large model's. Each training has its row, with an interval over
# examples; look how far rows of one data set lie apart before you believe any of them.

# %%
page.section(found, "distillation keeps calibration better")

# %% [markdown]
# ## Accuracy and trust are uncoupled
#
# One model with the large one's accuracy, and other words, is enough to show that accuracy is no proof. So a data set's
# number is the lowest place on the scale of any model and explainer, among models whose accuracy is shown to be within
# the margin of 0.02, with an interval that takes the choice into account. The large model trained again is one of them:
# the claim does not ask who compressed it. Few models are shown to be as accurate, by the table below; where only one
# that keeps all its layers is, as with 8 bits, that it keeps the words does not speak for others: a data set
# *contradicts* this claim only in that none of its own accurate models is an example of it.
# {cite:t}`dutta2024accuracy` show the same of answers, which flip under equal accuracy, {cite:t}`arxiv260315821` of
# attributions under equal answers.

# %%
page.section(found, "accuracy and trust are uncoupled")

# %% [markdown]
# ## The released boundary makes models look alike
#
# The released scripts perturb a pair of sentences with its boundary, which is then lost in half of the perturbed texts.
# The mean Jaccard as released, less chance, is held against that with the boundary kept, less chance, on the same
# examples. Chance is what must be taken off first: the raw indices, in the table, differ as much by it.
#
# The boundary is not isolated. As released, a word that occurs twice is one feature, so there are fewer of them and
# chance is higher; the boundary itself is one; and where it is lost the second text is empty. No published run changes
# one of these alone.

# %%
page.section(found, "the released boundary makes models look alike")

# %% [markdown]
# ## Most disagreement is compression's
#
# A part of 1 − Jaccard comes from the explainer's own luck; how far two models fall short of what they share with
# themselves is free of it. The large model and its twin, trained again, fall short too, by the training's step. The
# model's step is the rest of what a smaller model falls short by. Most of the disagreement is compression's where the
# model's step exceeds the training's, and is so more than half of all but the explainer's part: right of 0. This could
# come out either way, and needs a large model that was trained twice.

# %%
page.section(found, "most disagreement is compression's")

# %% [markdown]
# ## Training can keep more of the words
#
# The paper asks whether a model can be compressed so that it stays trust-equivalent. The student's objective asks it to
# answer like its teacher when words are deleted; the number is the gain in mean Jaccard with the teacher over the same
# student without that part, training by training. The table asks of all data sets at once, by explainer: Student's *t*
# between students, of which some share a teacher, and between teachers. A p-value that crosses 0.05 from one to the
# other is not to be leant on, and none is corrected for the number of tests. Verdict and p-value ask for different
# things: the verdict needs a gain that each data set shows by itself, in the mean over explainers; the test pools few
# trainings of all data as if they were draws of one population. And a student that keeps trust takes more time to train
# than the plain one; no plain student was given as much.

# %%
page.section(found, "training can keep more of the words")

# %% [markdown]
# ## What fidelity costs
#
# No claim, and so no verdict: what is saved, and what is kept. *Bytes* and *time* are shares of the large model's, the
# time for one text on the CPU of that run, where 8 bits save time only if it has instructions for them; the words are
# on the scale from chance to ceiling, with intervals over examples alone.

# %%
page.costs(found)

# %% [markdown]
# ## Decoders, images, sound
#
# The paper's first open question: do the same trends carry over to decoder-only language models and other modalities?
# [Beyond sentence pairs](beyond.ipynb) asks it of small models of each kind, with the same anchors; this is its
# summary. Each number is a mean over compressed models and over explainers. *Yes*: its whole 95% interval lies beyond
# the line that is drawn. Where nothing can be trained again, the second question is not asked. The first two rows, of
# encoders, are there to compare; none of the others counts in the claims above.

# %%
page.other_kinds()

# %% [markdown]
# ## The three first experiments
#
# The paper expects a mean Jaccard index of 0.5 to 0.7 for LIME's top five words on MRPC, (a), and asks for the same on
# SST-2, (c); that the range is meant for both is our reading. What (b) asks, the shift of the ECE, is on
# [the page of the first](published/first-alignment/first.ipynb).

# %%
page.first_experiments(found)

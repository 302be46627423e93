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
# The paper's claims, one by one, held against runs on real sentences and real pretrained weights, which are published
# with this book. Every number and every verdict on this page is computed from their tables. A row *supports* a claim,
# or *contradicts* it, where its whole 95% interval does, and otherwise *cannot say*. A claim is *mixed* where rows do
# both.
#
# These are not the paper's models: MiniLM, six layers and 22 million parameters, stands where BERT-base stood, and what
# is made of it where the smaller BERTs stood. A claim about compression as such should survive that; a number need not.
# *n* is the number of examples, or of first texts where several examples share one. An interval is over examples: what
# other trainings of the same models would change is not in it, and trainings are few; `snli-again` has models of
# `snli-minilm` trained once more. A third training of two of these is on that run's page on ways to compress, and not
# in the rows here. No interval is widened for the number of rows: of forty, one may err.

# %% tags=["parameters"]
experiments = None  # names of published experiments; None: all on real data

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from trusteq.pages import claims, findings
from trusteq.pages.figures import STYLE
from trusteq.pages.findings import Claim, claim_intervals
from trusteq.pages.show import paper_table, show
from trusteq.sentences import reasons as why
from trusteq.sentences.findings import count_sentence, why_list
from trusteq.study import publish
from trusteq.verdict.margins import load_margins

plt.style.use(STYLE)
runs = [run for run in publish.reference_runs() if experiments is None or run.experiment.name in experiments]

# %%
pairs = [run for run in runs if not run.experiment.name.startswith("first-")]  # the top ten words, as in the paper
paper = paper_table("jaccard_range").iloc[0]
accuracy = paper_table("models").set_index("model")["nli_accuracy"]
margins = load_margins()
accurate = f"{accuracy['Distil-BERT']} against {accuracy['BERT-base']} %"

# %%
# A claim: what the paper has of it, which rows say something of it, and why.
asked = {
    "alignment is low": (f"{paper['low']} to {paper['high']}", claims.low_alignment, why.low_alignment),
    "a model below 0.7 is no drop-in replacement": ("0.7, without a reason", claims.rule_on_itself, why.rule_on_itself),
    "compressed models look at other words": ("no anchors", claims.different_words, why.different_words),
    "compression changes calibration": ("not held", claims.calibration_changes, why.calibration_changes),
    "the small model is better calibrated": ("BERT-Tiny; not held", claims.better_calibrated, why.better_calibrated),
    "distillation keeps calibration better": ("Distil-BERT; not held", claims.distillation, why.distillation),
    "accuracy and trust are uncoupled": (accurate, claims.uncoupled, why.uncoupled),
    "the boundary changes the number": ("not asked", claims.boundary, why.boundary),
    "most disagreement is compression's": ("one training seed", claims.mostly_compression, why.mostly_compression),
    "training can keep more of the words": ("left open", claims.keeping_trust, why.keeping_trust),
}

# %%
found = {
    statement: Claim(held, rows_of(pairs), why_of(pairs))
    for statement, (held, rows_of, why_of) in asked.items()
}

# %% [markdown]
# ## All in one table

# %%
show(findings.summary(found))

# %% [markdown]
# Why, in short; the sections below have the rows.

# %%
Markdown(why_list(found))

# %% [markdown]
# ## Alignment is low
#
# The paper: the ten words that weigh most for BERT-base and for a smaller model have a mean Jaccard index below 0.7,
# for every pair, task and explainer. Below, the same of the models here.

# %%
rows = found["alignment is low"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %%
claim_intervals(rows, lines={"the paper's cut, 0.7": (0.7,)}, xlabel="mean Jaccard with the large model");

# %% [markdown]
# What such a number means is another question.

# %% [markdown]
# ## Below 0.7 is no drop-in replacement
#
# If that rule is right, a model must pass it beside itself: under another seed of the explainer, and trained again on
# the same data from another seed, as happens with every update of a model that nobody compressed.

# %%
rows = found["a model below 0.7 is no drop-in replacement"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %% [markdown]
# ## Compressed models look at other words
#
# The same question with anchors: 0 is what two random sets share, 1 what the explainer shares with itself. Three
# quarters of that way count as the same words.

# %%
rows = found["compressed models look at other words"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %%
same = 1 - margins["normalised_alignment"].margin
anchors = {"the same words, by our margin": (same,), "chance and ceiling": (0, 1)}
claim_intervals(rows, lines=anchors, xlabel="0: chance, 1: the explainer with itself");

# %% [markdown]
# ## Compression changes calibration
#
# Two measures: the expected calibration error less its bias, and mean confidence less accuracy, which has a sign. The
# margin is 0.02.

# %%
rows = found["compression changes calibration"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %%
margin = margins["ece"].margin  # overconfidence has the same
claim_intervals(rows, lines={"the margin": (-margin, margin)}, xlabel="difference from the large model");

# %% [markdown]
# ## The small model is better calibrated
#
# The paper reports a lower ECE of BERT-Tiny than of BERT-base. Below 0, the smaller model's is lower.

# %%
rows = found["the small model is better calibrated"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %% [markdown]
# ## Distillation keeps calibration better
#
# Than taking fewer layers does, says the paper. Three layers of MiniLM, once with the large model as a teacher and once
# without: below 0, the distilled one's calibration error is closer to the large model's.

# %%
rows = found["distillation keeps calibration better"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %% [markdown]
# ## Accuracy and trust are uncoupled
#
# Models whose accuracy is shown to be the large one's, within the margin of 0.02. The estimate is the difference in
# accuracy; a row supports the claim where the model is then not equivalent in words or in calibration.

# %%
rows = found["accuracy and trust are uncoupled"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %% [markdown]
# ## The boundary changes the number
#
# The released scripts perturb a pair of sentences with its boundary, which is then lost in half of the perturbed texts.
# The estimate is the mean Jaccard as released less that with the boundary kept, on the same examples; the two also have
# different chance levels.

# %%
rows = found["the boundary changes the number"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %% [markdown]
# ## Most disagreement is compression's
#
# A part of 1 − Jaccard comes from the explainer's own luck, and a part would be there after training the same model
# again. The estimate is what is left for compression; most is more than half of all disagreement, by both intervals.
# Where the large model was trained once, the part of training is not known and stays in the estimate: such a row may
# contradict the claim and cannot support it. Elsewhere it comes from one further training of the large model. A model
# that is made without training has no such part; where the method draws nothing either, it has no row, since nothing
# but compression could make it disagree.

# %%
rows = found["most disagreement is compression's"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %%
claim_intervals(rows, lines={"nothing": (0,)}, xlabel="disagreement left for compression");

# %% [markdown]
# ## Training can keep more of the words
#
# The paper asks whether a model can be compressed so that it stays trust-equivalent. The student's objective asks it to
# answer like its teacher when words are deleted; the estimate is the gain in mean Jaccard with the teacher over the
# same student without that part.

# %%
rows = found["training can keep more of the words"].rows
display(show(findings.finding_view(rows)))
Markdown(count_sentence(rows))

# %%
claim_intervals(rows, lines={"no gain": (0,)}, xlabel="gain in mean Jaccard with the teacher");

# %% [markdown]
# ## What fidelity costs
#
# No claim, and so no verdict: what is saved, and what is kept. *Bytes* and *time* are shares of the large model's, the
# time for one text on the CPU of that run, where 8 bits save time only if it has instructions for them; the words are
# on the scale from chance, 0, to ceiling, 1, by the first method.

# %%
costs = findings.fidelity_cost(pairs)
show(findings.cost_view(costs), digits=2)

# %% [markdown]
# ## The three first experiments
#
# The paper expects a mean Jaccard index of 0.5 to 0.7 for LIME's top five words.

# %%
first = findings.first_experiments([run for run in runs if run.experiment.name.startswith("first-")])
show(first, digits=2)

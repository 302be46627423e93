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
# # Lesson: audit a pair of models
#
# *30 minutes. Best after the lessons on calibration and on equivalence.*
#
# **Afterwards you can** audit two models from their predictions, read the three answers of the report, and say on
# which inputs a small model may answer alone.
#
# A large model is to be replaced by a smaller one. Three questions can be asked:
#
# 1. Are the two **interchangeable**? Every measure within its margin.
# 2. Is the small one **no worse than training again**? Beside a *twin*, the large model trained with another seed.
# 3. With **hand-over**: on which share of inputs may the small one answer alone, and the large one take the rest?
#
# **How it works.** An exercise has a cell in which `...` stands for your answer. Run it, then run the check below it:
# it says what is wrong, not what is right. Whatever you answer, the lesson goes on with the right values.

# %% tags=["parameters"]
published = "snli-minilm"  # a folder of data/published, or a path
large_name = "minilm"
small_name = "minilm-3-layers"

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import trusteq
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.quiz import quiz
from trusteq.pages.figures import handover_curve
from trusteq.pages.show import page_style, put, show

page_style()

# %% [markdown]
# ## What an audit reads
#
# A file for each model (csv or parquet), with a row for each example: its `label`, a probability for each class, and
# perhaps a column that says which examples belong together. Here we write such files from published results. Pairs with
# the same first sentence are a `group`: they tend to be right and wrong together, and an audit has to know it.

# %%
tables = trusteq.load_published(published)
table = tables["predictions"].query("task == task.iloc[0]").dropna(axis="columns")
classes = [column for column in table if column not in ("task", "model", "seed", "part", "id", "label")]
table = table.merge(tables["groups"], how="left") if "groups" in tables else table
wanted = {"large": (large_name, 0, "test"), "small": (small_name, 0, "test"), "twin": (large_name, 1, "test")}
wanted |= {"large-dev": (large_name, 0, "dev"), "small-dev": (small_name, 0, "dev")}
columns = ["file", "model", "training_seed", "part"]
show(pd.DataFrame([(name, *which) for name, which in wanted.items()], columns=columns))

# %%
folder, of = Path(tempfile.mkdtemp()), {}
parts = dict(list(table.groupby(["model", "seed", "part"])))
for name, which in wanted.items():
    rows = parts[which].dropna(axis="columns")
    rows[rows.columns.intersection(["id", "group", "label", *classes])].to_csv(folder / f"{name}.csv", index=False)
    of[name] = trusteq.read_predictions(folder / f"{name}.csv", group="group" if "group" in rows else None)

# %% [markdown]
# `dev` is a second set of examples, on which one may choose. On the command line such an audit is `trusteq audit
# large.csv small.csv --retrained twin.csv --dev large-dev.csv small-dev.csv --out DIR`, and `--group` names the column.

# %%
dev = (of["large-dev"], of["small-dev"])
audit = trusteq.audit_predictions(of["large"], of["small"], retrained=[of["twin"]], dev=dev)

# %% [markdown]
# ## Are they interchangeable?
#
# Each measure is held against its margin: the difference (small less large), its 95% interval, and the outcome.
# Margins were fixed before, with a reason each (`trusteq/verdict/margins.yaml`). `ece` is the expected calibration
# error less what luck adds to it, `overconfidence` the mean confidence less the accuracy.

# %%
seen = audit.dimensions
columns = ["measure", "large", "compressed", "difference", "low", "high", "margin", "outcome"]
show(seen[columns])

# %% tags=["remove-input"]
ax = plt.figure(figsize=(7, 2.4)).gca()
ax.axvspan(-1, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
ax.hlines(seen.index, seen["low"] / seen["margin"], seen["high"] / seen["margin"], color="0.2", linewidth=2.5)
ax.plot(seen["difference"] / seen["margin"], seen.index, "o", color="0.2")
ax.set_yticks(seen.index, seen["measure"])
ax.invert_yaxis()
ax.set(xlabel="difference, in margins")
ax.set_title(f"{(seen['outcome'] == 'equivalent').sum()} of {len(seen)} intervals lie inside the band")
put(ax)

# %% [markdown]
# ```{exercise} The verdict
# :label: audit-verdict
# From the outcomes alone: what is the verdict on the pair? `"equivalent"`, `"not-equivalent"` or `"undecided"`.
# ```

# %% tags=["solution"]
outcomes = list(seen["outcome"])
undecided = "undecided" if "undecided" in outcomes else "equivalent"
verdict = "not-equivalent" if "not-equivalent" in outcomes else undecided

# %%
check("audit-verdict", verdict, seen["outcome"])

# %% tags=["remove-input"]
put(*[f"- {row.measure}: {row.outcome}, as {row.reason}." for row in seen.itertuples()])

# %% tags=["remove-input"]
quiz("which-measure")

# %% [markdown]
# ## What users notice
#
# Users of the large model meet *negative flips*: inputs that were answered right and are now answered wrong. Two
# models of the same accuracy can have many.
#
# ```{exercise} Negative flips
# :label: audit-flips
# Which share of all inputs does the large model get right and the small one wrong? You have `large` and `small`,
# whether each is right.
# ```

# %%
large, small, twin = (of[name].right for name in ("large", "small", "twin"))

# %% tags=["solution"]
flips = (large & ~small).mean()

# %%
check("audit-flips", flips, large, small)

# %%
flips = right_answer("audit-flips", large, small)
put(f"Accuracy falls by {large.mean() - small.mean():.1%}, and {flips:.1%} of the inputs flip from right to wrong.")

# %% [markdown]
# ## Beside a twin
#
# Is that much? Train the large model again with another seed, and it will flip some answers, too. The twin is the
# yardstick.
#
# ```{exercise} Beside training again
# :label: audit-twin
# How much more often does the small model answer otherwise than the large one, than the twin does? You have the
# answers `says_large`, `says_small` and `says_twin`.
# ```

# %%
says_large, says_small, says_twin = (of[name].predicted for name in ("large", "small", "twin"))

# %% tags=["solution"]
more = (says_small != says_large).mean() - (says_twin != says_large).mean()

# %%
check("audit-twin", more, says_large, says_small, says_twin)

# %% tags=["remove-input"]
put(
    f"The small model answers otherwise in {(says_small != says_large).mean():.1%} of cases, the twin in "
    f"{(says_twin != says_large).mean():.1%}. The audit's answer beside the twin: **{audit.retraining}**."
)

# %% tags=["remove-input"]
quiz("twin")

# %% [markdown]
# ## Hand-over
#
# The small model need not answer everything. Let it answer where its confidence reaches a threshold, and hand the
# rest to the large one. What can go wrong then is a negative flip among what it answers itself.
#
# ```{exercise} The risk of a threshold
# :label: audit-risk
# With the threshold below: which share of *all* inputs is answered by the small model alone *and* is a negative flip?
# You have `sure`, the small model's confidences, and `lost`, whether an input is a negative flip.
# ```

# %%
sure, lost = of["small"].probabilities.max(axis=1), large & ~small
chosen = audit.handover[audit.handover["risk"] == "flips"].reset_index(drop=True)
threshold = chosen["threshold"].iloc[-1]
put(f"Threshold {threshold}: the small model answers {(sure >= threshold).mean():.0%} of the inputs.")

# %% tags=["solution"]
risk = (lost & (sure >= threshold)).mean()

# %%
check("audit-risk", risk, sure, lost, threshold)

# %% [markdown]
# The audit chose the threshold on `dev`, so that the risk is within its level in 95% of such choices, and then looked
# on `test` at what it brings (*realised*).

# %%
columns = ["level", "threshold", "share", "realised", "realised_low", "realised_high"]
show(chosen[columns], caption="Negative flips: at most this level, by answering alone from this threshold on")

# %% tags=["remove-input"]
put(handover_curve(audit.curve, plt.figure(figsize=(7, 3.4)).gca(), chosen=audit.handover))

# %% tags=["remove-input"]
quiz("promise")

# %% [markdown]
# ## The report
#
# `audit.to_html()` is the report for people, `audit.to_json()` for machines, `audit.to_model_card()` a section for a
# model card, which begins so:

# %%
print(audit.to_model_card().partition("\n\nMeasured")[0])

# %% [markdown]
# ```{exercise} Write the decision
# :label: audit-letter
# In three sentences to the owner of the product: may the small model replace the large one, and under which
# condition? Name the numbers that you rely on, and one thing that this audit has not looked at.
# ```

# %% [markdown] tags=["solution"]
# ```{solution} audit-letter
# :class: dropdown
# A good answer names the verdict with the measure that decides it, the answer beside the twin, and the share of inputs
# that can be handed to the small model at a level of risk that the owner chooses. Not looked at here: whether both
# models look at the same words (that needs the models), other data than the test split, and what an error costs.
# ```

# %% [markdown]
# ## What to take home
#
# - Interchangeable, no worse than training again, safe to hand over: three questions, with three answers.
# - One measure beyond its margin decides; "undecided" asks for more examples.
# - A twin says what training again would change anyway.
# - A threshold is chosen on one set of examples and checked on another.

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
# # Attribution
#
# Which words does one fine-tuned model look at? Every word of a sample of test examples gets a weight for every class,
# from each method of the experiment. Words are features by their place; the boundary of a pair is never perturbed.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"
model = "demo-tiny"
seed = 0
methods = None  # a list of methods; None: the experiment's
shard = None  # "1/4": explain the first quarter of the examples alone; None: all of them
reference = 5  # examples that the libraries explain as well, for the experiment's first model

# %% tags=["remove-output"]
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

from trusteq.alignment import overlap
from trusteq.alignment.faithfulness import faithfulness
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier
from trusteq.models.heads import random_head
from trusteq.pages.attribution import attribution_cost, beside_libraries, weight_by_rank
from trusteq.pages.figures import STYLE, highlights
from trusteq.pages.show import chosen_methods, show
from trusteq.study import jobs, shards
from trusteq.study.results import Results
from trusteq.study.shards import attributions

run = Results.of(experiment, results)
settings = chosen_methods(run, task, methods)
part = shards.Shard.parse(shard)
plt.style.use(STYLE)

# %% [markdown]
# ## The model and the examples
#
# All models of a task explain the same examples, drawn once from the test split. The large model brings a twin, its own
# encoder under a head drawn anew: what agrees with the twin agrees without having learned the task.

# %% tags=["remove-stderr"]
classifier = load_classifier(run.trained(task, model, seed))
twin = random_head(classifier, seed=seed) if run.experiment.has_twin(model, seed) else None
test = load_examples(run.experiment.task(task), "test", limit=run.experiment.explained(task))
rows = part.rows(len(test), window=shards.window(classifier))
chosen = test.iloc[rows]
print(f"{len(chosen)} examples explained on {classifier.model.device.type}")

# %% [markdown]
# ## The weights
#
# Each example has its own random stream, from the explainer's seed and its id: neither order nor company changes a
# weight. A method that draws is run *again* under another seed: how far it agrees with itself is the most that two
# models can be asked for. What a table costs is estimated first, from a few of the examples. A table that is there
# already and was made of the same is kept; one whose shards are all there is joined from them.

# %% tags=["remove-stderr"]
explained, seconds = {}, {}
for job in jobs.jobs(run.experiment, task=task, model=model, seed=seed, methods=settings):
    subject = twin if job.kind == jobs.RANDOM_HEAD else classifier
    explained[job.table], seconds[job.table] = attributions(run, job, subject, test, part=part, progress=True)

# %%
by_place = [name for name in settings if name in explained and explained[name].attrs["boundary"] == "safe"]
show(attribution_cost(explained, seconds))

# %% [markdown]
# ## Beside the libraries
#
# Ours are the methods of the libraries `lime` and `shap`, computed in another way: on the same masks the weights are
# to be the same but for rounding. Here are the largest weight, the largest difference of two weights, and the time
# of both.

# %% tags=["remove-stderr"]
budgets = {method: settings[method].n_samples for method in ("lime", "shap") if method in settings}
if budgets and reference and part.is_whole and model == run.experiment.large:
    beside = beside_libraries(classifier, test.head(reference), budgets, seed=seed)
    display(show(beside, formats={"largest_difference": "{:.0e}"}))
else:
    print("The libraries are run for the first model of an experiment alone, and where it uses lime or shap.")

# %% [markdown]
# ## Are they faithful?
#
# *Comprehensiveness* is what the gold class loses in probability without the top words, *sufficiency* what it loses
# when they are all that is left: a faithful method has much of the first and little of the second. The last row holds
# as many words drawn at random.

# %% tags=["remove-stderr"]
if part.is_whole:
    gold = chosen.set_index("id")["label"].map(dict(enumerate(classifier.labels)))
    judged = {method: explained[method] for method in by_place}
    judged["random features"] = overlap.random_features(judged[next(iter(judged))], seed=seed)
    how = {"k": run.experiment.k, "label": gold}
    scored = {name: faithfulness(classifier, chosen, table, **how) for name, table in judged.items()}
    faithful = pd.concat(scored, names=["method"]).reset_index("method").reset_index(drop=True)
    faithful = faithful[["id", "method", "comprehensiveness", "sufficiency"]]
    run.write(faithful, "attribution", task, model, seed, "faithfulness", task=task, model=model, seed=seed)
    means = faithful.groupby("method", sort=False)[["comprehensiveness", "sufficiency"]].mean()
    display(show(means.reset_index()))

# %%
if part.is_whole:
    lost = means["comprehensiveness"]
    better = lost.index[lost > lost["random features"]]
    display(Markdown(f"More is lost than without as many random words by: {', '.join(better) or 'no method'}."))

# %% [markdown]
# ## Three examples
#
# The weights are those for the gold label. Blue words speak for it, orange words against it; the stronger the colour,
# the larger the weight within the example. The ten words with a frame are the top 10 that the comparison uses.

# %%
for method in by_place:
    display(highlights(explained[method], chosen.head(3), classifier.labels, title=method))

# %% [markdown]
# ## How the weight is spread
#
# A steep curve means that a few words carry the explanation; a flat one that the tenth word is hardly more important
# than the fifteenth, so that the edge of a top-10 set falls by chance.

# %%
if len(chosen):
    weight_by_rank({method: explained[method] for method in by_place}, chosen, classifier.labels)

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
# # Fine-tuning
#
# One model learns one task. The recipe comes from the experiment file; the epoch with the best accuracy on the dev
# split is kept, and its probabilities for every dev and test example are saved for the stages that follow.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own
task = "demo-nli"
model = "demo-tiny"
seed = 0

# %% tags=["remove-output"]
import matplotlib.pyplot as plt

from trusteq.examples.load import load_examples
from trusteq.pages.figures import STYLE
from trusteq.pages.finetune import recipe_table, split_table, training_history
from trusteq.pages.show import facts_table, show
from trusteq.study import stages
from trusteq.study.results import Results

run = Results.of(experiment, results)
spec, recipe = run.experiment.model(model), run.experiment.recipe_for(task, model)
labels = run.experiment.task(task).labels
plt.style.use(STYLE)

# %% [markdown]
# ## The examples
#
# The test split is never looked at while training. Where the task brings no dev split, a tenth of the training
# examples is held out, and no first text is on both sides.

# %% tags=["remove-stderr"]
train = load_examples(run.experiment.task(task), "train", limit=run.experiment.train_limit)
dev = load_examples(run.experiment.task(task), "dev")
test = load_examples(run.experiment.task(task), "test")
show(split_table({"train": train, "dev": dev, "test": test}, labels))

# %% [markdown]
# ## The recipe

# %%
show(recipe_table(spec, recipe, seed))

# %% [markdown]
# ## Training
#
# A compressed model starts from a fine-tuned one, and may be done with that. A model with a teacher also learns from
# what its fine-tuned teacher makes of the training examples.

# %% tags=["remove-output"]
which = stages.Which(run, task, model, seed)
tuned = stages.train(which, train, dev)

# %%
if len(tuned.history):
    training_history(tuned.history)
else:
    print("Nothing was trained: the model is used as compression made it.")

# %% [markdown]
# The grey line marks the epoch that is kept: the first with the highest dev accuracy. Where the dev loss rises while
# the accuracy stands still, the model grows more confident without growing better, which the calibration chapter sees.

# %% [markdown]
# ## The test split

# %% tags=["remove-stderr"]
metrics = stages.keep(which, tuned, test)
show(facts_table(metrics))

# %% [markdown]
# The accuracy is to be read against the share of the most frequent class, which a model reaches by never reading.

# %% [markdown]
# ## Further predictions
#
# The dev split serves to find out how much of a miscalibration can be repaired. The large model also gets a twin with
# the same encoder under a head drawn anew, which was never trained: a control that no comparison may mistake for a
# replacement.

# %% tags=["remove-stderr"]
further = stages.further(which, tuned, dev, test)
right = {part: table[list(labels)].to_numpy().argmax(axis=1) == table["label"] for part, table in further.items()}
show(facts_table({f"accuracy, {part}": float(found.mean()) for part, found in right.items()}))

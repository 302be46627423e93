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
# # Status of this run
#
# What made these results, and how long it took.

# %% tags=["parameters"]
experiment = "demo"  # a name from experiments/ or a path
results = None  # folder below which results are kept; None: the checkout's own

# %%
from IPython.display import Markdown

from trusteq.pages.show import show
from trusteq.pages.status import benchmark_rows, benchmark_table, origin_table, time_table, training_benchmark_table
from trusteq.sentences.run import benchmark_sentence, run_sentence
from trusteq.study.results import Results

run = Results.of(experiment, results)
Markdown(run_sentence(run))

# %% [markdown]
# ## Time of each stage
#
# In seconds of notebook time, start-up included; jobs run side by side, so the wall time is shorter. Of published
# results only the pages are made anew; what the run itself took is on the page [What it costs](cost.ipynb).

# %%
show(time_table(run), digits=1)

# %% [markdown]
# ## The attribution engine
#
# Not of this run: what `benchmarks/attribution.py` last measured, each figure within one process, on one thread.
# *Seconds* are for one example, the engine's and the library's, the latter called as the authors' scripts call it.
# *Bare share* is the time that the library's model takes for the distinct, unpadded inputs alone, over the engine's
# whole time; it is above 1 where the engine's own forward pass computes less than the library's model.

# %%
measured = benchmark_rows()
show(benchmark_table(measured), digits=2, formats={"passes/s": "{:,.0f}"})

# %% tags=["hide-input"]
Markdown(benchmark_sentence(measured))

# %% [markdown]
# ## Fine-tuning
#
# Not of this run either: what `benchmarks/finetune.py` last measured. The authors' loop pads every row to 512 tokens;
# ours groups texts of like length. The last columns are the 95% interval of the difference in accuracy.

# %%
trained = benchmark_rows("finetune")
show(training_benchmark_table(trained), digits=2, formats={"measured": "{:.1f}", "at least": "{:g}"})

# %% tags=["hide-input"]
Markdown(benchmark_sentence(trained))

# %% [markdown]
# ## Versions and machine
#
# From the manifests of all artefacts. More than one value in a row means that the run was made in several goes.

# %%
show(origin_table(run))

# %% [markdown]
# ## The experiment file

# %%
Markdown(f"```yaml\n{run.experiment.dump()}```")

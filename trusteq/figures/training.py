"""How a model learnt, over epochs."""

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.figures.base import GREY


def training_history(history: pd.DataFrame, ax=None):
    """Draw training loss, dev loss and dev accuracy over epochs; a grey line marks the epoch that is kept."""
    ax = ax or plt.gca()
    accuracy = ax.twinx()
    ax.plot(history["epoch"], history["loss"], marker="o", color="C0", label="loss, training")
    ax.plot(history["epoch"], history["eval_loss"], marker="s", color="C0", linestyle="--", label="loss, dev")
    accuracy.plot(history["epoch"], history["eval_accuracy"], marker="^", color="C1", label="accuracy, dev")
    ax.axvline(history["epoch"][history["eval_accuracy"].idxmax()], color=GREY, zorder=0)
    ax.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    accuracy.spines["right"].set_visible(True)
    accuracy.grid(False)
    ax.figure.legend(loc="outside upper center", ncols=3)
    return ax

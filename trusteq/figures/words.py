"""Words and their weights: coloured texts, and how the weight is spread over ranks."""

import html
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML

from trusteq import words
from trusteq.alignment import top_features
from trusteq.figures.base import GREY


def weight_by_rank(explained: Mapping[str, pd.DataFrame], test: pd.DataFrame, labels: Sequence[str], ax=None):
    """Draw the mean share of the absolute weight that the word of each rank carries, by method, for the gold label."""
    ax = ax or plt.gca()
    gold = _gold(test, labels)
    for method, table in explained.items():
        rows = table[table["label"] == table["id"].map(gold)].assign(size=lambda rows: rows["weight"].abs())
        rows = rows.assign(rank=rows.groupby("id")["size"].rank(ascending=False, method="first"))
        rows["share"] = rows["size"] / rows.groupby("id")["size"].transform("sum")
        mean = rows.groupby("rank")["share"].mean().head(20)
        ax.plot(mean.index, mean, marker="o", markersize=4, label=method)
    ax.axvline(10.5, color=GREY, linestyle="--", linewidth=1, label="edge of the top 10")
    ax.set(xlabel="rank of the word", ylabel="share of the absolute weight", ylim=(0, None), xticks=range(1, 21))
    ax.legend()
    return ax


def _gold(examples: pd.DataFrame, labels: Sequence[str]) -> pd.Series:
    """Return the gold class name of each example, by id."""
    return examples.set_index("id")["label"].map(dict(enumerate(labels)))


def highlights(
    attributions: pd.DataFrame, examples: pd.DataFrame, labels: Sequence[str], *, title: str = "", k: int = 10
) -> HTML:
    """Return the texts with each word coloured by its weight for the gold label and the top `k` framed.

    Blue speaks for the label, orange against it; strength is relative to the example's largest weight.
    """
    gold = _gold(examples, labels)
    shown = attributions[attributions["id"].isin(gold.index)]
    gold = gold[gold.index.isin(shown["id"])]
    if gold.empty:
        return HTML(f"<p>{html.escape(title)}: none of the explained examples belongs here.</p>")
    top = top_features(shown, k=k, label=gold)
    parts = [f"<p><strong>{html.escape(title)}</strong></p>"] if title else []
    for example in examples[examples["id"].isin(gold.index)].itertuples():
        rows = shown[(shown["id"] == example.id) & (shown["label"] == gold[example.id])]
        weights = {(row.segment, row.position): row.weight for row in rows.itertuples()}
        texts = [text for text in (example.text_a, example.text_b) if isinstance(text, str)]
        marked = [_marked(text, segment, weights, top[example.id]) for segment, text in enumerate(texts)]
        heading = f"<small>{html.escape(example.id)}, {html.escape(gold[example.id])}</small>"
        parts.append(f'<p class="tq-example">{heading}<br>{"<br>".join(marked)}</p>')
    return HTML("\n".join(parts))


def _marked(text: str, segment: int, weights: Mapping[tuple[int, int], float], top: frozenset) -> str:
    """Return one text as HTML: every word in a coloured span, everything else escaped as it stands."""
    largest = max(map(abs, weights.values())) or 1.0
    pieces, end = [], 0
    for position, (start, stop) in enumerate(words.spans(text)):
        weight = weights[segment, position]
        colour = "58, 110, 220" if weight > 0 else "235, 130, 20"
        frame = "outline: 1px solid currentColor;" if (segment, position) in top else ""
        style = f"background: rgba({colour}, {0.75 * abs(weight) / largest:.2f}); {frame}"
        pieces.append(html.escape(text[end:start]))
        word = html.escape(text[start:stop])
        pieces.append(f'<span class="tq-word" style="{style}" title="{weight:+.4f}">{word}</span>')
        end = stop
    return "".join((*pieces, html.escape(text[end:])))

"""Count the words of the pairs of SNLI's test split: python data/snli_word_counts.py HUB, a mirror of the Hub.

Writes snli_word_counts.csv beside this file. `positions` is how this project counts: each occurrence is a feature of
its own. `distinct words` is how the authors' scripts do: the words of both texts and the separator, SEP, each once.
"""

import sys
from collections import Counter
from pathlib import Path

import pandas as pd

from trusteq.examples.load import load_examples
from trusteq.words import words

pairs = load_examples("snli", "test", hub=sys.argv[1])
both = [(words(first), words(second)) for first, second in zip(pairs["text_a"], pairs["text_b"], strict=True)]
counts = {
    "positions": Counter(len(first) + len(second) for first, second in both),
    "distinct words": Counter(len({*first, *second, "SEP"}) for first, second in both),
}
rows = [(counted, n, found[n]) for counted, found in counts.items() for n in sorted(found)]
table = pd.DataFrame(rows, columns=["counted", "words", "pairs"])
table.to_csv(Path(__file__).with_suffix(".csv"), index=False, lineterminator="\n")

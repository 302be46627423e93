"""A method at work on a game: a function from masks, (m, n), to probabilities, (m, C)."""

import numpy as np


class Words:
    """An example of n words, as far as a method looks at it."""

    def __init__(self, n):
        self.n_features = n


def play(method, game):
    """Return what a method returns, and all masks that it asks about."""
    asked, answer = [], None
    while True:
        try:
            asked.append(method.send(answer))
        except StopIteration as finished:
            return finished.value, np.concatenate(asked)
        answer = game(asked[-1])

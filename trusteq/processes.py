"""Processes of their own for what is trained or measured side by side."""

import multiprocessing
from multiprocessing.context import BaseContext

# Imported once, by the server that the processes come from; it then starts one within a second.
_PRELOADED = ["trusteq.stages", "trusteq.models.footprint"]


def context() -> BaseContext:
    """Return the context of processes that are not forked from this one: torch's threads do not survive that."""
    found = multiprocessing.get_context("forkserver")
    # Has an effect before the first process alone, so everybody asks for the same.
    found.set_forkserver_preload(_PRELOADED)
    return found

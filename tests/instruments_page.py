"""A page with instruments as it lies in the book, for tests that open it; and what its data hold."""

import base64
import shutil

import numpy as np
import pytest

from trusteq.project import root
from trusteq.store import write_text


def html_of(show) -> str:
    """Return what calls on the notebook's module put on the page."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trusteq.pages.show.display", lambda one: found.append(one.data))
        show()
    return "\n".join(found)


def make_page(run, folder, write, show):
    """Write a page of what `show` puts on it, the data that `write` makes of the run beside it; return the file."""
    shutil.copytree(root() / "book" / "assets" / "instruments", folder / "_static" / "instruments")
    write(run, folder / "runs" / "instruments")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Try it</title><body>'
    write_text(head + html_of(show), folder / "runs" / "page.html")
    return folder / "runs" / "page.html"


def decoded(text, width):
    return np.frombuffer(base64.b64decode(text), dtype="<f4").reshape(-1, width)

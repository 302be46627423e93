"""Quick checks inside a page: a question whose answers open, each with its feedback. No script: HTML's `details`."""

import html
from pathlib import Path

import yaml
from IPython.display import HTML

from trusteq.errors import ExperimentError, nearest

QUIZZES = Path(__file__).with_name(
    "quizzes.yaml"
)  # beside the code: in a notebook's cell it would give the answer away
_STYLE = 'style="display: list-item; cursor: pointer"'  # JupyterLab would hide the mark of what opens


def quizzes() -> dict[str, dict]:
    """Return the quizzes by name: `question`, and `answers` with what each `says`, if it is `right`, and `because`."""
    return yaml.safe_load(QUIZZES.read_text(encoding="utf-8"))


def quiz(name: str) -> HTML:
    """Return a quiz as HTML; raise ExperimentError for an unknown one."""
    if name not in (known := quizzes()):
        raise ExperimentError(f"no quiz {name!r}; {nearest(name, known)}")
    answers = "\n".join(_answer(name, of) for of in known[name]["answers"])
    question = f'<p id="quiz-{name}"><strong>Quick check.</strong> {html.escape(known[name]["question"])}</p>'
    return HTML(f'<div class="tq-quiz" role="group" aria-labelledby="quiz-{name}">\n{question}\n{answers}\n</div>')


def _answer(name: str, answer: dict) -> str:
    said = "✓ Right." if answer.get("right") else "✗ Not quite."
    body = f"<p><strong>{said}</strong> {html.escape(answer['because'])}</p>"
    summary = f"<summary {_STYLE}>{html.escape(answer['says'])}</summary>"
    return f'<details name="quiz-{name}">{summary}{body}</details>'

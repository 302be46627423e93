"""What all pages share: opening a run, putting tables and figures on the page, the paper's tables, and names."""

from collections.abc import Collection, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trusteq.errors import ExperimentError, nearest
from trusteq.pages.figures import STYLE
from trusteq.project import root
from trusteq.study.experiment import MethodSettings
from trusteq.study.results import Results, open_run
from trusteq.verdict.comparison import CONTROLS

NOT_HELD = "not held"
NOT_SHOWN = "Texts of this data set are not published again. The demo's pages show generated ones."
# Columns whose missing values mean that the paper's number is not held, rather than that there is none.
PAPER_MARK = "paper"


def page_style() -> None:
    """Set the style of all figures of a page."""
    plt.style.use(STYLE)


def open_page(experiment: str | Path, results: str | Path | None = None) -> Results:
    """Return the run that a page shows (`open_run`), with the style of the page's figures set."""
    page_style()
    return open_run(experiment, results)


def put(*things: object) -> None:
    """Display what belongs under one heading, in this order: tables, figures or their Axes, and text as Markdown."""
    for thing in things:
        shown = thing.figure if isinstance(thing, Axes) else Markdown(thing) if isinstance(thing, str) else thing
        display(show(shown) if isinstance(shown, pd.DataFrame) else shown)
        if isinstance(shown, Figure):
            plt.close(shown)  # a notebook shows what is open once more at the end of the cell


def show(table: pd.DataFrame, *, digits: int = 3, formats: Mapping[str, str] | None = None, caption: str = ""):
    """Return a styled table: columns titled in plain words, numbers rounded, missing numbers of the paper "not held".

    formats: templates of columns that are not shown with `digits` decimals. `.attrs["no_counterpart"]` of the table
    says for each row whether the paper has nothing that could be held; it then shows a dash.
    """
    titled = {column: str(column).replace("_", " ") for column in table}
    # A style is set by row, so rows need names of their own; the tables' own index, which may repeat, is never shown.
    styled = table.reset_index(drop=True).rename(columns=titled).style.hide(axis="index")
    for column, title in titled.items():
        is_number = pd.api.types.is_float_dtype(table[column])
        template = (formats or {}).get(column, f"{{:z.{digits}f}}" if is_number else None)
        missing = NOT_HELD if str(column).startswith(PAPER_MARK) else "–"
        styled = styled.format(template, subset=[title], na_rep=missing, escape="html")
    intervals = [title for title in titled.values() if title.endswith("95%")]
    styled = styled.set_properties(subset=intervals, **{"white-space": "nowrap"})
    papers = [title for column, title in titled.items() if str(column).startswith(PAPER_MARK)]
    without = [row for row, marked in enumerate(table.attrs.get("no_counterpart", [])) if marked]
    styled = styled.format(lambda value: "–", subset=pd.IndexSlice[without, papers])
    return styled.set_caption(caption) if caption else styled


def paper_table(name: str) -> pd.DataFrame:
    """Return one of the paper's tables from data/paper; cells that are not held are missing."""
    return pd.read_csv(root() / "data" / "paper" / f"{name}.csv")


def facts_table(facts: Mapping[str, object]) -> pd.DataFrame:
    """Return facts by name as two columns of text."""
    texts = [fact_text(value) for value in facts.values()]
    return pd.DataFrame({"what": [name.replace("_", " ") for name in facts], "value": texts})


def fact_text(value: object) -> str:
    """Return a fact as text: numbers with three decimals, small ones such as a learning rate as they are."""
    return f"{value:.3f}" if isinstance(value, float) and value >= 0.01 else str(value)


def interval_text(low: pd.Series, high: pd.Series, *, digits: int = 2) -> pd.Series:
    """Return intervals as one column of text, such as "0.51 to 0.58", or "0.51" of one that is no wider; or missing."""
    ends = [(f"{a:z.{digits}f}", f"{b:z.{digits}f}") for a, b in zip(low, high, strict=True)]
    texts = [a if a == b else f"{a} to {b}" for a, b in ends]
    return pd.Series(texts, index=low.index, dtype=object).where(low.notna() & high.notna())


def of_seed(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of a table that belong to one training seed."""
    return table[table["seed"] == seed].reset_index(drop=True)


def titles(run: Results) -> dict[str, str]:
    """Return the title of each model of an experiment, by name."""
    return {name: run.experiment.model(name).title for name in run.experiment.models}


def counterparts(run: Results) -> pd.Series:
    """Return the paper's model whose part each model plays, by name; missing where it plays none."""
    return pd.Series({name: run.experiment.model(name).paper for name in run.experiment.models}, dtype=object)


def marked(table: pd.DataFrame, no_counterpart: pd.Series) -> pd.DataFrame:
    """Return the table with the rows marked to which the paper has no counterpart (see `show`)."""
    table.attrs["no_counterpart"] = no_counterpart.tolist()
    return table


def chosen_runs(run: Results, model: str | None, seed: int | None) -> list[tuple[str, int]]:
    """Return the fine-tuned models of a run as (model, seed), or those of one model, of one seed, or the one of both.

    Raises ExperimentError for a model or a seed that the experiment does not have.
    """
    models = run.experiment.models if model is None else [model]
    runs = [(name, number) for name in models for number in run.experiment.model_seeds(name) if seed in (None, number)]
    if not runs:
        raise ExperimentError(f"seed {seed} is not in experiment {run.experiment.name!r}; it has {_seeds(run)}")
    return runs


def _seeds(run: Results) -> str:
    return ", ".join(map(str, sorted({number for _, number in run.experiment.runs})))


def run_names(run: Results, runs: Collection[tuple[str, int]]) -> list[str]:
    """Return what the fine-tuned models (model, seed) are called: titles, with the seed where a model comes twice."""
    models = [model for model, _ in runs]
    return [titles(run)[model] + (f", seed {seed}" if models.count(model) > 1 else "") for model, seed in runs]


def chosen_methods(run: Results, task: str, methods: Collection[str] | None) -> dict[str, MethodSettings]:
    """Return the experiment's methods of a task, or the named ones of them; raise ExperimentError for others."""
    known = run.experiment.task_methods(task)
    for method in methods or ():
        if method not in known:
            raise ExperimentError(
                f"method {method!r} is not in experiment {run.experiment.name!r}; {nearest(method, known)}"
            )
    return {method: options for method, options in known.items() if methods is None or method in methods}


def side_titles(run: Results) -> dict[str, str]:
    """Return the title of each model and each control, by name."""
    return titles(run) | {name: control.title for name, control in CONTROLS.items()}


def pair_names(table: pd.DataFrame, run: Results) -> pd.Series:
    """Return the two sides of each row, model_a and model_b, as one text."""
    names = side_titles(run)
    return table["model_a"].map(names) + " – " + table["model_b"].map(names)

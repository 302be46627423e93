"""What all pages share: how a table is shown, the paper's own tables, and the names of models and controls."""

from collections.abc import Collection, Mapping

import pandas as pd

from trusteq.errors import ExperimentError, nearest
from trusteq.project import root
from trusteq.study.experiment import MethodSettings
from trusteq.study.results import Results
from trusteq.study.sides import CONTROLS

NOT_HELD = "not held"


# Columns whose missing values mean that the paper's number is not held, rather than that there is none.
PAPER_MARK = "paper"


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
    texts = [f"{value:.3f}" if isinstance(value, float) and value >= 0.01 else str(value) for value in facts.values()]
    return pd.DataFrame({"what": [name.replace("_", " ") for name in facts], "value": texts})


def interval_text(low: pd.Series, high: pd.Series, *, digits: int = 2) -> pd.Series:
    """Return intervals as one column of text, such as "0.51 to 0.58"; missing where an end is."""
    texts = [f"{a:z.{digits}f} to {b:z.{digits}f}" for a, b in zip(low, high, strict=True)]
    return pd.Series(texts, index=low.index, dtype=object).where(low.notna() & high.notna())


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
    return titles(run) | CONTROLS


def pair_names(table: pd.DataFrame, run: Results) -> pd.Series:
    """Return the two sides of each row, model_a and model_b, as one text."""
    names = side_titles(run)
    return table["model_a"].map(names) + " – " + table["model_b"].map(names)

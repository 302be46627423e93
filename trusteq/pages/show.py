"""What all pages share: opening a run, putting tables and figures on the page, the paper's tables, and names."""

import base64
import html
import io
import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from trusteq.errors import ExperimentError, nearest
from trusteq.escapes import for_spreadsheet, markdown
from trusteq.pages.drawn import described, drawn
from trusteq.pages.figures import NO_METADATA, STYLE, settled
from trusteq.project import root
from trusteq.study.results import Results, open_run
from trusteq.verdict.comparison import CONTROLS

_ONE_LINE = 36  # letters: longer texts of a table take several lines
NOT_HELD = "not held"
NOT_SHOWN = "Texts of this data set are not published again. The demo's pages show generated ones."
# Columns whose missing values mean that the paper's number is not held, rather than that there is none.
PAPER_MARK = "paper"


def page_style() -> None:
    """Set the style of all figures of a page, and have the notebook keep the data of its tables and figures as CSV."""
    plt.style.use(STYLE)
    if (shell := get_ipython()) is not None:
        for kind, bundle in ((Figure, figure_bundle), (Styler, table_bundle)):
            shell.display_formatter.mimebundle_formatter.for_type(kind, bundle)


def figure_bundle(figure: Figure, include: object = None, exclude: object = None) -> tuple[dict, dict]:
    """Return a figure as a notebook keeps it: PNG, SVG and its data as CSV; with a text for who cannot see it.

    The SVG has the text as its label, so that it says what it shows wherever it stands.
    """
    alt, png, svg = described(settled(figure)), io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", bbox_inches="tight")
    figure.savefig(svg, format="svg", bbox_inches="tight", metadata=NO_METADATA)
    named = svg.getvalue().replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "image/svg+xml": named, "text/plain": alt}
    return data | {"text/csv": for_spreadsheet(drawn(figure)).to_csv(index=False, float_format="%.6g")}, {
        "image/png": {"alt": alt}
    }


def table_bundle(table: Styler, include: object = None, exclude: object = None) -> dict[str, str]:
    """Return a table as a notebook keeps it: as it is shown, and its data as CSV, with nine digits."""
    return {
        "text/html": table.to_html(),
        "text/plain": table.data.to_string(index=False),
        "text/csv": for_spreadsheet(table.data).to_csv(index=False, float_format="%.9g"),
    }


def open_page(experiment: str | Path, results: str | Path | None = None) -> Results:
    """Return the run that a page shows (`open_run`), with the style of the page's figures set."""
    page_style()
    return open_run(experiment, results)


def put(*things: object) -> None:
    """Display what belongs under one heading, in this order: tables, figures or their Axes, and text.

    Of Markdown a text has stars and lists alone: titles and names in it are shown as they are. For more give Markdown.
    """
    for thing in things:
        shown = thing.figure if isinstance(thing, Axes) else prose(thing) if isinstance(thing, str) else thing
        display(show(shown) if isinstance(shown, pd.DataFrame) else shown)
        if isinstance(shown, Figure):
            plt.close(shown)  # a notebook shows what is open once more at the end of the cell


def prose(text: str) -> Markdown:
    """Return a text with what stands in titles and names of no effect in Markdown, but for stars."""
    return Markdown("\n".join(markdown(line, bold=True) for line in text.split("\n")))


def verbatim(text: str, language: str) -> Markdown:
    """Return a text as a block of code, whose fence is longer than any within."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=2))
    return Markdown(f"{fence}{language}\n{text}{fence}")


def open_with(answer: str, picture: Figure | Axes, *about: str) -> None:
    """Display what a page opens with: its answer, in bold, a picture, whose text says it too, and what was run."""
    picture.figure.set_label(answer)
    put(f"**{answer}**", picture, *about)


def show(table: pd.DataFrame, *, digits: int = 3, formats: Mapping[str, str] | None = None, caption: str = ""):
    """Return a styled table: columns titled in plain words, numbers rounded, missing numbers of the paper "not held".

    formats: templates of columns that are not shown with `digits` decimals. `.attrs["no_counterpart"]` of the table
    says for each row whether the paper has nothing that could be held; it then shows a dash.
    """
    titled = {column: str(column).replace("_", " ") for column in table}
    # A style is set by row, so rows need names of their own; the tables' own index, which may repeat, is never shown.
    styled = table.reset_index(drop=True).rename(columns=titled).style.hide(axis="index")
    for column, title in titled.items():
        template = (formats or {}).get(column, _template(table[column], digits))
        missing = NOT_HELD if str(column).startswith(PAPER_MARK) else "–"
        styled = styled.format(template, subset=[title], na_rep=missing, escape="html")
    intervals = [title for title in titled.values() if "95%" in title]
    styled = styled.set_properties(subset=intervals, **{"white-space": "nowrap"})
    long = [title for column, title in titled.items() if table[column].astype(str).str.len().max() > _ONE_LINE]
    styled = styled.set_properties(subset=long, **{"white-space": "normal", "min-width": "14rem"})
    papers = [title for column, title in titled.items() if str(column).startswith(PAPER_MARK)]
    without = [row for row, marked in enumerate(table.attrs.get("no_counterpart", [])) if marked]
    styled = styled.format(lambda value: "–", subset=pd.IndexSlice[without, papers])
    styled = styled.set_table_attributes('class="dataframe"')  # else the theme has them light, in the dark too
    styled = styled.format_index(escape="html", axis="columns")
    return styled.set_caption(html.escape(caption, quote=False)) if caption else styled


def _template(values: pd.Series, digits: int) -> str | None:
    if pd.api.types.is_integer_dtype(values):
        return "{:,}"
    return f"{{:z.{digits}f}}" if pd.api.types.is_float_dtype(values) else None


def paper_table(name: str) -> pd.DataFrame:
    """Return one of the paper's tables from data/paper; cells that are not held are missing."""
    return pd.read_csv(root() / "data" / "paper" / f"{name}.csv")


def facts_table(facts: Mapping[str, object]) -> pd.DataFrame:
    """Return facts by name as two columns of text."""
    texts = [fact_text(value) for value in facts.values()]
    return pd.DataFrame({"what": [name.replace("_", " ") for name in facts], "value": texts})


def fact_text(value: object) -> str:
    """Return a fact as text: numbers with up to three decimals, small ones such as a learning rate as they are."""
    is_long = isinstance(value, float) and (value >= 0.01 or value == 0)
    return f"{value:.3f}".rstrip("0").rstrip(".") if is_long else str(value)


def interval_text(low: pd.Series, high: pd.Series, *, digits: int = 2) -> pd.Series:
    """Return intervals as one column of text, such as "0.51 to 0.58", or "0.51" of one that is no wider; or missing."""
    ends = [(f"{a:z.{digits}f}", f"{b:z.{digits}f}") for a, b in zip(low, high, strict=True)]
    texts = [a if a == b else f"{a} to {b}" for a, b in ends]
    return pd.Series(texts, index=low.index, dtype=object).where(low.notna() & high.notna())


Columns = Mapping[str, str | tuple[str, str]]
# Columns that say of what a row is, and are shown only where rows differ in them.
_WHERE_SEVERAL = ("seed", "truth", "measure")


def view(found: pd.DataFrame, run: Results, columns: Columns, *, digits: int = 2) -> pd.DataFrame:
    """Return columns of a table under the titles of a page.

    columns: by title, a column, or two that are the ends of an interval, which becomes one text with `digits` decimals.
    "model" is shown by its title, "pair" are model_a and model_b, "text" counts segments from 1; a seed that all rows
    share is left out.
    """
    named = found.assign(
        **({"pair": pair_names(found, run)} if "model_a" in found else {}),
        **({"model": found["model"].map(side_titles(run))} if "model" in found else {}),
        **({"text": found["segment"] + 1} if "segment" in found else {}),
    )
    shown = {title: of for title, of in columns.items() if of not in _WHERE_SEVERAL or named[of].nunique() > 1}
    cells = {
        title: named[of] if isinstance(of, str) else interval_text(named[of[0]], named[of[1]], digits=digits)
        for title, of in shown.items()
    }
    return pd.DataFrame(cells, index=named.index)


def wide(
    found: pd.DataFrame,
    run: Results,
    key: str,
    heads: Mapping[str, str] | None = None,
    *,
    columns: Columns,
    rows: Columns,
    digits: int = 3,
) -> pd.DataFrame:
    """Return a table whose rows are told apart by `rows`, with the same columns for each value of the column `key`.

    heads: what each value is called; None: what it is. columns: as in `view`, with titles that have "{}" where the head
    goes. Columns without any value are left out.
    """
    of_row = [column for column in (*rows.values(), "model_a", "model_b") if column in found]
    every = found[of_row].drop_duplicates()
    parts = [view(every, run, rows).reset_index(drop=True)]
    for name, head in (heads or {name: name for name in found[key].unique()}).items():
        values = every.merge(found[found[key] == name], how="left", on=of_row)
        titled = {title.format(head): of for title, of in columns.items()}
        parts.append(view(values, run, titled, digits=digits))
    return pd.concat(parts, axis="columns").dropna(axis="columns", how="all")


def of_seed(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of a table that belong to one training seed."""
    return table[table["seed"] == seed].reset_index(drop=True)


def titles(run: Results) -> dict[str, str]:
    """Return the title of each model of an experiment, by name; with the name, where two have the same title."""
    found = {name: run.experiment.model(name).title for name in run.experiment.models}
    several = {title for title, count in Counter(found.values()).items() if count > 1}
    return {name: f"{title} ({name})" if title in several else title for name, title in found.items()}


def counterparts(run: Results) -> pd.Series:
    """Return the paper's model whose part each model plays, by name; missing where it plays none."""
    return pd.Series({name: run.experiment.model(name).paper for name in run.experiment.models}, dtype=object)


def marked(table: pd.DataFrame, no_counterpart: pd.Series) -> pd.DataFrame:
    """Return the table with the rows marked to which the paper has no counterpart (see `show`)."""
    table.attrs["no_counterpart"] = no_counterpart.tolist()
    return table


def chosen_runs(run: Results, model: str | None, seed: int | None) -> dict[str, tuple[str, int]]:
    """Return the fine-tuned models of a run as (model, seed), or those of one model, of one seed, or the one of both.

    They are called by their titles, with the seed where a model comes twice. Raises ExperimentError for a model or a
    seed that the experiment does not have.
    """
    models = run.experiment.models if model is None else [model]
    seeds = {name: [n for n in run.experiment.model_seeds(name) if seed in (None, n)] for name in models}
    if not any(seeds.values()):
        known = ", ".join(map(str, sorted({number for _, number in run.experiment.runs})))
        raise ExperimentError(f"seed {seed} is not in experiment {run.experiment.name!r}; it has {known}")
    called = titles(run)
    return {
        called[name] + (f", seed {number}" if len(found) > 1 else ""): (name, number)
        for name, found in seeds.items()
        for number in found
    }


def chosen_methods(run: Results, task: str, methods: Collection[str] | None) -> list[str]:
    """Return the experiment's methods of a task, or the named ones of them; raise ExperimentError for others."""
    known = run.experiment.task_methods(task)
    for method in methods or ():
        if method not in known:
            where = f"experiment {run.experiment.name!r}"
            raise ExperimentError(f"method {method!r} is not in {where}; {nearest(method, known)}")
    return [method for method in known if methods is None or method in methods]


def side_titles(run: Results) -> dict[str, str]:
    """Return the title of each model and each control, by name."""
    return titles(run) | {name: control.title for name, control in CONTROLS.items()}


def pair_names(table: pd.DataFrame, run: Results) -> pd.Series:
    """Return the two sides of each row, model_a and model_b, as one text."""
    names = side_titles(run)
    return table["model_a"].map(names) + " – " + table["model_b"].map(names)

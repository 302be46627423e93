"""What a figure says without being seen: the data that is drawn, as a table, and a text that stands for the picture."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

COLUMNS = ("panel", "series", "mark", "x", "y", "x_to", "y_to", "value")
_MOST_NAMED = 8  # series that a text names with their range, and rows and panels that it lists
_INTERVALS = ("line", "bar")
# White text stands on marks, which keep their colour; all other white is the paper's.
_COLOUR = re.compile(r'(?<!<g style="fill: )#(ffffff)(?=[;"])|#(?!ffffff)([0-9a-f]{6})(?=[;"])')
_NUMBER = re.compile(r"\s*|[-−+]?[\d.,]+\s*%?|\$.*\$")  # also powers of ten, which are set as formulas


def themed(svg: str) -> str:
    """Return an SVG whose colours are variables of a style sheet, each with its own value to fall back on."""
    return _COLOUR.sub(lambda found: f"var(--tq-{found[1] or found[2]}, {found[0]})", svg)


def drawn(figure: Figure) -> pd.DataFrame:
    """Return what a figure draws, a row a mark: `COLUMNS` of which those without any value are left out.

    Lines and points have x and y, intervals, bars and bands also where they end (x_to, y_to), cells of a matrix a
    value. Where an axis has names instead of numbers, these stand in x or y. series: as the legend calls the mark, or
    others of its colour.
    """
    rows = [row for ax in _visible(figure) for row in _of_axes(ax)]
    return pd.DataFrame(rows, columns=COLUMNS).dropna(axis="columns", how="all")


def described(figure: Figure) -> str:
    """Return a text for who cannot see a figure: what it and its legend are called, its axes, panels, rows, ranges."""
    axes, table = _visible(figure), drawn(figure)
    across = _listed([figure.get_supxlabel(), *[ax.get_xlabel() for ax in axes]])
    up = _listed([figure.get_supylabel(), *[ax.get_ylabel() for ax in axes]])
    what = " over ".join(filter(None, (up, across))) or "Values"
    panels, named = _listed(map(_title, axes)), _listed(name for ax in axes for name in _names(ax, "y"))
    first, panels = (panels, "") if len(axes) == 1 else ("", panels and f"Panels: {panels}")
    heads = [figure.get_label(), figure.get_suptitle(), *(of.get_title().get_text() for of in figure.legends)]
    parts = [*heads, first, what, panels, named and f"Rows: {named}", _ranges(table)]
    return ". ".join(" ".join(part.split()).rstrip(".") for part in parts if part) + "."


def _visible(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_visible()]


def _title(ax: Axes) -> str:
    return " ".join(ax.get_title(loc="center").split() or ax.get_title(loc="left").split())


def _of_axes(ax: Axes) -> Iterator[dict]:
    panel, legend = _title(ax), _legend(ax)
    for artist in ax.get_children():
        for row in _marks(artist, ax):
            series = artist.get_label() if _is_named(artist) else legend.get(_colour(artist), "")
            named = {side: _name(ax, side[0], row[side]) for side in row if side[0] in "xy"}
            ends = {side: None for side in ("x_to", "y_to") if isinstance(named.get(side), str)}
            yield {"panel": panel or None, "series": series or None} | row | named | ends


def _marks(artist: Artist, ax: Axes) -> Iterator[dict]:
    """Yield what an artist draws in the coordinates of the data; nothing for what is decoration."""
    if isinstance(artist, Line2D) and artist.get_transform().contains_branch(ax.transData):
        points = np.ma.filled(np.ma.asarray(artist.get_xydata(), dtype=float), np.nan)
        yield from ({"mark": "point", "x": x, "y": y} for x, y in points)
    elif isinstance(artist, PathCollection):
        points = np.ma.filled(artist.get_offsets(), np.nan)
        values = [{}] * len(points) if artist.get_array() is None else [{"value": of} for of in artist.get_array()]
        yield from ({"mark": "point", "x": x, "y": y} | of for (x, y), of in zip(points, values, strict=True))
    elif isinstance(artist, LineCollection):
        for (x, y), *_, (x_to, y_to) in filter(len, artist.get_segments()):  # one without ends has no segment
            yield {"mark": "line", "x": x, "y": y, "x_to": x_to, "y_to": y_to}
    elif isinstance(artist, AxesImage) and artist.get_array().ndim == 3:
        return  # a picture in colours: what is drawn on it are the data
    elif isinstance(artist, QuadMesh | AxesImage):
        cells = np.ma.filled(np.ma.asarray(artist.get_array(), dtype=float), np.nan)
        middle = 0.5 * isinstance(artist, QuadMesh)
        places = (((x + middle, y + middle), value) for (y, x), value in np.ndenumerate(cells))
        yield from ({"mark": "cell", "x": x, "y": y, "value": value} for (x, y), value in places)
    elif isinstance(artist, Collection):  # a band between two curves
        yield from ({"mark": "edge", "x": x, "y": y} for path in artist.get_paths() for x, y in path.vertices)
    elif isinstance(artist, Rectangle) and artist is not ax.patch:
        (x, y), (x_to, y_to) = artist.get_bbox().get_points()
        yield {"mark": "bar", "x": x, "y": y, "x_to": x_to, "y_to": y_to}


def _is_named(artist: Artist) -> bool:
    return bool(artist.get_label()) and not str(artist.get_label()).startswith("_")


def _legend(ax: Axes) -> dict[str, str]:
    """Return what each colour stands for, where the legend tells it."""
    found: dict = {}
    for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
        found.setdefault(_colour(handle), name)
    return found


def _colour(artist: object) -> str | None:
    """Return the colour of a mark without its transparency, None of what has several or none."""
    get = next((getattr(artist, name) for name in ("get_color", "get_facecolor") if hasattr(artist, name)), list)
    colour = np.atleast_1d(np.asarray(get(), dtype=object))
    if colour.ndim == 2 and len(colour) == 1:
        colour = colour[0]
    try:
        return to_hex(colour[0] if colour.shape == (1,) else tuple(colour))
    except (ValueError, TypeError):
        return None


def _names(ax: Axes, side: str) -> list[str]:
    """Return what stands at the ticks of an axis, nothing where these are numbers."""
    found = [" ".join(tick.get_text().split()) for tick in getattr(ax, f"{side}axis").get_ticklabels()]
    return [] if all(_NUMBER.fullmatch(text) for text in found) else found


def _name(ax: Axes, side: str, place: float) -> float | str:
    """Return what the axis calls a place, where it has names; the place otherwise."""
    names = _names(ax, side)
    if not names or not np.isfinite(place):
        return float(place)
    ticks = np.asarray(getattr(ax, f"{side}axis").get_ticklocs(), dtype=float)[: len(names)]
    nearest = int(np.abs(ticks - place).argmin())
    return names[nearest] if abs(ticks[nearest] - place) <= 0.5 else float(place)


def _listed(names) -> str:
    found = list(dict.fromkeys(" ".join(str(name).split()) for name in names if name))
    more = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _ranges(table: pd.DataFrame) -> str:
    """Return from where to where each series goes, on the axis that has numbers."""
    if "series" not in table:
        return ""
    axis = next((side for side in ("y", "x") if side in table and pd.api.types.is_float_dtype(table[side])), None)
    if axis is None:
        return ""
    of = table.loc[~table["mark"].isin(_INTERVALS)].groupby("series", sort=False)[axis].agg(["min", "max"])
    ends = ((name, f"{row['min']:.3g}", f"{row['max']:.3g}") for name, row in of.dropna().iterrows())
    return _listed(f"{name} {low}" if low == high else f"{name} from {low} to {high}" for name, low, high in ends)

"""Attributions of images as pictures: each patch tinted by its weight, the top ones framed, models side by side."""

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from trusteq.alignment import chance_jaccard, jaccard, top_features
from trusteq.modalities.image import GRID, centres_of, patches
from trusteq.pages.figures import WIDTH, headed, small_multiples

FOR, AGAINST = (58 / 255, 110 / 255, 220 / 255), (235 / 255, 130 / 255, 20 / 255)
TINT, DARKEST = 0.75, 0.5  # how much of the image the largest weight hides; black, on which no colour could be seen
NARROWEST, WIDEST = 280, 480  # pixels of a page that an image is wide
_INK, _PAPER = "#262626", "#ffffff"
# By whether it is so for all models: what the legend calls a frame, and its width.
_FRAMES = {False: ("top", 1.0), True: ("top of all", 2.6)}
# By the sign of a weight: what the legend calls it, how it is marked, and in what colour.
_SIGNS = {1: ("for the class", "+", "#1f4e9e"), -1: ("against it", "_", "#c2590a")}


def side_by_side(row, attributions: Mapping[str, pd.DataFrame], label: str, *, cut: str = GRID, k: int = 10) -> Figure:
    """Return one image with the weights of each of several models, and how much their top sets overlap.

    row: of a table of examples, id and image. attributions: of the models, by their titles. label: the class whose
    weights are shown. cut: into patches. A patch among the top `k` is framed, with a thick line where it
    is so for all models.
    """
    patch, names, _ = patches(row.image, cut)
    of_image = {title: table[table["id"] == row.id] for title, table in attributions.items()}
    top = {title: _top(table, str(row.id), label, k) for title, table in of_image.items()}
    shared = frozenset.intersection(*top.values()) if len(top) > 1 else frozenset()
    panels = []
    for title, table in of_image.items():
        sets = {"top": top[title], "shared": shared}
        panels.append((title, partial(overlay, row.image, patch, _weights(table, label), **sets)))
    height, width = row.image.shape[:2]
    columns = 1 if width > 1.6 * height else 2
    across = WIDTH / min(columns, len(panels))
    figure = small_multiples(panels, columns=columns, size=(across, 0.8 + 0.85 * across * height / width))
    named = (f"top of {title}: {', '.join(names[of] for of in sorted(of_top))}" for title, of_top in top.items())
    figure.set_label(f"{row.id}, {label}; {'; '.join(named)}")
    return headed(figure, finding(list(top.values()), len(names), k))


def overlay(
    image: np.ndarray,
    patch: np.ndarray,
    weights: np.ndarray,
    ax=None,
    *,
    top: Collection[int] = (),
    shared: Collection[int] = (),
):
    """Draw an image in light greys, with each patch in blue where it speaks for the class, in orange where against it.

    image: uint8, (height, width) or (height, width, 3). patch: the patch of each pixel, (height, width). weights:
    (patches,); how strong a colour is, and how large the sign in the patch's middle, is relative to the largest. top:
    patches that are framed. shared: those of them whose frame is thick.
    """
    ax = ax or plt.gca()
    strength = np.abs(weights) / (np.abs(weights).max() or 1)
    ax.imshow(_tinted(image, patch, weights), interpolation="none")
    for number in top:
        _frame(ax, patch == number, _FRAMES[number in shared][1])
    for name, width in _FRAMES.values() if shared else ():
        ax.plot([], [], color=_INK, linewidth=width, label=name)
    centres = centres_of(patch)
    for sign, (name, marker, colour) in _SIGNS.items():
        of = np.sign(weights) == sign
        how = {"c": weights[of], "cmap": ListedColormap([colour]), "marker": marker, "linewidths": 1.4, "zorder": 3}
        ax.scatter(centres[of, 1], centres[of, 0], 2 + 40 * strength[of], label=name, **how)
    ax.set(xlabel="pixels from the left", ylabel="pixels from the top")
    ax.grid(visible=False)
    return ax


def _tinted(image: np.ndarray, patch: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the image in light greys, each patch tinted, (height, width, 3), from 0 to 1."""
    grey = image.mean(axis=2) if image.ndim == 3 else image
    light = DARKEST + (1 - DARKEST) * grey[..., None] / 255
    share = TINT * np.abs(weights) / (np.abs(weights).max() or 1)
    colour = np.where(weights[:, None] > 0, FOR, AGAINST)
    return light + share[patch][..., None] * (colour[patch] - light)


def marked(row, weights: Mapping[int, float], top: Collection[int], cut: str) -> str:
    """Return an image of a table of examples as HTML, its patches tinted as by `overlay`, the top ones framed.

    It has a text for who cannot see it, which is shown to a mouse too: the top patches with their weights.
    """
    patch, names, _ = patches(row.image, cut)
    height, width = row.image.shape[:2]
    pixels = _tinted(row.image, patch, np.array([weights[place] for place in range(len(names))]))
    frames = "".join(_drawn_frame(patch == place) for place in sorted(top))
    listed = [f"{names[place]} {weights[place]:+.4f}" for place in sorted(top, key=lambda of: -abs(weights[of]))]
    about = ", ".join([f"{len(top)} of {len(names)} patches framed", *listed])
    size = f"width: {min(max(width, NARROWEST), WIDEST)}px; max-width: 100%; height: auto; overflow: visible"
    shown = f'width="{width}" height="{height}" style="image-rendering: pixelated"'
    return (
        f'<svg class="tq-image" role="img" aria-label="{about}" viewBox="0 0 {width} {height}" style="{size}">'
        f'<title>{about}</title><image href="{_png(pixels)}" {shown}/>{frames}</svg>'
    )


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _drawn_frame(inside: np.ndarray) -> str:
    """Return the outline of the pixels that are `inside` as elements of an SVG: dark on light."""
    ends = (_outline(inside).vertices + 0.5).astype(int).reshape(-1, 4).tolist()
    path = "".join(f"M{x} {y}L{x_to} {y_to}" for x, y, x_to, y_to in ends)
    how = 'fill="none" stroke-linecap="square" vector-effect="non-scaling-stroke"'
    lines = ((_PAPER, 3.5), (_INK, 1.8))
    return "".join(f'<path d="{path}" {how} stroke="{colour}" stroke-width="{wide}"/>' for colour, wide in lines)


def _frame(ax, inside: np.ndarray, width: float) -> None:
    """Draw the outline of the pixels that are `inside`, (height, width): dark on light, to be seen on any image."""
    outline = _outline(inside)
    for colour, wider in ((_PAPER, 1.6), (_INK, 0)):
        style = {"edgecolor": colour, "linewidth": width + wider, "capstyle": "projecting", "clip_on": False}
        ax.add_patch(PathPatch(outline, facecolor="none", zorder=2, **style))


def _outline(inside: np.ndarray) -> Path:
    """Return the edges between pixels inside and outside, of each straight one its ends."""
    padded = np.pad(inside, 1)
    flat, upright = _edges(np.diff(padded, axis=0)), _edges(np.diff(padded, axis=1).T)[:, ::-1]
    ends = np.concatenate([flat, upright])
    return Path(ends, [Path.MOVETO, Path.LINETO] * (len(ends) // 2))


def _edges(changes: np.ndarray) -> np.ndarray:
    """Return the two ends of each run of true values in a row, (2 runs, 2): x, y. changes: of a padded image."""
    borders = np.diff(changes, axis=1, prepend=False, append=False)
    y, x = np.nonzero(borders)
    return np.column_stack([x - 1.5, y - 0.5])


def _top(attributions: pd.DataFrame, id: str, label: str, k: int) -> frozenset[int]:
    of = top_features(attributions, k=k, label=pd.Series({id: label}))
    return frozenset(position for _, position in of[id])


def _weights(attributions: pd.DataFrame, label: str) -> np.ndarray:
    """Return the weights of one image's patches for a class, in their order."""
    return attributions[attributions["label"] == label].sort_values("position")["weight"].to_numpy()


def finding(tops: Sequence[frozenset], n_patches: int, k: int) -> str:
    """Return what the top sets of models have in common: of two also their Jaccard index, beside that of chance."""
    if len(tops) < 2:
        return f"The top {len(tops[0])} of {n_patches} patches"
    said = f"{len(frozenset.intersection(*tops))} of the top {k} of {n_patches} patches are the same"
    if len(tops) > 2 or not any(tops):
        return said
    return f"{said}: Jaccard {jaccard(*tops):.2f}, by chance {chance_jaccard(n_patches, k=k):.2f}"

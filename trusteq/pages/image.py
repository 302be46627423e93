"""Attributions of images as pictures: each patch tinted by its weight, the top ones framed, models side by side."""

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
from trusteq.modalities.image import centres_of, patches
from trusteq.pages.figures import WIDTH, headed, small_multiples

FOR, AGAINST = (58 / 255, 110 / 255, 220 / 255), (235 / 255, 130 / 255, 20 / 255)
TINT, DARKEST = 0.75, 0.5  # how much of the image the largest weight hides; black, on which no colour could be seen
_INK, _PAPER = "#262626", "#ffffff"
# By whether it is so for all models: what the legend calls a frame, and its width.
_FRAMES = {False: ("top", 1.0), True: ("top of all", 2.6)}
# By the sign of a weight: what the legend calls it, how it is marked, and in what colour.
_SIGNS = {1: ("for the class", "+", "#1f4e9e"), -1: ("against it", "_", "#c2590a")}


def side_by_side(
    row, attributions: Mapping[str, pd.DataFrame], label: str, *, features: str | None = None, k: int = 10
) -> Figure:
    """Return one image with the weights of each of several models, and how much their top sets overlap.

    row: of a table of examples, id and image. attributions: of the models, by their titles. label: the class whose
    weights are shown. features: how the image was cut. A patch among the top `k` is framed, with a thick line where it
    is so for all models.
    """
    patch, names, _ = patches(row.image, features)
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
    grey = image.mean(axis=2) if image.ndim == 3 else image
    light = DARKEST + (1 - DARKEST) * grey / 255
    ax.imshow(np.stack([light] * 3, axis=-1), interpolation="none")
    tint = np.column_stack([np.where(weights[:, None] > 0, FOR, AGAINST), TINT * strength])
    ax.imshow(tint[patch], interpolation="none")
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

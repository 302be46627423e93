"""What all figures share: the style and one colour per model."""

from collections.abc import Sequence
from pathlib import Path

import seaborn as sns

STYLE = Path(__file__).with_name("style.mplstyle")
GREY = "0.55"


def colours(models: Sequence[str]) -> dict[str, tuple]:
    """Return one colour per model, the same on every page of an experiment."""
    return dict(zip(models, sns.color_palette("colorblind", len(models)), strict=True))

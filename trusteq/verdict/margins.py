"""What counts as the same, measure by measure: reads `margins.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

from trusteq.calibration.proper_scores import SCORES
from trusteq.errors import ExperimentError, nearest
from trusteq.registry import Entry, validated

MARGINS = Path(__file__).with_name("margins.yaml")


class Margin(Entry):
    """What counts as the same in one measure, and why; one_sided: only less of it counts against equivalence.

    What is measured is the difference in a calibration score, or what of an `Alignment` is held against its ceiling.
    """

    dimension: str
    title: str
    score: str | None = None
    alignment: Literal["normalised"] | None = None
    margin: float = Field(ge=0, allow_inf_nan=False)
    one_sided: bool
    reason: str

    @model_validator(mode="after")
    def _one_source(self):
        if (self.score is None) == (self.alignment is None):
            raise ValueError("a measure is of a 'score' or of the 'alignment', and of one of them")
        known = [name for name, score in SCORES.items() if score.has_interval]
        if self.score is not None and self.score not in known:
            raise ValueError(f"no score {self.score!r} that has an interval; {nearest(self.score, known)}")
        return self


def load_margins(changed: Mapping[str, float] | None = None) -> dict[str, Margin]:
    """Return the default margin of every measure, some of them `changed`; raise ExperimentError for unknown ones."""
    defaults = yaml.safe_load(MARGINS.read_text(encoding="utf-8"))
    for name, value in (changed or {}).items():
        if name not in defaults:
            raise ExperimentError(f"margins: no measure {name!r}; {nearest(name, defaults)}")
        defaults[name] |= {"margin": value, "reason": "Chosen for this audit."}
    return {name: validated(Margin, values, where=f"margins: {name}") for name, values in defaults.items()}


def measures_of(dimension: str) -> list[str]:
    """Return the measures of one dimension, the one that stands for it in a picture first."""
    return [name for name, margin in load_margins().items() if margin.dimension == dimension]


def parse_margins(pairs: list[str]) -> dict[str, float]:
    """Return MEASURE=VALUE pairs as a dict; raise ExperimentError for anything else."""
    margins = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            margins[name] = float(value)
        except ValueError:
            raise ExperimentError(f"margin {pair!r}: expected MEASURE=VALUE, such as accuracy=0.02") from None
    return margins

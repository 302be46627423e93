"""What counts as the same, measure by measure: reads `margins.yaml`."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import Field

from trusteq.errors import ExperimentError, nearest
from trusteq.registry import Entry, validated

MARGINS = Path(__file__).with_name("margins.yaml")


class Margin(Entry):
    """What counts as the same in one measure, and why; one_sided: only less of it counts against equivalence."""

    dimension: str
    title: str
    margin: float = Field(ge=0, allow_inf_nan=False)
    one_sided: bool
    reason: str


def load_margins(changed: Mapping[str, float] | None = None) -> dict[str, Margin]:
    """Return the default margin of every measure, some of them `changed`; raise ExperimentError for unknown ones."""
    defaults = yaml.safe_load(MARGINS.read_text(encoding="utf-8"))
    for name, value in (changed or {}).items():
        if name not in defaults:
            raise ExperimentError(f"margins: no measure {name!r}; {nearest(name, defaults)}")
        defaults[name] |= {"margin": value, "reason": "Chosen for this audit."}
    return {name: validated(Margin, values, where=f"margins: {name}") for name, values in defaults.items()}


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

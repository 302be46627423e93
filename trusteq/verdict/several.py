"""Several compressed models beside one large model: a folder for each audit, and one table of them all."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from trusteq.errors import ExperimentError
from trusteq.escapes import for_spreadsheet
from trusteq.examples.delimited import kind_of
from trusteq.store import atomic_path

if TYPE_CHECKING:
    from trusteq.verdict.report import Audit

TABLE = "audits.csv"
NOTE = "Each answer holds for its own model: of many that are tried, the best one may be best by luck."


def folders(out: Path, models: Sequence[str]) -> list[Path]:
    """Return the folder of each model's audit: `out` itself for one, below it what tells their names apart for several.

    models: as they are named on the command line. Raises ExperimentError for a model that is named twice.
    """
    if len(models) == 1:
        return [out]
    if twice := [name for at, name in enumerate(models) if Path(name) in map(Path, models[:at])]:
        raise ExperimentError(f"audit: {twice[0]} is named twice among the compressed models; give each once")
    from trusteq.verdict.prediction_file import is_predictions
    from trusteq.verdict.shown import short_names

    plain = [str(Path(name).with_name(kind_of(Path(name))[0])) if is_predictions(name) else name for name in models]
    found: list[str] = []
    for name in short_names(*(plain if len(set(plain)) == len(plain) else models)):
        safe = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "model"
        found.append(safe if safe not in (*found, TABLE) else f"{safe}-{len(found) + 1}")
    return [out / folder for folder in found]


def row(name: str, model: str, audit: "Audit", *, code: int) -> dict:
    """Return the row of one audit: its answers, the exit code of the one that was asked, and each measure.

    A measure has the compressed model's value less the large one's, its 95% interval and the outcome.
    """
    found = {"name": name, "model": model, "code": code, "verdict": audit.verdict, "retraining": audit.retraining}
    found |= {"handover_share": None if audit.asked is None else audit.asked["share"]}
    for of in audit.dimensions.itertuples():
        ends = {"difference": of.difference, "low": of.low, "high": of.high, "outcome": of.outcome}
        found |= {f"{of.measure}_{what}": value for what, value in ends.items()}
    return found


def write(rows: Sequence[dict], path: Path) -> None:
    """Write the rows of all audits as one table, one row a model."""
    with atomic_path(path) as temporary:
        for_spreadsheet(pd.DataFrame(rows)).to_csv(temporary, index=False)

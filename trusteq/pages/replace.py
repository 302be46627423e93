"""The page "May I replace mine?": audits of published predictions, by example."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from trusteq.pages.figures import handover_curve
from trusteq.pages.results import measure_titles, verdict_panels
from trusteq.pages.show import open_with, page_style, put, show, titles
from trusteq.study.publish import open_published
from trusteq.study.sides import predicted_sides
from trusteq.verdict.audit import audit_predictions
from trusteq.verdict.margins import EQUIVALENT
from trusteq.verdict.report import ASKED, Audit
from trusteq.verdict.retraining import NO_WORSE

NOT_ASKED = "not asked"  # of a large model that was trained once


def held(published: str, *, only: Collection[str] | None = None) -> dict[str, Audit]:
    """Audit each smaller model of a published run, on its first task, by title; set the style of the page's figures.

    only: titles of those that are audited; None: all.
    """
    page_style()
    run = open_published(published)
    task, seed, (large, *small) = next(iter(run.experiment.tasks)), run.experiment.seeds[0], run.experiment.models
    small = [of for of in small if only is None or titles(run)[of] in only]
    test, dev = (predicted_sides(run, task, seed, part) for part in ("test", "dev"))
    twins = [test["retrained"]] if "retrained" in test else []
    audits = (audit_predictions(test[large], test[of], retrained=twins, dev=(dev[large], dev[of])) for of in small)
    return dict(zip(map(titles(run).get, small), audits, strict=True))


def opening(found: Mapping[str, Audit]) -> None:
    """Say the three answers about all models in one sentence, and draw the first."""
    measures = pd.concat([of.dimensions.assign(model=name, verdict=of.verdict) for name, of in found.items()])
    open_with(answer(answers(found)), verdict_panels(measures, {name: name for name in found}, measure_titles()))


def table(found: Mapping[str, Audit]) -> None:
    """Show the three answers about each model."""
    put(show(answers(found), formats={"alone": "{:.0%}"}))


def example(found: Mapping[str, Audit], small: str) -> None:
    """Show what the answers about one model rest on: each measure with its margin, each threshold with its risk."""
    columns = ["measure", "large", "compressed", "difference", "low", "high", "margin", "outcome", "n", "n_needed"]
    dimensions = found[small].dimensions[columns]
    put(show(dimensions.assign(measure=dimensions["measure"].map(measure_titles())), caption=small))
    put(handover_curve(found[small].curve, chosen=found[small].handover))


def answers(found: Mapping[str, Audit]) -> pd.DataFrame:
    """Return one row a model: model, interchangeable, beside training again, alone (share of the inputs, 0 of none)."""
    rows = [(name, of.verdict, of.retraining or NOT_ASKED, _alone(of)) for name, of in found.items()]
    return pd.DataFrame(rows, columns=["model", "interchangeable", "beside training again", "alone"])


def _alone(found: Audit) -> float:
    return float(np.nan_to_num(found.asked["share"]))


def answer(answers: pd.DataFrame) -> str:
    """Return the three answers in one sentence."""
    alike, again = (answers["interchangeable"] == EQUIVALENT).sum(), answers["beside training again"]
    no_worse, asked = (again == NO_WORSE).sum(), (again != NOT_ASKED).sum()
    return (
        f"By answers and confidence alone, audits call {alike} of {len(answers)} smaller models interchangeable with "
        f"the large one, and {no_worse} of {asked} no worse than training it again; with hand-over, they may answer "
        f"{answers['alone'].min():.0%} to {answers['alone'].max():.0%} of the inputs alone, and turn at most "
        f"{ASKED[1]:.0%} from right to wrong, each at 95% confidence."
    )

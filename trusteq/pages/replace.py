"""The page "May I replace mine?": audits of published predictions, by example."""

from collections.abc import Mapping

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


def held(published: str) -> dict[str, Audit]:
    """Audit each smaller model of a published run, on its first task, by title; set the style of the page's figures."""
    page_style()
    run = open_published(published)
    task, seed, (large, *small) = next(iter(run.experiment.tasks)), run.experiment.seeds[0], run.experiment.models
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
    columns = ["measure", "large", "compressed", "difference", "low", "high", "margin", "outcome"]
    dimensions = found[small].dimensions[columns]
    put(show(dimensions.assign(measure=dimensions["measure"].map(measure_titles())), caption=small))
    put(handover_curve(found[small].curve, chosen=found[small].handover))


def answers(found: Mapping[str, Audit]) -> pd.DataFrame:
    """Return one row a model: model, interchangeable, beside training again, alone (share of the inputs, 0 of none)."""
    rows = [(name, of.verdict, of.retraining or "not asked", _alone(of)) for name, of in found.items()]
    return pd.DataFrame(rows, columns=["model", "interchangeable", "beside training again", "alone"])


def _alone(found: Audit) -> float:
    return float(np.nan_to_num(found.asked["share"]))


def answer(answers: pd.DataFrame) -> str:
    """Return the three answers in one sentence."""
    alike, again = answers["interchangeable"] == EQUIVALENT, answers["beside training again"] == NO_WORSE
    return (
        f"Audits call {alike.sum()} of {len(answers)} smaller models interchangeable with the large one, and "
        f"{again.sum()} no worse than training it again; with hand-over, they may answer {answers['alone'].min():.0%} "
        f"to {answers['alone'].max():.0%} of the inputs alone, and turn at most {ASKED[1]:.0%} from right to wrong."
    )

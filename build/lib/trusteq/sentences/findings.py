"""Sentences on what published results say of the paper's claims. Rows: of `tables.claims`."""

from collections.abc import Mapping

import pandas as pd

from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS
from trusteq.pages.findings import Claim, minority, verdict_on
from trusteq.sentences.base import listed


def count_sentence(found: pd.DataFrame) -> str:
    """Return how many rows say what of a claim, and which are against the others."""
    if found.empty:
        return "Nothing is published that could say."
    counts = found["verdict"].value_counts()
    said = {SUPPORTS: "supports it", CONTRADICTS: "contradicts it", OPEN: "cannot say"}
    many = {SUPPORTS: "support it", CONTRADICTS: "contradict it", OPEN: "cannot say"}
    parts = [f"{n} {(said if n == 1 else many)[verdict]}" for verdict in said if (n := counts.get(verdict, 0))]
    text = f"Of {len(found)} rows, {listed(parts)}." if len(found) > 1 else f"The one row {said[counts.index[0]]}."
    few = minority(found)
    if len(few):
        verdict = (said if len(few) == 1 else many)[few["verdict"].iloc[0]]
        named = [f"{row.what} ({row.data}, {row.estimate:z.2f})" for row in few.itertuples()]
        text += f" Against the others, {verdict}: {'; '.join(named)}."
    return text


def why_list(claims: Mapping[str, Claim]) -> str:
    """Return each claim's verdict and why, as a list. claims: by their statements."""
    return "\n".join(
        f"- **{statement}**: {verdict_on(claim.rows)}. {claim.why or 'Nothing is published that could say.'}"
        for statement, claim in claims.items()
    )


def cost_sentence(spent: pd.DataFrame) -> str:
    """Return the hours of all published runs and what part of them went into explaining. spent: of `run_costs`."""
    if spent.empty:
        return "Nothing is published."
    total = spent["hours"].sum()
    explaining = spent.loc[spent["stage"].str.startswith("explaining"), "hours"].sum()
    return f"Together {total:.1f} hours, of which {explaining / total:.0%} went into explaining."


def scale_sentence(scale: pd.DataFrame, what: str) -> str:
    """Return the hours of the whole experiment, ours and the authors', as far as measured. scale: of `paper_scale`."""
    known = scale.dropna(subset=["ours", "authors"])
    if known.empty:
        return "No model of the paper was measured."
    ours, authors = known["ours"].sum(), known["authors"].sum()
    left = scale.loc[~scale.index.isin(known.index), "model"].unique()
    text = f"Together {ours:,.0f} hours of one of these {what}, and {authors:,.0f} in the authors' way"
    return f"{text}; not measured: {listed(left)}." if len(left) else f"{text}."

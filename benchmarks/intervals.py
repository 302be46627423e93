"""Do the intervals and decisions keep what they promise? Simulations of `trusteq.simulation`, where the truth is known.

    .venv/bin/python benchmarks/intervals.py [--simulations N] [--binned N] [--judged N] [--seed N] [--out FILE]

Writes `benchmarks/intervals.json`, which the book's page on the intervals shows. Takes about 20 minutes on one core.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
from simulation import coverage, decisions

from trusteq.store import processor, to_json, versions, write_text

FILE = Path(__file__).with_suffix(".json")
# Examples, and the share of the data sets for calibration errors that time allows: each has 90 columns to resample.
SIZES = {500: 1.0, 2000: 1.0, 10_000: 0.25}
JUDGED_AT = 2000


def main() -> None:
    """Make all rows and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000, help="data sets for each coverage")
    parser.add_argument("--decided", type=int, default=1000, help="data sets for each decision")
    parser.add_argument("--binned", type=int, default=2000, help="data sets for calibration errors, at n=500")
    parser.add_argument("--judged", type=int, default=200, help="data sets that go through a whole audit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    started, seed = time.perf_counter(), options.seed
    parts = {"coverage": [], "decisions": []}
    for n, share in SIZES.items():
        binned, judged = int(share * options.binned), options.judged if n == JUDGED_AT else 0
        covered = coverage(n, simulations=options.simulations, binned=binned, seed=seed)
        few = {"simulations": options.decided, "binned": min(binned, options.decided) // 2}
        decided = decisions(n, **few, judged=judged, seed=seed)
        for part, table in (("coverage", covered), ("decisions", decided)):
            parts[part].append(table)
            print(f"{time.perf_counter() - started:.0f} s\n{table.to_string(index=False)}", flush=True)
    rows = {part: _records(pd.concat(tables)) for part, tables in parts.items()}
    origin = {
        "machine": f"{processor()}, one thread",
        "versions": versions(),
        "seconds": time.perf_counter() - started,
        "seed": seed,
    }
    write_text(to_json(rows | origin), options.out)


def _records(table: pd.DataFrame) -> list[dict]:
    """Return rows as plain values, None where one is missing."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


if __name__ == "__main__":
    main()

"""Sentences about a run, and about the benchmark."""

from collections.abc import Iterable, Mapping

from trusteq.study.results import Results


def run_sentence(run: Results) -> str:
    """Return what was run, in a sentence: models, tasks, methods, seeds, examples."""
    experiment = run.experiment
    names = [experiment.task(task).title for task in experiment.tasks]
    explained = ", ".join(
        f"{run.comparison(task, 'examples')['id'].nunique()} explained on {task}" for task in experiment.tasks
    )
    tested = ", ".join(
        f"{run.facts(task, experiment.large, experiment.seeds[0], 'metrics')['test_examples']} on {task}"
        for task in experiment.tasks
    )
    limit = f" Training was cut to {experiment.train_limit} examples." if experiment.train_limit else ""
    return (
        f"This run is **{experiment.name}** ({experiment.title}): {len(experiment.models)} models on "
        f"{' and '.join(names)}, training seed{'s' * (len(experiment.seeds) > 1)} "
        f"{', '.join(map(str, experiment.seeds))}. "
        f"Test examples: {tested}; of these, {explained}.{limit}"
    )


def benchmark_sentence(rows: Iterable[Mapping]) -> str:
    """Return where a benchmark was measured, and which of its rows are open and why."""
    machines = sorted({row["machine"] for row in rows if row["value"] is not None})
    open_rows = [row for row in rows if row["value"] is None]
    text = f"Measured on: {'; '.join(machines) or 'no machine yet'}."
    for reason in sorted({row["open"] for row in open_rows}):
        text += f" Open, {reason}: {', '.join(row['row'] for row in open_rows if row['open'] == reason)}."
    return text

"""The data of the instrument "explorer": every explained test example, its words weighted by each model and method."""

import functools
import itertools
import operator
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import modality
from trusteq.alignment.ranking import Ranking
from trusteq.blocks import blocks_of
from trusteq.examples.load import load_examples
from trusteq.pages.instruments import encoded, paint, write_data
from trusteq.study.results import Results
from trusteq.study.sides import gold_labels, probabilities
from trusteq.words import spans

MOST_ATTRIBUTIONS = 60_000  # of all tasks, methods and models: 0.3 MB in base64
_PLACE = ["id", "segment", "position"]
Texts = list[list[str]]  # of an example: pieces of each text, its words at the odd places


def write(run: Results, folder: Path) -> None:
    """Write explained.js of a run into a folder."""
    write_data("explained", explained(run), folder)


def explained(run: Results) -> list[dict]:
    """Return of each task its explained test examples under the first training seed, up to `MOST_ATTRIBUTIONS`.

    Of each: name, title, labels, n (explained in all); ids, gold (class indices), texts (see `Texts`; where they may
    not be shown, the numbers of the words), has_texts; models: title, colour, probabilities (n, classes); methods:
    name, weights (of each model, for the gold label, a number a word, nan where it has none), tops (of each model,
    places of its top words by example, the one of largest weight first), pairs (of each smaller model, the columns of
    the page on alignment: jaccard and chance by example, and its ceiling). A model that a method leaves out has null.
    Methods whose features are words without a place, as in the authors' scripts, are left out.
    """
    return [_explained(run, task) for task in run.experiment.tasks] if len(run.experiment.models) > 1 else []


def _explained(run: Results, task: str) -> dict:
    gold, settings = gold_labels(run, task), run.experiment.task(task)
    rankings, n = dict(_rankings(run, task, gold)), _n_explained(run, task)
    every = _texts(run, task, [ranking for of in rankings.values() for ranking in of.values()])
    texts = dict(itertools.islice(every.items(), _n_fitting(every, sum(map(len, rankings.values())), run)))
    facts = {"name": task, "title": settings.title, "labels": list(settings.labels), "n": n}
    facts |= {"ids": list(texts), "gold": [settings.labels.index(gold[name]) for name in texts]}
    facts |= {"texts": list(texts.values()), "has_texts": _has_texts(run, task)}
    facts |= {"models": _models(run, task, gold.index.get_indexer(list(texts)))}
    return facts | {"methods": [_method(run, task, method, of, texts) for method, of in rankings.items()]}


def _models(run: Results, task: str, rows: np.ndarray) -> list[dict]:
    seed, colour = run.experiment.seeds[0], paint(run)
    return [
        {"title": run.experiment.model(name).title, "colour": colour[name]}
        | {"probabilities": encoded(probabilities(run, task, name, seed)[0][rows])}
        for name in run.experiment.models
    ]


def _rankings(run: Results, task: str, gold: pd.Series) -> Iterator[tuple[str, dict[str, Ranking]]]:
    for method in run.experiment.task_methods(task):
        found = {}
        for name in run.experiment.models_of(task, method):
            # Of a table on disk the first block has more examples than are shown.
            table = next(blocks_of(run.explanations(task, name, run.experiment.seeds[0], method)))
            found[name] = Ranking(table, gold[table["id"].unique()])
        if not any(ranking.is_as_released for ranking in found.values()):
            yield method, found


def _n_explained(run: Results, task: str) -> int:
    """Return how many examples are explained by any method that has models to explain."""
    table = run.comparison(task, "alignment")
    return int(table.loc[table["seed"] == run.experiment.seeds[0], "examples"].max())


def _has_texts(run: Results, task: str) -> bool:
    return run.may_show(task) and modality.of(run.experiment.task(task).columns) is None


def _texts(run: Results, task: str, rankings: list[Ranking]) -> dict[str, Texts]:
    """Return the texts of the explained examples, by id; numbers in place of words where they may not be shown."""
    places = pd.concat([ranking.rows[_PLACE] for ranking in rankings])
    if _has_texts(run, task):
        examples = load_examples(run.experiment.task(task), "test").set_index("id").loc[places["id"].unique()]
        pairs = zip(examples["text_a"], examples["text_b"], strict=True)
        return {
            name: [_pieces(text) for text in pair if isinstance(text, str)]
            for name, pair in zip(examples.index, pairs, strict=True)
        }
    lengths = places.groupby(_PLACE[:2], sort=False)["position"].max().unstack(fill_value=-1) + 1
    return {name: [_numbers(int(n)) for n in of] for name, of in zip(lengths.index, lengths.to_numpy(), strict=True)}


def _pieces(text: str) -> list[str]:
    ends = [0, *itertools.chain.from_iterable(spans(text)), len(text)]
    return [text[start:stop] for start, stop in itertools.pairwise(ends)]


def _numbers(n: int) -> list[str]:
    return ["", *(piece for number in range(1, n + 1) for piece in (str(number), " "))]


def _places(texts: Texts) -> list[tuple[int, int]]:
    return [(segment, position) for segment, of in enumerate(texts) for position in range(len(of) // 2)]


def _n_fitting(texts: dict[str, Texts], n_tables: int, run: Results) -> int:
    """Return how many examples, from the first on, have no more weights than a task's share of `MOST_ATTRIBUTIONS`."""
    weights = n_tables * np.cumsum([len(_places(of)) for of in texts.values()])
    return int((weights <= MOST_ATTRIBUTIONS / len(run.experiment.tasks)).sum())


def _method(run: Results, task: str, method: str, rankings: dict[str, Ranking], texts: dict[str, Texts]) -> dict:
    places, k = {name: _places(of) for name, of in texts.items()}, run.experiment.k
    words = pd.MultiIndex.from_tuples([(name, *place) for name, of in places.items() for place in of], names=_PLACE)
    known = {name: {place: at for at, place in enumerate(of)} for name, of in places.items()}
    weights, tops = {}, {}
    for model, ranking in rankings.items():
        weights[model] = encoded(ranking.rows.set_index(_PLACE)["weight"].reindex(words).to_numpy())
        tops[model] = [[at[place] for place in ranking.ranked.get(name, ())[:k]] for name, at in known.items()]
    pairs, models = dict(_pairs(run, task, method, list(texts))), run.experiment.models
    each = {"weights": weights, "tops": tops, "pairs": pairs}
    return {"name": method} | {name: [of.get(model) for model in models] for name, of in each.items()}


def _pairs(run: Results, task: str, method: str, ids: list[str]) -> Iterator[tuple[str, dict]]:
    key = {"method": method, "seed": run.experiment.seeds[0], "model_a": run.experiment.large}
    each, means = (_rows_of(run.comparison(task, table), key) for table in ("examples", "alignment"))
    ceilings = means.set_index("model_b")["ceiling"].astype(float)
    for model, rows in each.groupby("model_b", sort=False):
        of = rows.set_index("id").reindex(ids)[["jaccard", "chance"]].round(6)
        yield model, {"ceiling": round(ceilings[model], 6)} | of.to_dict("list")


def _rows_of(table: pd.DataFrame, key: dict) -> pd.DataFrame:
    return table[functools.reduce(operator.and_, (table[name] == value for name, value in key.items()))]

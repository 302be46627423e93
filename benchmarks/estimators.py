"""Which estimator of Shapley values is nearest to the truth at the same number of passes, and whose top ten?

    .venv/bin/python benchmarks/estimators.py games --tables DIR --hub DIR --models DIR
    PYTHONPATH=. SHAPIQ_PYTHON benchmarks/estimators.py rivals --tables DIR
    .venv/bin/python benchmarks/estimators.py write --tables DIR
    .venv/bin/python benchmarks/estimators.py --check

A game is an example of which a model was asked about all 2^n masks, so that its values are known. `games` makes the
tables of all masks, in a folder outside the repository: MiniLM fine-tuned on SNLI, from the hub; a linear head on
MiniLM's mean-pooled features for SST-2 and MRPC, fitted here; and the demo's models, from the `models` of a run of
experiments/demo.yaml. `rivals` runs under a Python that has shapiq 1.6.0, xgboost and lightgbm. `write` runs ours and
writes `benchmarks/estimators.json`, without a word of a text, and `benchmarks/estimators.npz`: the tables of six games.
`--check` estimates these six again at 256 and 1,000 passes, and exits with 1 where the geometric mean of our error over
the best rival's exceeds 1.05.

Which games are held out was drawn before any was seen. Once they had been, intervals were widened by a factor chosen on
the others; nothing else was changed by what they showed. Error is the sum of squared
differences over words and classes, over that of the exact values; means over games and seeds are geometric.
"""

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_suffix(".json")
TABLES = Path(__file__).with_suffix(".npz")
BUDGETS, SEEDS, TOP = (256, 512, 1000, 2000), range(3), 10
CHECKED, MOST = (256, 1000), 1.05
KINDS = ("SNLI", "MRPC", "SST-2", "demo")
OURS, RIVALS = "shapley", ("ProxySHAP", "OddSHAP", "LeverageSHAP", "KernelSHAP", "permutation")
HELD_OUT = 0.4
# Kind, task, model, training seed, and how many examples of how many words.
PLAN = (
    ("SNLI", "snli", "minilm-snli-18k", 0, {12: 6, 13: 5, 14: 2}),
    ("demo", "demo-nli", "demo-large", 0, {17: 3}),
    ("demo", "demo-nli", "demo-large", 1, {17: 2}),
    ("demo", "demo-pi", "demo-large", 0, {18: 2}),
    ("demo", "demo-pi", "demo-large", 1, {18: 1}),
    ("demo", "demo-nli", "demo-tiny", 0, {17: 2}),
    ("demo", "demo-pi", "demo-tiny", 0, {18: 1}),
    ("SST-2", "sst2", "minilm", 0, {12: 6, 13: 5, 14: 2}),
    ("MRPC", "mrpc", "minilm", 0, {13: 1, 14: 2, 15: 1, 16: 1}),
)
SPLITS = {"mrpc": ("test", "dev", "train"), "demo-nli": ("test", "dev", "train")}
HEAD_ROWS = {"sst2": 1500, "mrpc": 800}


def main() -> int:
    """Do one of the steps, or check."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", nargs="?", choices=("games", "rivals", "write"))
    parser.add_argument("--check", action="store_true", help="estimate the committed games again")
    parser.add_argument("--tables", type=Path, help="folder of the tables of all masks")
    parser.add_argument("--models", type=Path, help="folder of the demo's trained models: TASK/MODEL/SEED")
    parser.add_argument("--hub", default=os.environ.get("TRUSTEQ_HUB"), help="a mirror of the Hub")
    parser.add_argument("--tasks", nargs="*", default=(), help="make, or ask rivals about, games of these tasks only")
    options = parser.parse_args()
    if options.check:
        return check()
    steps = {"games": make_games, "rivals": ask_rivals, "write": write}
    steps[options.step](options)
    return 0


def name_of(game: dict) -> str:
    """Return the name of a game's files."""
    return f"{game['task']}_{game['model']}_{game['seed']}_{game['id']}" + ("_13" if game.get("of") else "")


def make_games(options: argparse.Namespace) -> None:
    """Draw the games, and make the tables that are not there."""
    from trusteq.attribution.features import Texts

    options.tables.mkdir(parents=True, exist_ok=True)
    texts = {task: _examples(task, options.hub) for task in dict.fromkeys(task for _, task, *_ in PLAN)}
    games = drawn({task: {row.id: _sides(row) for row in rows} for task, rows in texts.items()})
    (options.tables / "games.json").write_text(json.dumps(games))
    rows = {(task, row.id): row for task, of in texts.items() for row in of}
    models = {}
    for game in games:
        path = options.tables / f"{name_of(game)}.npy"
        if path.exists() or game.get("of") or (options.tasks and game["task"] not in options.tasks):
            continue
        key = game["task"], game["model"], game["seed"]
        if key not in models:
            models[key] = _classifier(*key, options, {of["id"] for of in games if of["task"] == game["task"]})
        classifier = models[key]
        example = Texts(game["id"], len(classifier.labels), _sides(rows[game["task"], game["id"]]), "", classifier)
        np.save(path, value_table(example, classifier))


def _examples(task: str, hub: str) -> list:
    import trusteq

    return [
        row for split in SPLITS.get(task, ("test",)) for row in trusteq.load_examples(task, split, hub=hub).itertuples()
    ]


def _sides(row) -> tuple[str, ...]:
    return (row.text_a, row.text_b) if isinstance(row.text_b, str) else (row.text_a,)


def drawn(texts: dict[str, dict[str, tuple[str, ...]]]) -> list[dict]:
    """Return the games of the plan: no example twice; of each kind a part is held out."""
    from trusteq.attribution.features import Texts
    from trusteq.statistics import stream

    games, taken = [], set()
    for kind, task, model, seed, sizes in PLAN:
        sizes_of = {id: Texts(id, 2, sides).n_features for id, sides in texts[task].items()}
        for n, count in sizes.items():
            free = [id for id, size in sizes_of.items() if size == n and (task, id) not in taken]
            for at in sorted(stream(0, "games", task, model, seed, n).permutation(len(free))[:count].tolist()):
                taken.add((task, free[at]))
                tree = Texts(free[at], 2, texts[task][free[at]]).tree().tolist()
                game = {"kind": kind, "task": task, "model": model, "seed": seed, "id": free[at], "n": n, "tree": tree}
                games.append(game)
    for kind in sorted({game["kind"] for game in games}):
        of = [game for game in games if game["kind"] == kind]
        out = stream(0, "held out", kind).permutation(len(of))[: round(HELD_OUT * len(of))]
        for at, game in enumerate(of):
            game["held_out"] = at in out
    # Small enough to be committed: the last words of two games of the demo are always kept.
    small = {game["model"]: game for game in games if game["kind"] == "demo" and not game["held_out"]}
    return games + [game | {"n": 13, "of": game["n"], "tree": None} for game in small.values()]


def value_table(example, classifier) -> np.ndarray:
    """Return the probabilities of all masks, (2^n, classes), in the order of the masks as binary numbers."""
    from trusteq.attribution.tokens import TokenPredictor

    predictor, masks = TokenPredictor(classifier), all_masks(example.n_features)
    parts = np.array_split(masks, max(len(masks) >> 14, 1))
    return np.concatenate([predictor.predict([(example, part)])[0].astype(np.float32) for part in parts])


def all_masks(n: int) -> np.ndarray:
    """Return all masks, (2^n, n), the first word in the lowest bit."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1


def _classifier(task: str, model: str, seed: int, options: argparse.Namespace, games: set[str]):
    """Return a trained classifier; a head on MiniLM is fitted on rows that no game is of."""
    import torch

    import trusteq

    torch.set_num_threads(1)
    if task == "snli":
        return trusteq.load_classifier(f"trusteq/{model}", hub=options.hub, device="cpu")
    if task in HEAD_ROWS:
        return _with_head(task, seed, options.hub, games)
    return trusteq.load_classifier(options.models / task / model / str(seed), device="cpu")


def _with_head(task: str, seed: int, hub: str, games: set[str]):
    """Return MiniLM with a logistic regression on its mean-pooled features as its head."""
    import torch
    from sklearn.linear_model import LogisticRegression

    import trusteq
    from trusteq.models.build import build
    from trusteq.models.classifier import as_classifier
    from trusteq.models.recipe import Recipe
    from trusteq.registry import load_model, load_task
    from trusteq.words import words

    train = trusteq.load_examples(task, "train", hub=hub)
    short = np.array([sum(len(words(text)) for text in _sides(row)) <= 45 for row in train.itertuples()])
    train = train[~train["id"].isin(games) & short].sample(HEAD_ROWS[task], random_state=seed)
    spec = load_model("minilm")
    spec = spec.model_copy(update={"hub": f"{hub}/models/{spec.hub}"})
    labels = load_task(task).labels
    torch.manual_seed(seed)
    model, tokenizer = build(spec, labels=labels, recipe=Recipe(max_length=128, head="mean-pooling"))
    head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    features = []
    handle = head.register_forward_pre_hook(lambda _, given: features.append(given[0].detach().double().numpy()))
    train = train.iloc[np.argsort(train["text_a"].str.len(), kind="stable")]
    with torch.no_grad():
        for start in range(0, len(train), 64):
            rows = train.iloc[start : start + 64]
            given = [rows[of].tolist() for of in ("text_a", "text_b") if rows[of].notna().all()]
            model.eval()(**tokenizer(*given, padding=True, truncation=True, return_tensors="pt"))
        handle.remove()
        features = np.concatenate(features)
        centre, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
        fit = LogisticRegression(C=0.1, max_iter=2000).fit((features - centre) / scale, train["label"])
        slopes = fit.coef_[0] / scale
        offset = fit.intercept_[0] - slopes @ centre
        head.weight.copy_(torch.tensor(np.stack([-slopes, slopes]) / 2))
        head.bias.copy_(torch.tensor([-offset, offset]) / 2)
    return as_classifier(model, tokenizer, labels, device="cpu")


def ask_rivals(options: argparse.Namespace) -> None:
    """Let the rivals estimate every game whose table is there: files NAME.rivals.json beside it."""
    from shapiq.approximator import KernelSHAP, OddSHAP, PermutationSamplingSV, ProxySHAP

    warnings.simplefilter("ignore")
    make = {
        "ProxySHAP": lambda n, seed: ProxySHAP(n=n, max_order=1, index="SV", random_state=seed),  # = RegressionMSR
        "OddSHAP": lambda n, seed: OddSHAP(n=n, random_state=seed),
        "LeverageSHAP": lambda n, seed: KernelSHAP(
            n=n, pairing_trick=True, sampling_weights=np.ones(n + 1), random_state=seed
        ),
        "KernelSHAP": lambda n, seed: KernelSHAP(n=n, pairing_trick=True, random_state=seed),
        "permutation": lambda n, seed: PermutationSamplingSV(n=n, random_state=seed),
    }
    for game, table in tables(options.tables):
        path = options.tables / f"{name_of(game)}.rivals.json"
        if not path.exists() and (not options.tasks or game["task"] in options.tasks):
            started = time.perf_counter()
            path.write_text(json.dumps([row for name in RIVALS for row in _asked(make[name], name, game["n"], table)]))
            print(f"{time.perf_counter() - started:.0f} s {path.name}", flush=True)


def _asked(make: Callable, name: str, n: int, table: np.ndarray) -> Iterator[dict]:
    """Yield a rival's values, (n, classes), at each budget and seed; classes are asked about the same masks."""
    bits = 1 << np.arange(n)
    for budget in BUDGETS:
        for seed in SEEDS:
            values, passes, started = [], 0, time.process_time()
            for of in table.T:
                asked = set()

                def game(masks, of=of, asked=asked):
                    places = np.atleast_2d(masks).astype(np.int64) @ bits
                    asked.update(places.tolist())
                    return of[places].copy()

                found = make(n, seed).approximate(budget, game)
                values.append([float(found[(word,)]) for word in range(n)])
                passes = max(passes, len(asked))
            row = {"estimator": name, "budget": budget, "seed": seed, "passes": passes}
            yield row | {"values": np.transpose(values).tolist(), "seconds": time.process_time() - started}


def tables(folder: Path) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield each game that is there, and its table, (2^n, classes), one class of two."""
    for game in json.loads((folder / "games.json").read_text()):
        path = folder / f"{name_of({**game, 'of': None})}.npy"
        if path.exists():
            table = np.load(path).astype(np.float64)[-(2 ** game["n"]) :]
            yield game, table[:, 1:] if table.shape[1] == 2 else table


class Words:
    """An example of n words as far as a method looks at it."""

    def __init__(self, n: int, tree: np.ndarray | None = None):
        self.n_features, self.kept_tree = n, tree

    def tree(self) -> np.ndarray:
        """Return the tree over the words."""
        return np.array(self.kept_tree)


def run(method, table: np.ndarray, n: int, tree=None, *, budget: int, seed: int, name: str):
    """Return what a method of the package finds in a game, and the number of passes."""
    from trusteq.statistics import stream

    if table.shape[1] == 1:
        table = np.concatenate([1 - table, table], axis=1)
    at_work, bits, passes = method(Words(n, tree), budget, stream(seed, "estimators", name)), 1 << np.arange(n), 0
    masks = next(at_work)
    while True:
        passes += len(masks)
        try:
            masks = at_work.send(table[masks @ bits])
        except StopIteration as finished:
            return finished.value, passes


def ours(table: np.ndarray, n: int, *, budget: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return our values, errors, each (n, classes), and seconds."""
    from trusteq.attribution.shapley import shapley

    started = time.process_time()
    (values, errors), _ = run(shapley, table, n, budget=budget, seed=seed, name=name)
    classes = slice(values.shape[1] - table.shape[1], None)
    return values[:, classes], errors[:, classes], time.process_time() - started


def exact(table: np.ndarray, n: int) -> np.ndarray:
    """Return the Shapley values, (n, classes)."""
    from trusteq.attribution.shapley import _enumerated

    return _enumerated(all_masks(n), table)


def error(values: np.ndarray, truth: np.ndarray) -> float:
    """Return the relative squared error."""
    return float(((values - truth) ** 2).sum() / (truth**2).sum())


def top(values: np.ndarray) -> list[set[int]]:
    """Return the ten words of the largest absolute weights, for each class."""
    return [set(order[:TOP].tolist()) for order in np.argsort(-np.abs(values), axis=0, kind="stable").T]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean Jaccard index of the top tens over the classes."""
    return float(np.mean([len(a & b) / len(a | b) for a, b in zip(top(one), top(other), strict=True)]))


def lime_limit(table: np.ndarray, n: int) -> np.ndarray:
    """Return LIME's weights at endless samples, (n, classes): every mask by how likely LIME draws it."""
    from trusteq.attribution.lime import KERNEL_WIDTH

    masks = all_masks(n)[:-1].astype(np.float64)
    sizes = masks.sum(axis=1).astype(int)
    drawn_as = np.array([1 / n / math.comb(n, size) for size in range(n)])[sizes]
    distance = 100 * (1 - np.sqrt(sizes / n))
    weight = drawn_as * np.sqrt(np.exp(-(distance**2) / KERNEL_WIDTH**2))
    design = np.concatenate([np.ones((len(masks), 1)), masks], axis=1)
    return np.linalg.solve((design * weight[:, None]).T @ design, (design * weight[:, None]).T @ table[:-1])[1:]


def methods_of(game: dict, table: np.ndarray) -> dict[str, tuple[Callable, np.ndarray]]:
    """Return the package's methods that are ranked beside ours: how each is run, and its own limit."""
    from trusteq.attribution.lime import lime
    from trusteq.attribution.owen import owen

    def of(method, budget: int, seed: int) -> np.ndarray:
        how = {"budget": budget, "seed": seed, "name": name_of(game)}
        return run(method, table, game["n"], game["tree"], **how)[0][:, -table.shape[1] :]

    if game["tree"] is None:
        return {}
    return {
        "lime": (lambda budget, seed: of(lime, budget, seed), lime_limit(table, game["n"])),
        "shap": (lambda budget, seed: of(owen, budget, seed), of(owen, 10**7, 0)),
    }


def measured(game: dict, table: np.ndarray, rivals: list[dict]) -> tuple[list[dict], dict]:
    """Return a row for each estimator and budget, means over seeds, and the game with its exact values."""
    truth = exact(table, game["n"])
    estimates: dict[tuple[str, int], list] = {}
    for row in rivals:
        estimates.setdefault((row["estimator"], row["budget"]), []).append((np.array(row["values"]), row["passes"]))
    rows, limits = [], dict.fromkeys((OURS, *RIVALS), truth)
    errors, seconds = {}, {}
    for budget in BUDGETS:
        for seed in SEEDS:
            values, error_of, took = ours(table, game["n"], budget=budget, seed=seed, name=name_of(game))
            estimates.setdefault((OURS, budget), []).append((values, budget))
            errors.setdefault(budget, []).append(float((np.abs(values - truth) <= 1.96 * error_of).mean()))
            seconds.setdefault(budget, []).append(took)
    for name, (method, limit) in methods_of(game, table).items():
        limits[name] = limit
        for budget in BUDGETS:
            for seed in list(SEEDS)[:2]:
                estimates.setdefault((name, budget), []).append((method(budget, seed), budget))
    for (name, budget), found in estimates.items():
        values = [of for of, _ in found]
        row = {"kind": game["kind"], "game": name_of(game), "held_out": game["held_out"], "budget": budget}
        row |= {"estimator": name, "passes": max(passes for _, passes in found)}
        if name in (OURS, *RIVALS):
            row["log_error"] = float(np.mean([math.log(max(error(of, truth), 1e-30)) for of in values]))
        if name == OURS:
            row |= {"coverage": float(np.mean(errors[budget])), "seconds": float(np.mean(seconds[budget]))}
        row |= {"top_of_limit": float(np.mean([overlap(of, limits[name]) for of in values]))}
        row |= {"top_exact": float(np.mean([overlap(of, truth) for of in values]))}
        rows.append(row | {"top_again": overlap(values[0], values[1])})
    limited = {f"top_exact_{name}": overlap(limits[name], truth) for name in ("lime", "shap") if name in limits}
    kept = {key: game[key] for key in ("kind", "task", "model", "seed", "id", "n", "of", "held_out") if key in game}
    return rows, kept | limited | {"exact": np.round(truth, 6).tolist()}


def write(options: argparse.Namespace) -> None:
    """Measure every game that has a table and rivals, and write both files."""
    from trusteq.store import processor, to_json, versions, write_text

    rows, games, kept, started = [], [], {}, time.perf_counter()
    for game, table in tables(options.tables):
        path, known = options.tables / f"{name_of(game)}.rivals.json", options.tables / f"{name_of(game)}.rows.json"
        if not path.exists():
            continue
        if not known.exists():
            known.write_text(json.dumps(measured(game, table, json.loads(path.read_text()))))
            print(name_of(game), f"{time.perf_counter() - started:.0f} s", flush=True)
        found, of = json.loads(known.read_text())
        rows, games = rows + found, [*games, of]
    chosen = for_check(games)
    for game, table in tables(options.tables):
        if name_of(game) in chosen:
            kept[name_of(game)] = np.round(table * 65535).astype(np.uint16)
    np.savez_compressed(TABLES, **kept)
    origin = {"machine": f"{processor()}, one thread", "versions": versions(), "shapiq": "1.6.0", "checked": chosen}
    found = {"rows": shown(rows), "games": games, "measured": rows} | origin
    write_text(to_json(found), FILE)


def for_check(games: list[dict]) -> list[str]:
    """Return the six games that `--check` estimates: the smallest, two of the demo, the others by turns of kinds."""
    by_kind = {kind: sorted((of for of in games if of["kind"] == kind), key=lambda of: of["n"]) for kind in KINDS}
    turns = [of[at] for at in range(3) for kind, of in by_kind.items() if at < len(of) and (kind != "demo" or at < 2)]
    demo = [of for of in turns if of["kind"] == "demo"]
    return [name_of(of) for of in demo + [of for of in turns if of["kind"] != "demo"][: 6 - len(demo)]]


def shown(rows: list[dict]) -> list[dict]:
    """Return the rows of the page: errors and coverage of each kind and budget, ranking of each budget."""
    import pandas as pd

    table = pd.DataFrame(rows)
    found = []
    for kinds in (*[(kind,) for kind in KINDS], KINDS):
        for out in (False, True):
            for budget in BUDGETS:
                of = table[table["kind"].isin(kinds) & (table["budget"] == budget) & (table["held_out"] | (not out))]
                if of.empty or (out and len(kinds) == 1):
                    continue
                found.append({"row": _row_name(kinds, out), "passes": budget} | compared(of))
    whole = table[table["game"].isin(table["game"][table["estimator"] == "lime"])]
    for budget in BUDGETS:
        of = whole[whole["budget"] == budget].groupby("estimator")[["top_of_limit", "top_exact", "top_again"]].mean()
        for name, values in of.iterrows():
            found.append(
                {"row": name, "passes": budget, "value": values["top_exact"], "what": "mean Jaccard"}
                | {"own limit": values["top_of_limit"], "two seeds": values["top_again"]}
            )
    return [{"machine": _machine(), **row} for row in found]


def _machine() -> str:
    from trusteq.store import processor

    return f"{processor()}, one thread"


def _row_name(kinds: tuple[str, ...], out: bool) -> str:
    return (kinds[0] if len(kinds) == 1 else "all") + (", held out" if out else "")


def compared(of) -> dict:
    """Return mean errors, and ours over those of rivals: each game's best, and the one that is best on average."""
    wide = of.pivot(index="game", columns="estimator", values="log_error")[[OURS, *RIVALS]]
    best = wide[list(RIVALS)].mean().idxmin()
    own = of[of["estimator"] == OURS]
    found = _ratio(wide[OURS] - wide[list(RIVALS)].min(axis=1), "value", "low", "high")
    found |= _ratio(wide[OURS] - wide[best], "of the best on average", "of it, low", "of it, high")
    found |= {"what": "times the best rival's error", "best": best, "games": len(wide)}
    found |= {"coverage": float(own["coverage"].mean()), "seconds": float(own["seconds"].mean())}
    return found | {name: float(math.exp(wide[name].mean())) for name in wide}


def _ratio(logs, *names: str) -> dict[str, float]:
    """Return the geometric mean of ratios over games, and its 95% interval by Student's t, under three names."""
    from scipy.stats import t

    half = t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return {name: float(math.exp(logs.mean() + side * half)) for name, side in zip(names, (0, -1, 1), strict=True)}


def check() -> int:
    """Estimate the committed games again; return 1 where ours falls behind the best rival's committed errors."""
    known, logs = json.loads(FILE.read_text(encoding="utf-8")), []
    held = np.load(TABLES)
    for name in known["checked"]:
        table = held[name] / 65535
        n = int(math.log2(len(table)))
        truth = exact(table, n)
        for budget in CHECKED:
            rows = [row for row in known["measured"] if row["game"] == name and row["budget"] == budget]
            best = min(row["log_error"] for row in rows if row["estimator"] in RIVALS)
            of = [math.log(error(ours(table, n, budget=budget, seed=s, name=name)[0], truth)) for s in SEEDS]
            logs.append(float(np.mean(of)) - best)
            print(f"{name} {budget}: {math.exp(logs[-1]):.2f} times the best rival's error")
    mean = math.exp(float(np.mean(logs)))
    print(f"geometric mean {mean:.2f}, at most {MOST}")
    return int(not mean <= MOST)


if __name__ == "__main__":
    sys.exit(main())

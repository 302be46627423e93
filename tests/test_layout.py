"""The repository itself: pins that agree, the folders of the design, and the paper's numbers, none of them invented."""

import ast
import re
import subprocess
import tomllib

import pandas as pd
import pytest
import yaml

from trusteq.pages.show import paper_table
from trusteq.project import root

# What the package may grow to before something must go; names that notebooks call.
MOST_LINES, MOST_MODULES, MOST_NAMES = 28_000, 140, 90
FOLDERS = {".ci", "benchmarks", "binder", "book", "data", "experiments", "notebooks", "tests", "trusteq", "workflow"}
MODELS = ["BERT-base", "Distil-BERT", "BERT-Medium", "BERT-Mini", "BERT-Tiny"]
PAIRS = [(a, b) for number, a in enumerate(MODELS) for b in MODELS[number + 1 :]]
# Table 1 as far as it is held: layers, parameters (M), hidden size, size (MB), then accuracy and seconds on NLI and PI.
TABLE_1 = {
    "BERT-base": [12, 110, 768, 440, 90.09, 68.29, 90.85, 259.77],
    "Distil-BERT": [6, 66, 768, 268, 87.97, 40.44, 89.9, 154.52],
    "BERT-Medium": [8, 41.7, 512, 167, 88.18, 32.89, 89.89, 114.67],
    "BERT-Mini": [4, 11.3, 256, 45.1, 85.12, 19.15, 88.4, 62.36],
    "BERT-Tiny": [2, 4.4, 128, 17.7, 79.9, 14.27, 84.19, None],
}


def pins(lines):
    """Return package -> version of the lines that pin one, names as the index normalises them."""
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line.strip()) for line in lines]
    return {normal(match[1]): match[2] for match in found if match}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_lines():
    lines = (root() / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line.removesuffix(" \\") for line in lines if line.strip() and not line.startswith(("#", " "))]


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=root(), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if (root() / name).is_file()]


def held(table):
    """Return the rows of a table that hold a number beside their key."""
    return table.dropna().to_dict("records")


def test_every_line_of_the_lock_is_an_exact_pin():
    lines = lock_lines()
    assert len(pins(lines)) == len(lines)
    assert pins(lines)["torch"] == "2.13.0"


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # Pinned there: one machine needs no cluster, and tests no weights of 98 MB.
    own = [name for extra in ("cluster", "smollm2") for name in project["optional-dependencies"].pop(extra)]
    assert all("==" in name for name in own if not name.startswith("trusteq["))
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    direct = [name for name in project["dependencies"] + extras if not name.startswith("trusteq[")]
    locked = pins(lock_lines())
    assert [name for name in direct if normal(re.split(r"[<=>~!\[ ;]", name)[0]) not in locked] == []
    assert pins(direct).items() <= locked.items()


def test_conda_installs_the_same_pins():
    """environment.yml may read the lock, or repeat its pins; it may not pin anything otherwise."""
    environment = yaml.safe_load((root() / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (by_pip,) = [entry["pip"] for entry in environment if isinstance(entry, dict)]
    locked, repeated = pins(lock_lines()), pins(by_pip)
    assert "-r requirements.lock" in by_pip or repeated == locked
    assert repeated.items() <= locked.items()
    by_conda = {normal(entry.split("=")[0]) for entry in environment if isinstance(entry, str)}
    assert not by_conda & set(locked)
    assert "python=3.11" in environment


def test_top_level_folders_are_those_of_the_design():
    assert {name.split("/")[0] for name in tracked() if "/" in name} == FOLDERS


def test_no_large_file_is_tracked():
    large = [name for name in tracked() if (root() / name).stat().st_size > 1_000_000]
    assert [name for name in large if not name.startswith("book/assets/")] == []


def test_nothing_derived_is_tracked():
    derived = ("results/", "_build/", "book/runs/", ".venv/")
    assert [name for name in tracked() if name.startswith(derived) or name.endswith((".ipynb", ".pyc"))] == []


def test_the_papers_models():
    table = pd.read_csv(root() / "data" / "paper" / "models.csv").set_index("model")
    columns = ["layers", "parameters_millions", "hidden_size", "size_mb"]
    columns += ["nli_accuracy", "nli_inference_s", "pi_accuracy", "pi_inference_s"]
    expected = pd.DataFrame.from_dict(TABLE_1, orient="index", columns=columns).rename_axis("model")
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


def test_no_single_jaccard_of_the_paper_is_held_but_their_range_is():
    table = paper_table("jaccard")
    keys = [(task, method, *pair) for task in ("nli", "pi") for method in ("lime", "shap") for pair in PAIRS]
    assert list(table[["task", "method", "model_a", "model_b"]].itertuples(index=False, name=None)) == keys
    assert held(table) == []
    assert held(paper_table("jaccard_range")) == [{"scope": "pairs with BERT-base", "low": 0.372, "high": 0.669}]


def test_no_calibration_score_of_the_paper_is_held():
    table = paper_table("calibration")
    keys = [(task, model) for task in ("nli", "pi") for model in MODELS]
    assert list(table[["task", "model"]].itertuples(index=False, name=None)) == keys
    assert list(table) == ["task", "model", "ece", "mce", "brier"]
    assert table[["ece", "mce", "brier"]].isna().all(axis=None)


def test_two_confidence_shares_of_the_paper_are_held():
    table = paper_table("confidence_share")
    keys = [(t, model, low / 10, (low + 1) / 10) for t in ("nli", "pi") for model in MODELS for low in range(10)]
    assert list(table[["task", "model", "lower", "upper"]].itertuples(index=False, name=None)) == keys
    assert held(table) == [
        {"task": "nli", "model": "BERT-base", "lower": 0.9, "upper": 1.0, "share": 0.88},
        {"task": "nli", "model": "BERT-Tiny", "lower": 0.9, "upper": 1.0, "share": 0.4423},
    ]


def test_every_table_of_the_paper_is_checked_here():
    assert sorted(file.name for file in (root() / "data" / "paper").iterdir()) == [
        "calibration.csv",
        "confidence_share.csv",
        "jaccard.csv",
        "jaccard_range.csv",
        "models.csv",
    ]


def test_packages_export_exactly_the_contracts_names():
    import trusteq
    from trusteq import alignment, calibration

    names = ["as_classifier", "audit", "audit_predictions", "explain", "load_classifier", "load_examples"]
    names += ["load_published", "read_examples", "read_predictions"]
    assert sorted(trusteq.__all__) == sorted([*names, "alignment", "calibration", "errors"])
    assert alignment.__all__ == ["align", "chance_jaccard", "jaccard", "top_features"]
    assert calibration.__all__ == ["reliability_table", "scores"]
    for home in (trusteq, alignment, calibration):
        assert all(getattr(home, name) for name in home.__all__)
    others = [file for file in (root() / "trusteq").rglob("*/__init__.py")]
    for file in others:
        if file.parent.name not in ("alignment", "calibration"):
            assert [type(node) for node in ast.parse(file.read_text()).body] == [ast.Expr], file


def test_the_package_stays_a_size_that_one_can_know():
    files = list((root() / "trusteq").rglob("*.py"))
    assert len(files) <= MOST_MODULES
    assert sum(len(file.read_text().splitlines()) for file in files) <= MOST_LINES


def test_notebooks_call_few_names():
    """A name is what follows a module of the package in a notebook, or is imported from one."""
    called = set()
    for file in sorted((root() / "notebooks").rglob("*.py")):
        tree = ast.parse("\n".join(line for line in file.read_text().splitlines() if not line.startswith("%")))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        bound = {of.asname or of.name for node in found if node.module.startswith("trusteq") for of in node.names}
        used = {
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound
        }
        called |= used | {name for name in bound if not any(of.startswith(f"{name}.") for of in used)}
    assert len(called) <= MOST_NAMES, sorted(called)


def imports(file, modules):
    """Return the modules of the package that a file imports anywhere in it, those for type checkers alone included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{of.name}" for of in node.names} & modules.keys() or {node.module}
        elif isinstance(node, ast.Import):
            found |= {of.name for of in node.names}
    return found & modules.keys()


def test_there_is_no_import_circle():
    """Modules that import only what is left out already are left out, again and again, until none is."""
    files = {file.relative_to(root()).with_suffix(""): file for file in (root() / "trusteq").rglob("*.py")}
    modules = {".".join(path.parts).removesuffix(".__init__"): file for path, file in files.items()}
    left = {name: imports(file, modules) for name, file in modules.items()}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        left = {name: needs for name, needs in left.items() if name not in free}
    # Among what is left is every circle, and what imports one.
    assert left == {}


def test_no_path_of_the_checkout_is_in_the_package():
    for file in (root() / "trusteq").rglob("*.py"):
        if file.name != "project.py":
            text = file.read_text(encoding="utf-8")
            assert "parents[1] / " not in text and "parent.parent / " not in text, file

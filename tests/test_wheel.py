"""The package as a wheel, in an environment of its own and an empty folder: what needs no project works there."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from trusteq.project import root

WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
"""

# A lesson's checks are kept as they are asked, and those of the solved form and of the student's told apart.
LESSON = """
import importlib.util
import matplotlib; matplotlib.use("agg")
import trusteq.lessons.checks as checks
assert all(map(importlib.util.find_spec, ("jupyterlab", "jupyterlab_myst", "jupytext", "ipykernel")))
ask, said = checks.check, []
checks.check = lambda *of: said.append(ask(*of)) or said[-1]
import jupytext
from trusteq.lessons import forms
for form, right in (("solved", True), ("student", False)):
    cells = forms.FORMS[form](forms.lessons()[{lesson!r}]).cells
    said.clear()
    exec("\\n".join(cell.source for cell in cells if cell.cell_type == "code"), {{"display": print}})
    assert len(said) >= 3 and {{of.right for of in said}} == {{right}}, said
"""


def modules_beyond(extra: str) -> set[str]:
    """Return the modules of this environment that an environment with trusteq and this extra alone does not have."""
    facts = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted, seen = [*facts["dependencies"], *facts["optional-dependencies"][extra]], {("trusteq",)}
    while wanted:
        requirement = Requirement(wanted.pop())
        if (key := (canonicalize_name(requirement.name), *sorted(requirement.extras))) not in seen:
            seen.add(key)
            wanted += _required(requirement)
    known = {name for name, *_ in seen}
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not known & {canonicalize_name(owner) for owner in owners}
    }


def _required(requirement: Requirement) -> list[str]:
    """Return what a package requires on this machine, with the extras that are asked for."""
    every = map(Requirement, metadata.requires(requirement.name) or [])
    extras = requirement.extras or {""}
    holds = [of for of in every if of.marker is None or any(of.marker.evaluate({"extra": extra}) for extra in extras)]
    return [str(of).partition(";")[0] for of in holds]


class Installed:
    """An environment with the wheel in it and the dependencies of this one, and an empty folder to work in."""

    def __init__(self, home: Path):
        self.python, self.folder = home / "env" / "bin" / "python", home / "empty"

    def run(self, *arguments, **options) -> subprocess.CompletedProcess:
        command = [str(self.python), *map(str, arguments)]
        environment = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "100"}
        options = {"cwd": self.folder, "env": environment, "capture_output": True, "text": True} | options
        return subprocess.run(command, check=False, **options)

    def trusteq(self, *arguments) -> subprocess.CompletedProcess:
        return self.run("-m", "trusteq", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    home = tmp_path_factory.mktemp("wheel")
    source = home / "source"  # a copy: building leaves files beside what is built
    shutil.copytree(root() / "trusteq", source / "trusteq", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root() / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", home, source]
    subprocess.run(list(map(str, build)), check=True, cwd=home, capture_output=True)
    (wheel,) = home.glob("trusteq-*.whl")
    venv.create(home / "env", with_pip=False)
    (packages,) = (home / "env" / "lib").glob("python*/site-packages")
    # Listed in a .pth file, a folder's own .pth files are not read: the checkout, installed there, stays out.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, wheel],
        check=True,
        capture_output=True,
    )
    (home / "empty").mkdir()
    return Installed(home)


@pytest.fixture(scope="module")
def predictions(installed) -> list[str]:
    """Two files of predictions in the empty folder."""
    table = pd.DataFrame({"label": ["no", "yes"] * 200, "no": [0.9, 0.2] * 200, "yes": [0.1, 0.8] * 200})
    for name in ("large.csv", "small.csv"):
        table.to_csv(installed.folder / name, index=False)
    return ["large.csv", "small.csv"]


def test_the_package_is_the_wheels(installed):
    done = installed.run("-c", "import trusteq; print(trusteq.__file__)")
    assert str(installed.python.parent.parent) in done.stdout, done.stderr


def test_audit_and_calibrate(installed, predictions):
    done = installed.trusteq("audit", *predictions, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert {"audit.json", "audit.html", "model-card.md"} <= {file.name for file in (installed.folder / "out").iterdir()}
    done = installed.trusteq("calibrate", "large.csv", "--out", "calibration")
    assert done.returncode == 0 and "ECE" in done.stdout, done.stderr


def test_explain(installed, tiny_bert):
    model = tiny_bert("BertForSequenceClassification")
    done = installed.trusteq("explain", model, "--text-a", "the man reads", "--n-samples", 20)
    assert done.returncode == 0 and "predicted: " in done.stdout, done.stderr


def test_verify_and_load_published(installed):
    folder = root() / "data" / "published" / "first-alignment"
    assert installed.trusteq("verify", folder).returncode == 0
    code = "import sys, trusteq; print(len(trusteq.load_published(sys.argv[1])['alignment']))"
    done = installed.run("-c", code, folder)
    assert done.stdout.strip() == "1", done.stderr
    done = installed.run("-c", "import trusteq; trusteq.load_published('first-alignment')")
    assert "nothing is published of 'first-alignment'; known: none; a checkout of trusteq holds" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("run", "demo"), ("pages",), ("book",), ("reproduce", "demo"), ("publish", "nowhere")],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_the_project_says_so_in_one_line(installed, arguments):
    before = set(installed.folder.iterdir())
    done = installed.trusteq(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("trusteq error: ") and "--project DIR" in line
    assert set(installed.folder.iterdir()) == before


def test_with_a_project_named_its_experiments_are_known(installed):
    done = installed.trusteq("run", "demo", "--dry-run", "--project", root())
    assert done.returncode == 0, done.stderr
    assert "train-demo-nli-demo-large-0: " in done.stdout


def test_nothing_is_written_beside_the_package(installed, predictions):
    packages = installed.python.parent.parent
    beside = {file for file in packages.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    installed.trusteq("publish", "nowhere")
    installed.trusteq("audit", *predictions, "--out", "again")
    after = {file for file in packages.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
    assert after == beside


LESSONS = sorted(file.stem for file in (root() / "notebooks" / "lessons").glob("*.py"))
MOST = ("lesson_audit", "lesson_lime")  # they audit and explain; the others use less of the package


@pytest.mark.parametrize(
    "lesson", [name if name in MOST else pytest.param(name, marks=pytest.mark.slow) for name in LESSONS]
)
def test_lessons_run_in_both_forms_with_the_light_extra_alone(installed, lesson, tmp_path):
    beyond = modules_beyond("lessons")
    assert {"torch", "transformers", "lime", "shap", "snakemake"} <= beyond and not {"scipy", "jupyterlab"} & beyond
    script = tmp_path / "lesson.py"
    script.write_text(WITHOUT.format(names=beyond) + LESSON.format(lesson=lesson), encoding="utf-8")
    environment = {"PATH": "/usr/bin:/bin", "TRUSTEQ_PROJECT": str(root()), "HOME": str(tmp_path)}
    done = installed.run(script, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_lacking_package_is_named_with_the_extra_that_brings_it(installed, tmp_path, tiny_bert):
    script = tmp_path / "without.py"
    call = "import sys; sys.argv = ['trusteq', 'explain', 'x', '--text-a', 'a']\nfrom trusteq.cli import main\nmain()\n"
    script.write_text(WITHOUT.format(names=("torch", "transformers")) + call, encoding="utf-8")
    done = installed.run(script)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("which is not installed; pip install 'trusteq[models]'")

"""The notebooks as sources, and their execution: parameters checked, errors brought back, nothing half-written."""

import ast

import jupytext
import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from trusteq.errors import ExperimentError
from trusteq.project import root
from trusteq.study import notebooks

SOURCES = sorted((root() / "notebooks").rglob("*.py"))
STAGES = {"01_finetune.py", "02_attribution.py", "03_calibration.py", "04_comparison.py"}
HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
seed = 0
threshold = 0.5

# %%
"""


def code_cells(source):
    return [cell for cell in jupytext.read(source).cells if cell.cell_type == "code"]


def parsed(cell):
    """Return the syntax tree of a cell, its magics left out."""
    return ast.parse("\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!"))))


@pytest.fixture
def write(tmp_path):
    """Write a notebook with the parameters seed and threshold and one more cell; return it and its output."""

    def write(code):
        source = tmp_path / "source" / "some.py"
        source.parent.mkdir()
        source.write_text(HEADER + code, encoding="utf-8")
        return source, tmp_path / "out" / "some.ipynb"

    return write


def test_the_stages_are_there():
    assert {source.name for source in SOURCES} >= STAGES
    assert len({source.name for source in SOURCES}) == len(SOURCES)  # workflow and book find them by name


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
class TestEveryNotebook:
    def test_is_percent_text_for_the_python_kernel(self, source):
        metadata = jupytext.read(source).metadata
        assert metadata["jupytext"]["text_representation"]["format_name"] == "percent"
        assert metadata["kernelspec"]["name"] == "python3"

    def test_opens_with_a_title(self, source):
        first = jupytext.read(source).cells[0]
        assert first.cell_type == "markdown"
        assert first.source.startswith("# ")

    def test_has_one_parameters_cell_of_plain_values(self, source):
        cells = code_cells(source)
        assert ["parameters" in cell.metadata.get("tags", []) for cell in cells] == [True] + [False] * (len(cells) - 1)
        for statement in parsed(cells[0]).body:
            assert isinstance(statement, ast.Assign)
            ast.literal_eval(statement.value)

    def test_defines_no_function_and_no_class(self, source):
        """But where a student is asked for one: in the answer of a lesson."""
        cells = [cell for cell in code_cells(source) if "solution" not in cell.metadata.get("tags", [])]
        nodes = [node for cell in cells for node in ast.walk(parsed(cell))]
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        assert not [node.name for node in nodes if isinstance(node, kinds)]
        # A lambda may be an argument, never a function by another name.
        assert not [node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)]

    def test_has_cells_of_at_most_15_lines(self, source):
        assert [cell.source for cell in code_cells(source) if len(cell.source.splitlines()) > 15] == []


def test_success_writes_the_executed_notebook(write):
    source, output = write("print(seed * 2, threshold)\nopen('here', 'w').close()")
    notebooks.execute(source, output, {"seed": 21})
    executed = nbformat.read(output, as_version=4)
    nbformat.validate(executed)
    assert executed.cells[-1].outputs[0].text == "42 0.5\n"
    assert executed.metadata.papermill.parameters == {"seed": 21}
    assert executed.metadata.papermill.duration > 0
    assert [file.name for file in output.parent.iterdir()] == ["some.ipynb"]
    assert (source.parent / "here").exists()  # it runs in its own folder


@pytest.mark.parametrize("kind", ["DataError", "ArtefactError"])
def test_an_error_the_user_can_mend_comes_back_as_itself(write, kind):
    source, output = write(f"from trusteq.errors import {kind}\nraise {kind}('file.csv:3: what; mend it so')")
    with pytest.raises(Exception, match=r"^file\.csv:3: what; mend it so$") as caught:
        notebooks.execute(source, output, {})
    assert type(caught.value).__name__ == kind
    assert type(caught.value).__module__ == "trusteq.errors"
    assert list(output.parent.iterdir()) == []


def test_another_error_comes_back_with_its_cell(write):
    source, output = write("1 / 0")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        notebooks.execute(source, output, {})
    assert list(output.parent.iterdir()) == []


def test_a_failure_leaves_the_former_output(write):
    source, output = write("raise KeyError('x')")
    output.parent.mkdir()
    output.write_text("former", encoding="utf-8")
    with pytest.raises(PapermillExecutionError):
        notebooks.execute(source, output, {})
    assert output.read_text(encoding="utf-8") == "former"


def test_only_errors_come_back_as_errors(write):
    source, output = write("raise type('nearest', (Exception,), {})('x')")  # the name of a function in trusteq.errors
    with pytest.raises(PapermillExecutionError):
        notebooks.execute(source, output, {})


def test_an_unknown_parameter_is_refused_before_anything_runs(write):
    source, output = write("open('ran', 'w').close()")
    with pytest.raises(ExperimentError) as caught:
        notebooks.execute(source, output, {"seed": 1, "treshold": 0.1})
    message = f"{source}: no parameter 'treshold'; did you mean 'threshold'? known: seed, threshold"
    assert str(caught.value) == message
    assert not output.parent.exists()
    assert not (source.parent / "ran").exists()


def test_a_missing_notebook_is_refused_with_the_nearest(write):
    source, output = write("pass")
    with pytest.raises(ExperimentError, match=r"no notebook .*soem\.py; did you mean 'some\.py'\?"):
        notebooks.execute(source.with_name("soem.py"), output, {})
    assert not output.parent.exists()


KNOWN = {"model": "demo-tiny", "seed": 0, "rate": 0.5, "anew": False, "shard": None, "methods": None}
KNOWN |= {"items": ["a"], "sizes": {"a": 1}}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("model=null", "null"),  # where the notebook's own value is a text, so is any other
        ("model=yes", "yes"),
        ("model=0x10", "0x10"),
        ("model=2020-01-01", "2020-01-01"),
        ("model=1.5", "1.5"),
        ("model=a=b", "a=b"),
        ("seed=1", 1),
        ("rate=1e-5", 1e-5),
        ("rate=2", 2),
        ("anew=true", True),
        ("shard=1/4", "1/4"),
        ("shard=", None),
        ("shard=null", None),
        ("shard=2024-01-31", "2024-01-31"),
        ("shard=/tmp/x: y", "/tmp/x: y"),
        ("methods=[lime, shap]", ["lime", "shap"]),
        ("methods=[a", "[a"),
        ("other=-3", -3),
        ("items=[b, c]", ["b", "c"]),
        ('items=["b", "c, d"]', ["b", "c, d"]),
        ('sizes={"b": 2}', {"b": 2}),
    ],
)
def test_parameters_have_the_type_of_the_notebooks_own(pair, expected):
    (found,) = notebooks.parse_parameters([pair], KNOWN).values()
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("pair", ["seed=many", "rate=fast", "rate=true", "anew=1", "items=3", "sizes=2"])
def test_a_value_of_another_type_is_refused(pair):
    with pytest.raises(ExperimentError, match=f"parameter {pair}: give"):
        notebooks.parse_parameters([pair], KNOWN)


def test_the_last_of_two_values_holds():
    assert notebooks.parse_parameters(["seed=1", "model=x", "seed=2"], KNOWN) == {"seed": 2, "model": "x"}


@pytest.mark.parametrize("pair", ["seed", "=1", "", "="])
def test_a_pair_without_name_or_value_is_refused(pair):
    with pytest.raises(ExperimentError, match="expected NAME=VALUE"):
        notebooks.parse_parameters([pair], KNOWN)


def test_defaults_are_read_from_the_parameters_cell(write):
    source, _ = write("pass")
    assert notebooks.defaults(source) == {"seed": 0, "threshold": 0.5}


def test_a_notebook_without_a_header_is_one(tmp_path, trusteq):
    source = tmp_path / "plain.py"
    source.write_text(
        '# %% tags=["parameters"]\nwhen = None\nrate = 1e-3  # a step\nhome = str.__name__\n\n# %%\n'
        "print(when, rate * 2, type(rate).__name__)\n",
        encoding="utf-8",
    )
    assert notebooks.defaults(source) == {"when": None, "rate": 1e-3, "home": None}
    done = trusteq("execute", source, tmp_path / "out.ipynb", "-p", "when=2024-01-31", "-p", "rate=1e-5")
    assert done.returncode == 0, done.stderr
    (printed,) = nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs
    assert printed.text == "2024-01-31 2e-05 float\n"


def test_notebooks_in_one_kernel_do_not_see_each_other(write):
    source, output = write("import json\nseen = 'x' in globals(), 'json' in globals()\nx = 1\nprint(seen)")
    with notebooks.kernel() as manager:
        for _ in range(2):
            notebooks.execute(source, output, {}, manager=manager, metadata={"key": "k"})
    executed = nbformat.read(output, as_version=4)
    assert executed.cells[-1].outputs[0].text == "(False, True)\n"
    assert executed.metadata.trusteq == {"key": "k"}


def test_a_byte_order_mark_is_no_part_of_the_first_cell(write):
    source, output = write("print(seed)")
    source.write_text(source.read_text(encoding="utf-8"), encoding="utf-8-sig")
    notebooks.execute(source, output, {"seed": 3})
    assert "3" in output.read_text(encoding="utf-8")


def test_a_folder_is_no_place_for_a_notebook(write):
    source, output = write("pass")
    with pytest.raises(ExperimentError, match="a folder; name the notebook to write"):
        notebooks.execute(source, output.parent.parent, {})

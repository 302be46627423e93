"""Lessons: both forms run from published results, their checks find what is wrong, and neither form gives it away."""

import itertools
import math
import re

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from trusteq.errors import ExperimentError
from trusteq.lessons import forms
from trusteq.lessons.checks import check, right_answer
from trusteq.lessons.keys import KEYS
from trusteq.lessons.quiz import quiz, quizzes
from trusteq.lessons.toy import sentiment
from trusteq.project import root
from trusteq.study import notebooks

LESSONS = forms.lessons()
each_lesson = pytest.mark.parametrize("lesson", LESSONS)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def labels_checked(notebook):
    return [found for cell in code(notebook) for found in re.findall(r'^check\("([^"]+)"', cell.source, re.M)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a notebook made of a lesson, all in one kernel, and return what its checks show, as (exercise, text)."""
    folder = tmp_path_factory.mktemp("lessons")
    with notebooks.kernel() as manager:

        def run(notebook, **parameters):
            source, output = folder / "lesson.py", folder / "lesson.ipynb"
            jupytext.write(notebook, source, fmt="py:percent")
            notebooks.execute(source, output, parameters, manager=manager)
            cells = [cell for cell in nbformat.read(output, as_version=4).cells if cell.source.startswith("check(")]
            return [(cell.source.split('"')[1], cell.outputs[0].data["text/markdown"]) for cell in cells]

        yield run


@each_lesson
def test_the_solved_form_passes_all_its_checks(run, lesson):
    shown = run(forms.solved(LESSONS[lesson]))
    assert len(shown) >= 3 and {text for _, text in shown} == {"✓ **Right.**"}


def going_back(lesson):
    """Return the student form, run to its end, and after it each answer with its check, as on going back to them."""
    notebook, solved = forms.student(LESSONS[lesson]), code(forms.solved(LESSONS[lesson]))
    answers = [cell for cell in solved if forms.is_solution(cell)]
    checks = [cell for cell in solved if cell.source.startswith("check(")]
    for pair in reversed(list(zip(answers, checks, strict=True))):
        notebook.cells += pair
    return notebook


@each_lesson
def test_the_student_form_runs_to_its_end_passes_none_and_can_be_solved_afterwards(run, lesson):
    shown, labels = run(going_back(lesson)), labels_checked(forms.solved(LESSONS[lesson]))
    assert [label for label, _ in shown] == labels + labels[::-1]
    assert all(text.startswith("✗ **Not yet:** ") for _, text in shown[: len(labels)])
    assert {text for _, text in shown[len(labels) :]} == {"✓ **Right.**"}


@each_lesson
def test_a_lesson_runs_on_other_published_results(run, lesson):
    notebook = forms.solved(LESSONS[lesson])
    (parameters,) = [cell.source for cell in code(notebook) if "parameters" in cell.metadata.get("tags", [])]
    other = {"published": "demo", "large_name": "demo-large", "small_name": "demo-mini"}
    other = {name: value for name, value in other.items() if f"{name} = " in parameters}
    shown = run(notebook, **other)
    assert {text for _, text in shown} == {"✓ **Right.**"}


@each_lesson
def test_the_page_for_teachers_has_each_exercise_under_its_lesson(lesson):
    source, page = LESSONS[lesson].read_text(encoding="utf-8"), (root() / "book" / "teaching.md").read_text("utf-8")
    (section,) = re.findall(rf"^### \[[^\]]+\]\(runs/{lesson}\.ipynb\), (\d+ minutes)$(.+?)^##", page, re.M | re.S)
    minutes, text = section
    assert f"# *{minutes}." in source
    assert re.findall(r"^\| \*(.+?)\* \|", text, re.M) == re.findall(r"^# ```{exercise} (.+)$", source, re.M)
    (spent,) = re.findall(r"\*\*Time\.\*\* (.+?)\.\n", text, re.S)
    assert sum(map(int, re.findall(r"\d+", spent))) == int(minutes.split()[0])


@each_lesson
class TestForms:
    def test_no_solution_is_left_in_the_student_form(self, lesson):
        solved, student = forms.solved(LESSONS[lesson]), forms.student(LESSONS[lesson])
        text = "\n".join(cell.source for cell in student.cells)
        assert "{solution" not in text and not any(map(forms.is_solution, student.cells))
        answers = [cell.source for cell in filter(forms.is_solution, solved.cells) if cell.cell_type == "code"]
        lines = {line.strip() for answer in answers for line in answer.splitlines() if re.search(r" = | \+= ", line)}
        assert len(answers) == text.count('check("') and not [line for line in lines if line in text]

    def test_all_else_is_the_same(self, lesson):
        solved, student = forms.solved(LESSONS[lesson]), forms.student(LESSONS[lesson])
        kept = [cell.source for cell in solved.cells if not forms.is_solution(cell)]
        assert [cell.source for cell in student.cells if "answer" not in cell.metadata.get("tags", [])] == kept

    def test_every_exercise_has_a_check_or_a_solution_in_words(self, lesson):
        notebook = forms.solved(LESSONS[lesson])
        text = "\n".join(cell.source for cell in notebook.cells)
        exercises = re.findall(r"^:label: (\S+)$", text, re.M)
        in_words = re.findall(r"^```{solution} (\S+)$", text, re.M)
        assert sorted(exercises) == sorted(labels_checked(notebook) + in_words)

    def test_it_opens_with_time_and_aims(self, lesson):
        first = forms.solved(LESSONS[lesson]).cells[0].source
        (minutes,) = re.findall(r"^\*(\d+) minutes\.", first, re.M)
        assert 15 <= int(minutes) <= 45 and "**Afterwards you can**" in first

    def test_code_of_quizzes_is_hidden_on_the_page(self, lesson):
        cells = [cell for cell in code(forms.solved(LESSONS[lesson])) if cell.source.startswith("quiz(")]
        assert len(cells) >= 3 and all(cell.metadata["tags"] == ["remove-input"] for cell in cells)


def test_every_key_is_asked_for_once():
    asked = [label for source in LESSONS.values() for label in labels_checked(forms.solved(source))]
    assert sorted(asked) == sorted(KEYS)


def test_an_answer_is_emptied_but_for_names_signatures_and_opening_comments():
    answer = "# Try it.\nx = 1 + 1  # two\nfor i in x:\n    y = i\n\n\n"
    answer += 'def f(a, *, b=2):\n    """Double."""\n    return 2 * a\n'
    assert forms.unsolved(answer) == '# Try it.\nx = ...\ndef f(a, *, b=2):\n    """Double."""\n    ...'
    assert forms.unsolved("def f(a):\n    return a") == "def f(a):\n    ..."


def test_forms_are_written_whole_and_without_outputs(tmp_path):
    files = forms.write(tmp_path / "new")
    assert sorted(files) == sorted((tmp_path / "new").iterdir()) and len(files) == 2 * len(LESSONS)
    for file in files:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.outputs for cell in code(notebook))
        assert str(root()) not in file.read_text() and "COLAB" not in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "project", "said"),
    [([], None, "one folder is wanted"), (["forms"], "nowhere", "trusteq error: nowhere is no project")],
)
def test_forms_say_in_one_line_what_they_lack(arguments, project, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if project:
        monkeypatch.setenv("TRUSTEQ_PROJECT", project)
    with pytest.raises(SystemExit, match=said) as stopped:
        forms.main(arguments)
    assert "\n" not in stopped.value.code and not list(tmp_path.iterdir())


def test_links_to_binder_and_colab_appear_with_the_address_alone(tmp_path):
    without = forms.links("lesson_lime", "")
    assert "http" not in without and without.count("<a ") == 2
    found = forms.links("lesson_lime", "https://github.com/someone/trusteq")
    assert "https://mybinder.org/v2/gh/someone/trusteq/HEAD?urlpath=lab/tree/forms/lesson_lime-student.ipynb" in found
    assert "colab.research.google.com/github/someone/trusteq/blob/gh-pages/forms/lesson_lime-student.ipynb" in found
    file = forms.write(tmp_path, "https://github.com/someone/trusteq")[0]
    assert "git clone --quiet --depth 1 https://github.com/someone/trusteq " in file.read_text()


def test_no_link_is_dead_as_long_as_the_project_has_no_address():
    assert forms.repository() == "" or forms.repository().startswith("https://github.com/")


def test_binder_installs_the_lessons_at_the_pins():
    lines = (root() / "binder" / "postBuild").read_text().splitlines()
    (pins,) = (line.split("'")[1] for line in lines if line.startswith("grep -o"))
    lock = (root() / "requirements.lock").read_text()
    assert len(re.findall(pins, lock, re.MULTILINE)) == len(re.findall("^[A-Za-z]", lock, re.MULTILINE))
    assert any(line.startswith("pip install") and line.endswith("'.[lessons]'") for line in lines)


MASKS = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1], [1, 0, 1, 1]], dtype=bool)
LINE, EXACT, NEAR = np.column_stack([np.ones(6), MASKS]), MASKS @ [0.1, 0.2, -0.3, 0.4] + 0.05, np.arange(1.0, 7)
P = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
LOW = 1 / (1 + math.exp(1.5))  # of "not good", positive
BINS = pd.DataFrame({"count": [0, 6, 2, 2], "share": [0, 0.6, 0.2, 0.2], "gap": [math.nan, -0.1, 0.3, 0.0]})
# Glove game: place 0 has the left glove, 1 and 2 have a right one each, 3 nothing; its Shapley values are known.
GLOVES = {
    s: float(0 in s and bool(s & {1, 2})) for n in range(5) for s in map(frozenset, itertools.combinations(range(4), n))
}
YES, NO = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1], dtype=bool), np.array([1, 1, 0, 0, 0, 1, 0, 1, 1, 1], dtype=bool)
# By exercise: what is given, the answer by hand, and wrong answers with a word of what is said about them.
CASES = {
    "cal-confidence": ([P, np.array([0, 0, 0])], [0.7, 0.5, 0.4], {"gold": P[:, 0], "numbers of classes": [0, 1, 2]}),
    "cal-gap": (
        [np.array([0.6, 0.65, 0.7, 0.9]), np.array([1, 1, 0, 1]), 0.6, 0.7],
        0.5 - 0.675,
        {"sign": 0.675 - 0.5, "accuracy alone": 0.5, "percent": -17.5, "all predictions": 0.75 - 0.7125},
    ),
    "cal-ece": (
        [BINS],
        0.12,
        {
            "cancel": 0.0,
            "MCE": 0.3,
            "every bin": 0.4 / 3,
            "empty bins": 0.1,
            "percent": 12,
            "nan": math.nan,
            "by counts": 1.2,
        },
    ),
    "cal-luck": ([np.array([1, 2, 3, 4.0]), 3.0], 0.5, {"a share is wanted": 2, "percent": 50, "too large": 0.7}),
    "lime-ask": (
        [sentiment, ["not", "good"], np.array([[1, 1], [0, 1], [1, 0]], dtype=bool)],
        [LOW, 1 - LOW, 0.5],
        {"another order": [0.5, 1 - LOW, LOW], "first class": [1 - LOW, LOW, 0.5], "leaves out": [0.5, 0.5, 1 - LOW]},
    ),
    "lime-nearness": (
        [MASKS[:2]],
        [1, math.exp(-2)],
        {
            "distances": [0, 0.5],
            "hundredths": [1, math.exp(-0.25 / 1250)],
            "2 below": [1, math.exp(-4)],
            "square root": [1, math.exp(-4.5)],
        },
    ),
    "lime-slopes": (
        [MASKS, EXACT, NEAR],
        [0.1, 0.2, -0.3, 0.4],
        {
            "intercept": [0.05, 0.1, 0.2, -0.3, 0.4],
            "1 of 4": [0.1, 0.2, -0.3, 0.5],
            "target is multiplied here": np.linalg.lstsq(LINE, EXACT * NEAR**0.5)[0][1:],
            "table is multiplied here": np.linalg.lstsq(LINE * NEAR[:, None] ** 0.5, EXACT)[0][1:],
        },
    ),
    "lime-top": (
        [np.array([0.1, -0.9, 0.5, 0.2]), 2],
        {1, 2},
        {
            "against": {2, 3},
            "smallest": {0, 3},
            "should have 2": {1},
            "of the 2 elements 1": {1, 0},
            "type list": [1, 2],
            "words such as 'bad'": {"bad", "good"},
        },
    ),
    "lime-itself": (
        [[frozenset("ab"), frozenset("ab"), frozenset("cd")]],
        1 / 3,
        {"with itself": 5 / 9, "first run": 0.5},
    ),
    "shapley-joins": ([GLOVES, 2, frozenset({0, 3})], 1.0, {"alone": 0.0, "sign": -1}),
    "shapley-values": (
        [GLOVES, 4],
        [2 / 3, 1 / 6, 1 / 6, 0],
        {
            "occlusion": [1, 0, 0, 0],
            "adds alone": [0, 0, 0, 0],
            "sum over": [16, 4, 4, 0],
            "Banzhaf": [0.75, 0.25, 0.25, 0],
        },
    ),
    "shapley-own": ([lambda words: 0.1 + 0.2 * len(words), list("abc")], [0.2] * 3, {"in percent": [20, 20, 20]}),
    "chance-two": (
        [frozenset("abc"), frozenset("bcd")],
        0.5,
        {"counts a shared": 1 / 3, "size of one": 2 / 3, "percent": 50},
    ),
    "chance-small": (
        [4, 2],
        (6 * 1 + 24 / 3) / 36,
        {"mean overlap": 1 / 3, "k / n": 0.5, "shared on average": 1.0, "the same set": 8 / 30},
    ),
    "chance-mean": (
        [[10, 10, 40], 10],
        (2 + right_answer("chance-long", 40, 10)) / 3,
        {"bent": right_answer("chance-long", 20, 10)},
    ),
    "chance-place": ([0.5, 0.3, 0.7], 0.5, {"divide by how far": 0.2, "share of the ceiling": 5 / 7, "were 1": 2 / 7}),
    "eq-paired": (
        [YES, NO],
        [-0.1 - 1.96 * 0.029**0.5, -0.1 + 1.96 * 0.029**0.5],
        {
            "same examples": [-0.1 - 1.96 * 0.45**0.5 / 10**0.5, -0.1 + 1.96 * 0.45**0.5 / 10**0.5],
            "spread of one": [-0.1 - 1.96 * 0.29**0.5, -0.1 + 1.96 * 0.29**0.5],
        },
    ),
    "eq-outcomes": (
        [[-0.01, -0.03, 0.03, 0.001], [0.01, 0.01, 0.05, 0.01], 0.02],
        ("equivalent", "undecided", "not-equivalent", "equivalent"),
        {
            "0 is inside": ["equivalent", "equivalent", "not-equivalent", "not-equivalent"],
            "row 1": ["equivalent", "equivalent", "not-equivalent", "equivalent"],
            "list of 4": ["equivalent"],
        },
    ),
    "eq-needed": ([0.01, 0.5, 0.02], 9604, {"uses up": 2401, "square": 98, "too large": 12000}),
    "audit-verdict": (
        [["equivalent", "undecided", "not-equivalent"]],
        "not-equivalent",
        {"no measure is beyond": "undecided", "every measure": "equivalent", "'maybe' is not it": "maybe"},
    ),
    "audit-flips": ([YES, NO], 0.2, {"both ways": 0.3, "net change": 0.1, "gets right": 2 / 7, "percent": 20}),
    "audit-twin": (
        [np.array([0, 1, 2, 0, 1]), np.array([0, 1, 1, 1, 0]), np.array([0, 1, 2, 0, 0])],
        0.4,
        {"subtract": 0.6, "sign": -0.4},
    ),
    "audit-risk": (
        [np.array([0.5, 0.6, 0.7, 0.9]), np.array([True, True, False, False]), 0.6],
        0.25,
        {"among": 1 / 3, "handed over": 0.5, "share it answers": 0.75},
    ),
}
CASES["chance-long"] = ([4, 2], 14 / 36, {"mean overlap": 1 / 3})


@pytest.mark.parametrize("exercise", KEYS)
class TestChecks:
    def test_the_right_answer_is_right(self, exercise):
        given, right, _ = CASES[exercise]
        assert check(exercise, right, *given).right
        found = right_answer(exercise, *given)
        assert check(exercise, list(found) if isinstance(found, tuple) else found, *given).right

    def test_a_wrong_one_is_told_what_is_wrong_and_never_the_answer(self, exercise):
        given, right, wrong = CASES[exercise]
        for said, answer in wrong.items():
            feedback = check(exercise, answer, *given)
            assert not feedback.right and said in str(feedback), (said, str(feedback))
            assert not isinstance(right, str | float) or str(right) not in feedback.text

    @pytest.mark.parametrize("answer", [..., None, object(), "0.5x", [], {}, {"a"}, np.full((2, 2), 7.0)], ids=repr)
    def test_nothing_stops_the_notebook(self, exercise, answer):
        feedback = check(exercise, answer, *CASES[exercise][0])
        assert not feedback.right and feedback.text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda words: None, "no number"),
        (lambda words: len(words), "no probabilities"),
        (lambda words: words[0], "IndexError"),
    ],
)
def test_a_model_of_ones_own_that_does_not_work_is_told_so(model, said):
    assert said in check("shapley-own", [0, 0], model, ["a", "b"]).text


def test_a_spread_by_n_less_one_and_an_array_of_words_are_right_as_well():
    given, right, _ = CASES["eq-paired"]
    change = YES[:10].astype(float) - NO[:10]
    assert change.std(ddof=1) > change.std() and check("eq-paired", wider(right, change), *given).right
    given, right, _ = CASES["eq-outcomes"]
    assert check("eq-outcomes", np.array(right), *given).right and check("eq-outcomes", pd.Series(right), *given).right


def wider(interval, change):
    """Return an interval of a mean by a standard deviation over n, with one over n - 1 in its place."""
    middle, half = np.mean(interval), (interval[1] - interval[0]) / 2 * change.std(ddof=1) / change.std()
    return [middle - half, middle + half]


def test_an_unknown_exercise_is_refused_with_the_nearest():
    with pytest.raises(ExperimentError, match="no exercise 'cal-ecee'; did you mean 'cal-ece'"):
        check("cal-ecee", 1)


def test_the_toy_adds_up_scores_and_turns_them_round_after_not():
    assert sentiment.labels == ("negative", "positive")
    positive = sentiment(["", "good", "not good", "Good but dull", "not not good"])[:, 1]
    totals = [0, 1.5, -1.5, 1.5 + 0.3 - 1.0, -1.5]
    assert positive == pytest.approx([1 / (1 + math.exp(-total)) for total in totals])
    assert sentiment(["good", "dull"]).sum(axis=1) == pytest.approx([1, 1])


class TestQuizzes:
    def test_each_is_in_one_lesson(self):
        sources = "".join(file.read_text() for file in LESSONS.values())
        assert sorted(re.findall(r'^quiz\("([^"]+)"\)', sources, re.M)) == sorted(quizzes())
        assert {"seventy", "sets", "small-jaccard"} <= set(quizzes())

    @pytest.mark.parametrize("name", quizzes())
    def test_one_answer_is_right_and_each_has_its_feedback(self, name):
        page = BeautifulSoup(quiz(name).data, "html.parser")
        answers = page.select("details > summary")
        assert 2 <= len(answers) == len(page.select("details > p")) == len({answer.get_text() for answer in answers})
        assert len({details["name"] for details in page.select("details")}) == 1  # opening one closes the others
        assert sum("Right." in details.get_text() for details in page.select("details")) == 1
        assert page.find(id=page.div["aria-labelledby"]).get_text().endswith("?") or "?" in page.p.get_text()
        assert not page.select("script, [onclick]")

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(ExperimentError, match="no quiz 'seventi'; did you mean 'seventy'"):
            quiz("seventi")

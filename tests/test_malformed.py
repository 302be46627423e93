"""Malformed inputs of every kind: exit code 2 and one line, within 2 GB and 20 s; see `malformed`."""

import collections

import pytest
from figures import enter

from trusteq.project import root

pytest.importorskip("snakemake")


@pytest.fixture(scope="module")
def cases(tiny_bert):
    """What makes all cases anew, the same each time, once all that the command imports is imported."""
    import malformed
    import onnxruntime  # noqa: F401
    import sklearn  # noqa: F401

    import trusteq.attribution.explain
    import trusteq.models.as_classifier
    import trusteq.models.onnx_session
    import trusteq.study.workflow
    import trusteq.verdict.audit
    import trusteq.verdict.several  # noqa: F401

    checkpoint = tiny_bert("BertForSequenceClassification", labels=("no", "yes", "maybe"))
    return lambda: malformed.all_cases(checkpoint, root() / "data" / "published" / "first-alignment")


def problems(chosen, folder):
    """Return what went wrong of the chosen cases, and by kind how many there were, the most seconds and megabytes."""
    import malformed

    found, figures = [], collections.defaultdict(lambda: [0, 0.0, 0.0])
    for number, case in enumerate(chosen):
        place = folder / str(number)
        place.mkdir()
        done = malformed.forked(case.write(place), place)
        if done.problem or list(place.rglob("CANARY")):
            found.append(f"{case.kind}: {case.name[:80]}: {done.problem or 'CANARY'}")
        of_kind = figures[case.kind]
        of_kind[:] = of_kind[0] + 1, max(of_kind[1], done.seconds), max(of_kind[2], done.megabytes)
        malformed.shutil.rmtree(place)
    return found, dict(figures)


def test_a_sample_of_malformed_inputs_ends_in_one_line(cases, tmp_path):
    """Every fiftieth case, and of each kind one."""
    every = list(cases())
    first = {case.kind: case for case in reversed(every)}
    chosen = [*first.values(), *every[7::50]]
    found, figures = problems(chosen, tmp_path)
    assert found == []
    kinds = {kind.partition(",")[0] for kind in figures}
    known = {"predictions", "examples", "experiment", "checkpoint", "published", "manifest", "option", "words"}
    assert kinds - {"gguf"} == known  # that one only where the package is


@pytest.mark.slow
def test_a_thousand_malformed_inputs_end_in_one_line(cases, tmp_path):
    found, figures = problems(cases(), tmp_path)
    tried, seconds, megabytes = zip(*figures.values(), strict=True)
    what = f"malformed inputs of {len(figures)} kinds: not exit 2 with one line"
    command = "python -m pytest -m slow tests/test_malformed.py"
    enter(what, command, tried=sum(tried), failed=len(found), **{"most s": max(seconds), "most MB": max(megabytes)})
    assert found == []
    assert sum(tried) >= 1000


def test_what_is_measured_is_seen(tmp_path):
    """A case that is no malformed input, one that fails otherwise, and one of two lines are problems."""
    import malformed

    fine = tmp_path / "fine.csv"
    malformed.predictions().to_csv(fine, index=False)
    assert malformed.forked(["calibrate", fine, "--out", tmp_path / "o"], tmp_path).problem.startswith("exit 0")
    for code, out, err in ((4, "", "x"), (2, "", "trusteq error: a\nb"), (2, "out", "trusteq error: a"), (-9, "", "")):
        assert malformed.Outcome(code, out, err, 1, 1).problem
    assert malformed.Outcome(2, "", "trusteq error: \x1b[31m\n", 1, 1).problem
    assert malformed.Outcome(2, "", "trusteq error: a\n", 21, 1).problem
    assert malformed.Outcome(2, "", "trusteq error: a\n", 1, 2049).problem
    assert not malformed.Outcome(2, "", "trusteq error: a\n", 1, 1).problem

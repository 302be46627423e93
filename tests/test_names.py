"""Names become folders, wildcards of the workflow and words of a command: nothing in one may act, or lead elsewhere."""

import pytest
import yaml
from checkouts import EXPERIMENT
from refusals import refused

from trusteq.errors import ExperimentError
from trusteq.registry import validated
from trusteq.study.experiment import Experiment

LIKE = {"like": "demo-tiny", "title": "t"}
BAD = [
    "$(touch CANARY)",
    "`touch CANARY`",
    "../../../../up",
    "..",
    ".",
    ".hidden",
    "-rf",
    "a/b",
    "a\\b",
    "",
    "a b",
    "a{b}",
    "{wildcards.x}",
    "a;b",
    "a\nb",
    "a\n",
    "ä",
    "a" * 65,
]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("where", ["models", "methods", "tasks", "name"])
def test_a_name_that_could_act_or_lead_elsewhere_is_refused(where, name):
    values = {"models": LIKE, "methods": {"like": "lime"}, "tasks": {"splits": None}}
    changed = {"name": name} if where == "name" else {where: EXPERIMENT[where] | {name: values[where]}}
    with pytest.raises(ExperimentError, match=r"here: .*\^\[A-Za-z0-9\]\[A-Za-z0-9\._-\]\{0,63\}") as caught:
        validated(Experiment, EXPERIMENT | changed, where="here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "0", "A.b_c-9", "a" * 64])
def test_other_names_are_taken(name):
    assert validated(Experiment, EXPERIMENT | {"name": name}, where="here").name == name
    models = EXPERIMENT["models"] | {name: LIKE}
    assert name in validated(Experiment, EXPERIMENT | {"models": models}, where="here").models


@pytest.mark.parametrize("name", ["itself", "reseeded", "retrained", "random-head", "random-features"])
def test_a_model_is_not_called_like_a_control(name):
    with pytest.raises(ExperimentError, match=f"model {name!r}: a control of the large model is called so"):
        validated(Experiment, EXPERIMENT | {"models": EXPERIMENT["models"] | {name: LIKE}}, where="here")


@pytest.mark.parametrize(
    "values",
    [{"threads": 100_000}, {"threads": 0}, {"seeds": [2**64]}, {"seeds": [int("9" * 40)]}, {"seeds": [-1]}],
)
def test_numbers_beyond_reason_are_refused(values):
    with pytest.raises(ExperimentError, match=next(iter(values))):
        validated(Experiment, EXPERIMENT | values, where="here")


def test_a_bad_name_leaves_nothing(trusteq, tmp_path):
    file = tmp_path / "small.yaml"
    models = EXPERIMENT["models"] | {"$(touch CANARY)": LIKE, "../../up": LIKE}
    file.write_text(yaml.safe_dump(EXPERIMENT | {"models": models}), encoding="utf-8")
    refused(trusteq("run", file, "--results", tmp_path / "rr $(touch PWNED)"), file, "touch CANARY")
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.yaml"]

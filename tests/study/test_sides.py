"""Which trainings of two models may be set side by side as independent pairs."""

import pytest

from trusteq.registry import validated
from trusteq.study.experiment import Experiment
from trusteq.study.sides import SeedPairs, paired_seeds

HALF = {"way": "keep-layers", "options": {"layers": [0]}, "recover": True}
STUDENT = {"title": "Student", "compress": HALF | {"of": "demo-large"}, "teacher": "demo-large"}
INT8 = {"title": "int8", "compress": {"way": "int8"}}
OF_LARGE = INT8 | {"compress": {"way": "int8", "of": "demo-large"}}
OF_STUDENT = INT8 | {"compress": {"way": "int8", "of": "student"}}


def pairs(large, other, *, student=(0,)):
    """The pairs of a large model and another, by the seeds of both and of a student between them."""
    models = {"demo-large": {"seeds": large}, "student": STUDENT | {"seeds": student}, "other": other}
    values = {"name": "seeds", "title": "Seeds", "tasks": ["demo-nli"], "methods": {"occlusion": {}}, "models": models}
    return paired_seeds(validated(Experiment, values, where="seeds"), "other")


def by_itself(*seeds):
    return {"like": "demo-tiny", "title": "By itself", "seeds": seeds}


@pytest.mark.parametrize(
    ("large", "other", "found"),
    [
        ([0, 1, 2], STUDENT | {"seeds": [0, 1, 2]}, SeedPairs(((0, 0), (1, 1), (2, 2)))),
        ([0, 1], STUDENT | {"seeds": [0, 1]}, SeedPairs(((0, 0), (1, 1)))),
        # 2 is made from the first large one, as 0 is: either two large ones, each once, or no more of one than of two.
        ([0, 1], STUDENT | {"seeds": [0, 1, 2]}, SeedPairs(((0, 0), (1, 1)))),
        ([0, 1], STUDENT | {"seeds": [0, 1, 2, 3]}, SeedPairs(((0, 0), (0, 2), (0, 3)), fixed=0)),
        ([0], STUDENT | {"seeds": [0, 1, 2]}, SeedPairs(((0, 0), (0, 1), (0, 2)), fixed=0)),
        ([0, 1, 2], by_itself(0, 1, 2, 3), SeedPairs(((0, 0), (1, 1), (2, 2)))),
        ([0], by_itself(0, 1, 2), SeedPairs(((0, 0), (0, 1), (0, 2)), fixed=0)),
        ([0], by_itself(0), SeedPairs(((0, 0),))),
        # Without training several seeds of one large model are one model.
        ([0], OF_LARGE | {"seeds": [0, 1, 2]}, SeedPairs(((0, 0),))),
        ([0, 1, 2], OF_LARGE | {"seeds": [0, 1, 2, 3]}, SeedPairs(((0, 0), (1, 1), (2, 2)))),
    ],
)
def test_pairs_are_independent_trainings(large, other, found):
    assert pairs(large, other) == found


def test_what_is_made_without_training_has_the_trainings_of_what_it_is_made_from():
    seeds = OF_STUDENT | {"seeds": [0, 1, 2, 3]}
    assert pairs([0], seeds, student=[0, 1, 2]) == SeedPairs(((0, 0), (0, 1), (0, 2)), fixed=0)
    assert pairs([0, 1], seeds, student=[0, 1]) == SeedPairs(((0, 0), (1, 1)))

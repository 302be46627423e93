"""Token ids put together from pieces against full retokenisation of the masked texts, on texts that are hard to cut."""

import functools
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tokenizer_kinds
import torch
import transformers
from tokenizer_kinds import KINDS, Kind
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors

from trusteq import words
from trusteq.attribution.explain import explain
from trusteq.attribution.features import Texts, _up_to_a_word
from trusteq.attribution.tokens import TokenPredictor
from trusteq.examples.load import load_examples
from trusteq.models.classifier import Classifier, as_classifier

SHARED_HUB = Path(__file__).parents[2].parent / "shared" / "hub"
HUB = Path(os.environ.get("TRUSTEQ_HUB") or SHARED_HUB)
MINILM = HUB / "models" / "sentence-transformers" / "all-MiniLM-L6-v2"
needs_the_mirror = pytest.mark.skipif(not MINILM.is_dir(), reason="no MiniLM in TRUSTEQ_HUB or ../shared/hub")

TEXTS = [
    "Two men aren't playing chess; they've lost (again), haven't they?",
    "snake_case __init__ _ a_b_c and x__y, _end",
    "emoji 😀 glued😀to words, 👩‍👩‍👧 family, flags 🇩🇪🇫🇷, thumbs👍🏽up ❤️",
    "café naïve Ångström déjà-vu",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m de\u0301ja\u0300-vu \u0301alone e\u0301\u0323",
    "我爱北京天安门 and 日本語テキスト with 한국어, mixed漢字words",
    "see https://www.example.com/a_b?c=d&e=%20f#g or mail me@host.co.uk; 3.14, 1,000 and $5",
    "",
    "?! ... -- ,",
    "tabs\tand\nnew lines\r\nand\u00a0no-break\u2003wide\u3000spaces \u2028 \x0b \x85 here",
    "zero\u200bwidth\u200djoiners \ufeffmark soft\u00adhyphen left\u200e \u200b lone",
    "con\x00trol\x07 \x1bchars \x1c sep\x1farated \x7f \ufffd re\ufffdplaced",
    "the [SEP] token and [MASK], glued[SEP]here [CLS][PAD] [UNK] [sep] [ SEP ] [SEP]ing un[MASK]",
    "a " + "pneumonoultramicroscopicsilicovolcanoconiosis" * 3 + " word and " + "x" * 99 + " " + "y" * 101,
    "Straße GROSSE ẞ ß Maß; İstanbul ISPARTA ıssız I i; ΟΔΥΣΣΕΥΣ Σ σ ς ὈΔΥΣΣΕΎΣ",
    "ﬁne ligatures ﬀ ½ x² H₂O Ⅷ ① ™ ㎏ Ａｂｃ １２ ﷺ",
    "well-known state-of-the-art/rock'n'roll... (both) «quotes» “curly’s” ‘single’ it’s",
    "##ing un##ing # # ## playing##",
    "שלום עולם مرحبا بالعالم नमस्ते दुनिया ก็ ไทย",
    "ǆ ŉ ǰ K Å Ω \u0345 \u1fb3 ᾼ ﬃ",
    "𝓯𝓪𝓷𝓬𝔂 𝟙𝟚 𐐀 𠀀𠀁 \U000e0041 \ue000private",
    " leading and trailing  ",
    "one",
    "A man, a man, a man: a man!",
]
LEARNT_FROM = TEXTS[::2] * 2  # characters of the others are unknown
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SOME_WORDS = ("the", "and", "man", "men", "two", "playing", "chess", "play", "##ing", "##s", "again", "café", "cafe")
MODEL = {"hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8, "num_hidden_layers": 1, "num_labels": 3}


def vocabulary():
    """All characters of the texts in both cases, alone and as continuations, but some; a few words; special tokens."""
    both_cases = "".join(TEXTS + [text.lower() for text in TEXTS] + [text.upper() for text in TEXTS])
    parts = normalizers.NFD().normalize_str(both_cases) + both_cases
    characters = sorted({part for part in parts if not part.isspace()} - set("qΩ漢"))
    tokens = [*SPECIAL, *characters, *("##" + character for character in characters), *SOME_WORDS]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def bert(*, cased=False, limit=512):
    tokenizer = transformers.BertTokenizer(vocab=vocabulary(), do_lower_case=not cased, model_max_length=limit)
    return random_bert(tokenizer)


def random_bert(tokenizer):
    """Weights drawn wide, so that texts differ in their probabilities by far more than rounding."""
    config = transformers.BertConfig(vocab_size=len(tokenizer), initializer_range=0.5, **MODEL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return as_classifier(transformers.BertForSequenceClassification(config), tokenizer, "abc", device="cpu")


def distilbert():
    tokenizer = transformers.DistilBertTokenizer(vocab=vocabulary(), model_max_length=512)
    sizes = {"dim": 8, "n_heads": 1, "hidden_dim": 8, "n_layers": 1, "num_labels": 3}
    model = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(vocab_size=len(tokenizer), **sizes)
    )
    return as_classifier(model, tokenizer, "abc", device="cpu")


@functools.cache
def of_kind(kind):
    """A classifier without a model, with a tokenizer of a kind."""
    return Classifier(None, tokenizer_kinds.tokenizer_of(kind, LEARNT_FROM), tuple("abc"), 512)


def merging_over_spaces():
    """A tokenizer of byte pairs that nothing keeps inside a word; with a BERT, so that it can be asked."""
    loose = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return random_bert(tokenizer_kinds.tokenizer_of(Kind("bytes", loose), LEARNT_FROM))


def example(text_a, text_b=None, replacement=""):
    if text_b is None:
        return Texts("x", 3, (text_a,), replacement)
    return Texts("x", 3, (text_a, text_b), replacement)


def random_masks(rng, n, n_features):
    """Rows that keep from none to all of the words; the first keeps all, the second none."""
    masks = rng.random((n, n_features)) < rng.random((n, 1))
    masks[0], masks[1] = True, False
    return masks


def assert_as_retokenised(classifier, assembler, example, masks):
    rows, expected = example.rows(masks, assembler), classifier.encode(*example.texts(masks))
    np.testing.assert_array_equal(rows.lengths, expected.lengths)
    kept = np.arange(expected.ids.shape[1]) < expected.lengths[:, None]
    np.testing.assert_array_equal(rows.ids[kept], expected.ids[kept])
    assert (rows.types is None) == (expected.types is None)
    if expected.types is not None:
        np.testing.assert_array_equal(rows.types[kept], expected.types[kept])


# --- as retokenised: 100,000 masks in all ---


@pytest.mark.parametrize("kind", ["uncased", "cased", "distilbert"])
@pytest.mark.parametrize("replacement", ["", "[MASK]", "[UNK]"])
def test_assembled_rows_are_those_of_the_masked_texts(kind, replacement):
    classifier = distilbert() if kind == "distilbert" else bert(cased=kind == "cased")
    assembler, rng = TokenPredictor(classifier), np.random.default_rng(0)
    for number, text in enumerate(TEXTS):
        for second in (None, TEXTS[number - 5]):
            hard = example(text, second, replacement)
            assert_as_retokenised(classifier, assembler, hard, random_masks(rng, 235, hard.n_features))


@needs_the_mirror
@pytest.mark.parametrize("replacement", ["", "[MASK]", "[UNK]"])
def test_real_vocabulary_and_text(replacement):
    tokenizer = transformers.AutoTokenizer.from_pretrained(MINILM)
    classifier = Classifier(None, tokenizer, tuple("abc"), 512)
    assembler, rng = TokenPredictor(classifier), np.random.default_rng(0)
    real = load_examples("snli", "test", hub=HUB, limit=40)
    pairs = [*zip(real["text_a"], real["text_b"], strict=True), *zip(TEXTS, TEXTS[3:] + TEXTS[:3], strict=True)]
    for first, second in pairs:
        for pair in (example(first, second, replacement), example(second, None, replacement)):
            assert_as_retokenised(classifier, assembler, pair, random_masks(rng, 50, pair.n_features))


def test_the_texts_are_as_hard_as_they_look():
    """Guard of the tests above: unknown, split and removed pieces do occur."""
    tokenizer = bert().tokenizer
    ids = tokenizer(TEXTS)["input_ids"]
    tokens = {token for row in ids for token in tokenizer.convert_ids_to_tokens(row)}
    assert {"[UNK]", "[SEP]", "[MASK]", "[CLS]", "[PAD]"} <= tokens
    assert any(token.startswith("##") for token in tokens)
    assert tokenizer.tokenize("\u200b \x07") == [] and words.words("\u200b \x07") == []
    assert max(len(words.words(piece)) for text in TEXTS for piece in text.split()) >= 9


def test_each_piece_is_tokenised_once():
    assembler, text = TokenPredictor(bert()), example("the man, the man and isn't")
    masks = random_masks(np.random.default_rng(0), 200, text.n_features)
    text.rows(masks, assembler)
    words_of = {"the": 1, "man,": 1, "man": 1, "and": 1, "isn't": 2}
    expected = {(piece, kept, "") for piece, n_words in words_of.items() for kept in range(2**n_words)}
    assert set(assembler.known) == {(*of, False) for of in expected}
    before = dict(assembler.known)
    text.rows(masks, assembler)
    assert assembler.known == before


def test_other_uses_of_the_tokenizer_do_not_matter():
    """A tokenizer keeps padding and truncation between calls; a piece must have neither."""
    classifier = bert()
    classifier.tokenizer(["a"], padding="max_length", max_length=40)
    assembler, rng = TokenPredictor(classifier), np.random.default_rng(0)
    for text in TEXTS[:3]:
        assert_as_retokenised(classifier, assembler, example(text), random_masks(rng, 20, example(text).n_features))
        classifier.tokenizer(["a"], padding="max_length", truncation=True, max_length=5)


UNSPACED = ["我今天去北京大学看书。", "がぎぐのプログラム", "ฉันใช้ iPhone15 ทุกวัน", "tiếng Việt, cafés", "हिन्दी क्\u200dष"]


@pytest.mark.parametrize("cased", [True, False])
def test_words_of_all_scripts_are_put_together_and_composed_or_not_have_the_same_places(cased):
    classifier = bert(cased=cased)
    tables = []
    for form in ("NFC", "NFD"):
        texts = [unicodedata.normalize(form, text) for text in UNSPACED]
        for text in map(example, texts):
            masks = random_masks(np.random.default_rng(0), 30, text.n_features)
            assert_as_retokenised(classifier, TokenPredictor(classifier), text, masks)
        tables.append(explain(classifier, table(*((text, texts[0]) for text in texts)), method="occlusion"))
    composed, decomposed = (table.drop(columns="weight") for table in tables)
    pd.testing.assert_frame_equal(composed, decomposed)
    assert tables[0].attrs["segmentation"] == words.segmentation(UNSPACED[:1])
    assert tables[0].attrs == tables[1].attrs
    if not cased:  # a tokenizer that drops accents sees one text
        composed, decomposed = (table[table["id"] == "x-3"] for table in tables)
        pd.testing.assert_frame_equal(composed, decomposed)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accent_at_the_end_of_what_is_read_cuts_no_word(form):
    """A tokenizer that drops accents ends a word's last token before an accent that stands by itself."""
    text = unicodedata.normalize(form, "the café, " * 20)
    explained = explain(bert(limit=16), table((text, None)), method="occlusion")
    assert explained.attrs["cut"] == {"x-0": 40 - 10}  # of 14 tokens, each café is one, and so is each comma
    assert explained["position"].max() == 9 and set(explained["word"]) == {"the", "café"}


@pytest.mark.parametrize(
    "text",
    [
        "私は東京に住んでいますがデータベースを作る仕事をしています",
        "ฉันไปโรงเรียนวันนี้และพรุ่งนี้ตากลม",
        UNSPACED[0] * 3,
        "ใจใจทำ",
    ],
)
def test_words_before_the_cut_are_the_first_of_the_whole_text(text):
    for end in range(len(text) + 1):
        shorter = _up_to_a_word(text, end)
        assert text.startswith(shorter) and len(shorter) <= end
        known = words.spans(text)
        assert words.spans(shorter) == known[: len(words.spans(shorter))]


# --- where a space belongs to the piece after it ---

# What a piece's neighbours, its normaliser or its place might change, glued in any order.
ATOMS = [
    *"abXYZ019.,!?'-_()\"`#@&<>=",
    "'s",
    "n't",
    "''",
    "``",
    "the",
    "man",
    "é",
    "e\u0301",
    "\u0301",
    "\u0338",
    "¨",
    "x¨",
]
ATOMS += [
    "\u0600",
    "\u06dd",
    "\u200b",
    "\ufeff",
    "\u200d",
    "😀",
    "👍🏽",
    "我",
    "漢",
    "ﬁ",
    "½",
    "Ａ",
    "ß",
    "İ",
    "Σ",
    "▁",
    "▁▁",
    "Ġ",
]
ATOMS += [
    "<s>",
    "</s>",
    "/s>",
    "<unk>",
    "<mask>",
    "[MASK]",
    "<0x41>",
    "|||IP|||",
    "\x00",
    "\x07",
    "\xad",
    "क्",
    "𝓯",
    "\ue000",
]
ATOMS += ["\u1680", "\u3000", "\u2028", "\x1c", "\t", "\n", "\r\n", "\u00a0", "  ", *" " * 16]


def glued(rng):
    return "".join(rng.choice(ATOMS, size=rng.integers(25)))


@pytest.mark.parametrize("replacement", ["", "<mask>", "<unk>"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_ids_of_the_masked_texts_or_falls_back(name, replacement):
    classifier, rng = of_kind(KINDS[name]), np.random.default_rng(0)
    assembler, put, plain = TokenPredictor(classifier), 0, 0
    texts = TEXTS + [glued(rng) for _ in range(40)]
    for number, text in enumerate(texts):
        for second in (None,) if classifier.needs_template else (None, texts[number - 5]):
            hard = example(text, second, replacement)
            masks = random_masks(rng, 20, hard.n_features)
            if hard.rows(masks, assembler) is not None:
                put, plain = put + 1, plain + (text.isascii() and hard.n_features > 1)
                assert_as_retokenised(classifier, assembler, hard, masks)
    starts_anew = replacement and name == "Llama, legacy"  # it puts a space after what an added token ends
    assert plain == 0 if starts_anew else plain >= 5 and put >= 20


def test_the_texts_of_all_kinds_are_as_hard_as_they_look():
    """Guard of the test above: pieces have other ids at the start, marks and bytes occur, and what is unknown."""
    tokens = {
        name: {token for ids in of_kind(KINDS[name]).tokenizer(TEXTS)["input_ids"]
               for token in of_kind(KINDS[name]).tokenizer.convert_ids_to_tokens(ids)}
        for name in ("RoBERTa", "Llama", "XLM-R")
    }  # fmt: skip
    assert {"the", "Ġ", "<s>"} <= tokens["RoBERTa"]
    assert {"▁", "▁playing", "<0xE2>"} <= tokens["Llama"]
    assert {"▁", "▁the", "the", "<unk>"} <= tokens["XLM-R"]


@pytest.mark.parametrize("name", ["RoBERTa", "Qwen", "Llama 3", "SmolLM"])
def test_every_character_but_white_space_ends_a_part_before_a_space(name):
    """What a tokenizer of byte pairs takes for white space is white space for us too, in all of Unicode."""
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    pieces = [one for one in characters if not one.isspace()]
    for start in range(0, len(pieces), 1 << 16):
        text = " ".join(pieces[start : start + (1 << 16)])
        parts = KINDS[name].splitter.pre_tokenize_str(text)
        starts = {begin for _, (begin, _) in parts}
        assert starts >= {place for place, one in enumerate(text) if one == " "}


def test_a_text_without_tokens_is_read_as_the_classifier_reads_it():
    classifier = of_kind(KINDS["Qwen"])
    masks = np.array([[True, True], [False, True], [False, False]])
    assembler, text = TokenPredictor(classifier), example("the man")
    assert_as_retokenised(classifier, assembler, text, masks)
    assert text.rows(masks, assembler).ids[2, 0] == classifier.tokenizer.bos_token_id


CHANGES = {
    "a part over many words": {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)},
    "another pattern": {"pre_tokenizer": tokenizer_kinds.pattern(r"\w+ \w+|\s|.")},
    "parts by script": {"pre_tokenizer": pre_tokenizers.UnicodeScripts()},
    "no parts": {"pre_tokenizer": None},
    "pairs of words": {"normalizer": normalizers.Replace("e m", "em")},
    "a pattern replaced": {"normalizer": normalizers.Replace(Regex("e.m"), "em")},
    "no spaces": {"normalizer": normalizers.Replace(" ", "")},
    "marks, and parts by spaces": {"normalizer": normalizers.Replace(" ", "▁")},
    "chance": {"model": models.BPE({"t": 0, "Ġ": 1, "h": 2, "th": 3}, [("t", "h")], dropout=0.5)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_parts_that_look_beyond_a_space_fall_back(change):
    tokenizer = tokenizer_kinds.tokenizer_of(KINDS["RoBERTa"], LEARNT_FROM)
    for name, part in CHANGES[change].items():
        setattr(tokenizer.backend_tokenizer, name, part)
    masks = np.ones((1, 2), dtype=bool)
    assert example("the man").rows(masks, TokenPredictor(Classifier(None, tokenizer, tuple("abc"), 512))) is None


def test_byte_pairs_without_parts_are_put_together_only_where_no_token_goes_beyond_a_space():
    masks = random_masks(np.random.default_rng(0), 10, 4)
    text = example("the man is playing")
    for learnt_by, is_put in ((tokenizer_kinds.marks(), True), (None, False)):
        kind = Kind("pairs", None, KINDS["Llama, legacy"].normaliser, learnt_by=learnt_by, in_bytes=True)
        classifier = of_kind(kind)
        beyond = [token for token in classifier.tokenizer.get_vocab() if "▁" in token.lstrip("▁")]
        assert (text.rows(masks, TokenPredictor(classifier)) is not None) == is_put == (not beyond)


@pytest.mark.parametrize(("token", "is_put"), [("two men", False), ("   ", True), ("\n", False), ("aren", True)])
def test_added_tokens_that_lie_inside_a_piece_or_never_occur_are_no_hindrance(token, is_put):
    tokenizer = tokenizer_kinds.tokenizer_of(KINDS["ModernBERT"], LEARNT_FROM)
    tokenizer.add_tokens([AddedToken(token, normalized=True)])
    classifier = Classifier(None, tokenizer, tuple("abc"), 512)
    plain, holds_one = example("the man, the man"), example("two men aren't playing")
    for text, put in ((plain, is_put), (holds_one, is_put and token == "   ")):
        masks = random_masks(np.random.default_rng(0), 10, text.n_features)
        assert (text.rows(masks, TokenPredictor(classifier)) is not None) == put
        if put:
            assert_as_retokenised(classifier, TokenPredictor(classifier), text, masks)


def test_a_tokenizer_that_changes_its_texts_before_its_parts_see_them_falls_back():
    """Its parts promise what the whole does not keep: the whole example is compared once."""

    class Shouting(transformers.PreTrainedTokenizerFast):
        def _encode_plus(self, text, *others, **options):
            shouted = [one.upper() if len(one) > 9 else one for one in ([text] if isinstance(text, str) else text)]
            return super()._encode_plus(shouted if isinstance(text, list) else shouted[0], *others, **options)

    backend = of_kind(KINDS["Qwen"]).tokenizer.backend_tokenizer
    classifier = Classifier(None, Shouting(tokenizer_object=backend), tuple("abc"), 512)
    assert example("the man, the").rows(np.ones((1, 3), dtype=bool), TokenPredictor(classifier)) is None


# --- where pieces are not enough ---


def table(*texts):
    """Examples from (text_a, text_b)."""
    return pd.DataFrame([(f"x-{n}", *pair) for n, pair in enumerate(texts)], columns=["id", "text_a", "text_b"])


class ByText:
    """The same probabilities, without the token ids."""

    def __init__(self, classifier):
        self.predict_proba, self.labels = classifier.predict_proba, classifier.labels


def assert_falls_back(classifier, examples, *, retokenised, **options):
    """Explained with fallback; the weights are those by text."""
    ours = explain(classifier, examples, n_samples=60, **options)
    assert ours.attrs["retokenised"] == retokenised
    by_text = explain(ByText(classifier), examples, n_samples=60, **options)
    assert by_text.attrs["retokenised"] == 0
    pd.testing.assert_frame_equal(ours, by_text, check_exact=False, rtol=0, atol=1e-6)
    assert ours["weight"].abs().max() > 1e-3


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_another_tokenizer_falls_back_and_is_counted(method):
    classifier, whole = merging_over_spaces(), np.ones((1, 2), dtype=bool)
    for replacement in ("", "<mask>"):
        text = example("the man", replacement=replacement)
        assert text.rows(whole, TokenPredictor(classifier)) is None
    examples = table(("the man is playing", "two men"), ("well-known café", None), ("one", ""))
    assert_falls_back(classifier, examples, retokenised=3, method=method)


@pytest.mark.parametrize("kind", ["BERT", "RoBERTa", "Llama"])
def test_these_tokenizers_need_no_fallback(kind):
    classifier = bert() if kind == "BERT" else random_bert(tokenizer_kinds.tokenizer_of(KINDS[kind], LEARNT_FROM))
    examples = table(("the man is playing", "two men"), ("well-known café", None), ("one", ""))
    assert_falls_back(classifier, examples, retokenised=0, method="lime")


def test_rows_longer_than_the_model_takes_fall_back():
    """A literal "[SEP]" is one token, and "[]", without its word, two: a masked text can be longer than the whole."""
    classifier = bert(limit=12)
    grows = example("the [SEP] [SEP] [SEP] [SEP] [SEP] [SEP] man")
    masks = np.ones((3, grows.n_features), dtype=bool)
    assert_as_retokenised(classifier, TokenPredictor(classifier), grows, masks)
    masks[2, 1:7] = False
    assert grows.rows(masks, TokenPredictor(classifier)) is None
    assert_falls_back(classifier, table((grows.sides[0], None), ("the man", "a")), retokenised=1, method="lime")


def test_a_piece_of_very_many_words_falls_back():
    classifier = bert()
    for n_words, assembled in ((12, True), (13, False)):
        chain = example("-".join("ab"[n % 2] for n in range(n_words)))
        masks = random_masks(np.random.default_rng(0), 30, n_words)
        if assembled:
            assert_as_retokenised(classifier, TokenPredictor(classifier), chain, masks)
        else:
            assert chain.rows(masks, TokenPredictor(classifier)) is None
            assert_falls_back(classifier, table((chain.sides[0], None)), retokenised=1, method="lime")


@pytest.mark.parametrize("change", ["token types", "words with spaces", "a normaliser"])
def test_tokenizers_almost_like_berts_are_none(change):
    """What they make of a text is not that of its pieces: they fall back, or are assembled right."""
    classifier = bert()
    backend = classifier.tokenizer.backend_tokenizer
    if change == "token types":  # as Funnel's, whose first token is of a type of its own
        ends = [(token, classifier.tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
        pair = "[CLS]:1 $A [SEP] $B:1 [SEP]:1"
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS]:1 $A [SEP]", pair=pair, special_tokens=ends
        )
    elif change == "words with spaces":
        classifier.tokenizer.add_tokens(["two men"])
    else:  # a mark at the start of the text, not of each piece
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("x"), backend.normalizer])
    text = example("two men, two men", "the man")
    masks = random_masks(np.random.default_rng(0), 60, text.n_features)
    assembler = TokenPredictor(classifier)
    if text.rows(masks, assembler) is not None:
        assert_as_retokenised(classifier, assembler, text, masks)

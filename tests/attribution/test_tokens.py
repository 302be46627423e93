"""Token ids put together from pieces against full retokenisation of the masked texts, on texts that are hard to cut."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

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


def byte_level():
    """A tokenizer that joins a word and the space before it, as RoBERTa's; with a BERT, so that it can be asked."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **names)
    return random_bert(tokenizer)


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
    assert set(assembler.known) == expected
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
@pytest.mark.parametrize("mask", ["delete", "[MASK]"])
def test_another_tokenizer_falls_back_and_is_counted(method, mask):
    classifier = byte_level()
    assert example("the man").rows(np.ones((1, 2), dtype=bool), TokenPredictor(classifier)) is None
    examples = table(("the man is playing", "two men"), ("well-known café", None), ("one", ""))
    assert_falls_back(classifier, examples, retokenised=3, method=method, mask=mask)


def test_a_bert_tokenizer_needs_no_fallback():
    classifier = bert()
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
    for n_words, assembled in ((62, True), (63, False)):
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

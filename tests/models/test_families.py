"""The families of models, one row each: what ours says against the plain library, and what can be explained.

`python tests/models/test_families.py` writes data/families.csv anew; the test holds it to what it finds. All weights
are random, drawn so wide that texts differ; tokenizers are of the family's own class, with a small vocabulary. Left
out: Funnel, which cannot read a text without words alone.
"""

import itertools
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from refusals import one_line, refused
from tokenizers import models, pre_tokenizers, processors, trainers

from trusteq.attribution.explain import explain, gradient_notes
from trusteq.attribution.methods import METHODS, STEPS
from trusteq.errors import ExperimentError, ModelError
from trusteq.models.classifier import load_classifier
from trusteq.models.forward import is_bert
from trusteq.project import root

TABLE = root() / "data" / "families.csv"
LABELS = ("no", "yes", "maybe")
TEXTS = [
    ("The man isn't reading, is he?", "a dog runs"),
    ("a dog", "A woman runs in the park and a man sleeps in the house."),
    ("the man reads", "the man reads, a dog sleeps"),
    ("dog", "."),
    ("A woman runs in the park and a man sleeps in the house.", "a woman reads, and the dog runs in the park"),
]
EXAMPLES = pd.DataFrame(
    [("pair", "the man isn't reading", "a dog, he runs"), ("short", "a dog", "runs"), ("none", ".", "dog")],
    columns=["id", "text_a", "text_b"],
)
SHORT = "man reads dog"  # for exact Shapley values, by all eight of its masks
TEMPLATE = "the house: {text_a} in the park: {text_b} is"
N_SAMPLES = {"integrated-gradients": 1000}  # of the others 60
WITHIN = 1e-5

# --- tokenizers, each of the family's own class ---

WORDS = ["the", "a", "man", "woman", "dog", "reads", "runs", "sleeps", "reading", "in", "park", "house", "and", "is"]
WORDS += ["isn", "he", "The", "A"]
CHARACTERS = [chr(code) for code in range(33, 127)]


def word_piece(kind, special="[PAD] [UNK] [CLS] [SEP] [MASK]"):
    tokens = [*special.split(), *CHARACTERS, *("##" + one for one in CHARACTERS), *WORDS]
    return getattr(transformers, kind)(vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))})


def pairs_of_bytes(special, alphabet, pre_tokenizer):
    """The vocabulary and the merges of byte pairs, learnt from the texts."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer
    options = {"initial_alphabet": alphabet, "special_tokens": special, "show_progress": False}
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + len(special) + 60, **options)
    backend.train_from_iterator([text for pair in TEXTS for text in pair] * 3, trainer)
    found = json.loads(backend.to_str())["model"]
    return {"vocab": found["vocab"], "merges": [tuple(pair) for pair in found["merges"]]}


def byte_level(kind, special="<s> <pad> </s> <unk> <mask>", **options):
    byte = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learnt = pairs_of_bytes(special.split(), sorted(byte.alphabet()), byte)
    return getattr(transformers, kind)(**learnt, **options)


def ended(tokenizer, single, pair):
    """The tokenizer with other special tokens around the texts, which its files say where the class does not."""
    known = [(token, tokenizer.convert_tokens_to_ids(token)) for token in tokenizer.all_special_tokens]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single, pair, special_tokens=known)
    return tokenizer


def modern_bert():
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    special = " ".join(names.values())
    learnt = byte_level("GPT2Tokenizer", special).backend_tokenizer
    kind = transformers.PreTrainedTokenizerFast
    return ended(kind(tokenizer_object=learnt, **names), "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")


def llama():
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learnt = pairs_of_bytes(special, CHARACTERS, pre_tokenizers.Metaspace())
    return ended(transformers.LlamaTokenizer(**learnt), "<s> $A", "<s> $A <s>:1 $B:1")


def pieces(kind, special, **options):
    """Pieces with a probability each, of a family that marks where a word starts."""
    vocabulary = [(token, 0.0) for token in special.split()]
    vocabulary += [("▁" + word, -2.0) for word in WORDS] + [(one, -8.0) for one in [*CHARACTERS, "▁"]]
    return getattr(transformers, kind)(vocab=vocabulary, **options)


# --- families ---


@dataclass(frozen=True)
class Family:
    """kind: of the model, as the library names its classes. tokens: makes its tokenizer. config: what is not BERT's."""

    title: str
    like: str  # a checkpoint that somebody has
    kind: str
    tokens: Callable
    config: dict = field(default_factory=dict)


SIZES = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {"initializer_range": 0.3}
BERT = SIZES | WIDE
PADDED = BERT | {"max_position_embeddings": 66, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
DEBERTA = (
    BERT
    | RELATIVE
    | {"initializer_range": 0.15}
    | {"share_att_key": True, "norm_rel_ebd": "layer_norm", "position_buckets": 8}
)
DEBERTA |= {"max_relative_positions": -1, "type_vocab_size": 0, "pooler_hidden_size": 32}
DECODER = BERT | {"num_key_value_heads": 1, "pad_token_id": None}
SEQ2SEQ = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
SEQ2SEQ |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "init_std": 0.3}
END = "<|endoftext|>"


def bert_tokens():
    return word_piece("BertTokenizer")


def roberta_tokens():
    return byte_level("RobertaTokenizer")


def xlm_tokens():
    return pieces("XLMRobertaTokenizer", "<s> <pad> </s> <unk> <mask>")


def deberta_tokens():
    return pieces("DebertaV2Tokenizer", "[PAD] [CLS] [SEP] [UNK] [MASK]")


def gpt2_tokens():
    return byte_level("GPT2Tokenizer", END)


FAMILIES = [
    Family("BERT", "google-bert/bert-base-uncased", "Bert", bert_tokens, BERT),
    Family(
        "DistilBERT",
        "distilbert/distilbert-base-uncased",
        "DistilBert",
        lambda: word_piece("DistilBertTokenizer"),
        {"dim": 32, "hidden_dim": 32, "n_layers": 2, "n_heads": 2} | {"initializer_range": 0.2},
    ),
    Family("RoBERTa", "FacebookAI/roberta-base", "Roberta", roberta_tokens, PADDED),
    Family("XLM-R", "FacebookAI/xlm-roberta-base", "XLMRoberta", xlm_tokens, PADDED),
    Family(
        "DeBERTa",
        "microsoft/deberta-base",
        "Deberta",
        lambda: byte_level("DebertaTokenizer", "[PAD] [UNK] [CLS] [SEP] [MASK]"),
        BERT | RELATIVE | {"type_vocab_size": 0, "initializer_range": 0.1},
    ),
    Family(
        "DeBERTa v2",
        "microsoft/deberta-v2-xlarge",
        "DebertaV2",
        deberta_tokens,
        DEBERTA | {"conv_kernel_size": 3, "conv_act": "gelu"},
    ),
    Family(
        "DeBERTa v3", "microsoft/deberta-v3-base", "DebertaV2", deberta_tokens, DEBERTA | {"initializer_range": 0.15}
    ),
    Family(
        "ALBERT",
        "albert/albert-base-v2",
        "Albert",
        lambda: pieces("AlbertTokenizer", "<pad> <unk> [CLS] [SEP] [MASK]"),
        BERT | {"embedding_size": 16},
    ),
    Family("ELECTRA", "google/electra-small-discriminator", "Electra", bert_tokens, BERT | {"embedding_size": 16}),
    Family(
        "MPNet",
        "microsoft/mpnet-base",
        "MPNet",
        lambda: word_piece("MPNetTokenizer", "<s> <pad> </s> [UNK] <mask>"),
        PADDED,
    ),
    Family(
        "ModernBERT",
        "answerdotai/ModernBERT-base",
        "ModernBert",
        modern_bert,
        BERT
        | {
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "local_attention": 4,
            "global_attn_every_n_layers": 2,
        },
    ),
    Family(
        "XLNet",
        "xlnet/xlnet-base-cased",
        "XLNet",
        lambda: pieces("XLNetTokenizer", "<unk> <s> </s> <cls> <sep> <pad> <mask>"),
        {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 32, "pad_token_id": 5} | WIDE,
    ),
    Family(
        "Longformer",
        "allenai/longformer-base-4096",
        "Longformer",
        roberta_tokens,
        PADDED | {"attention_window": [4, 4], "sep_token_id": 2},
    ),
    Family(
        "BigBird",
        "google/bigbird-roberta-base",
        "BigBird",
        lambda: pieces("BigBirdTokenizer", "<unk> <s> </s> <pad> [SEP] [MASK] [CLS]"),
        BERT | {"attention_type": "original_full", "pad_token_id": 3},
    ),
    Family(
        "FNet",
        "google/fnet-base",
        "FNet",
        deberta_tokens,
        BERT | {"pad_token_id": 0},
    ),
    Family(
        "GPT-2",
        "openai-community/gpt2",
        "GPT2",
        gpt2_tokens,
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0} | WIDE,
    ),
    Family(
        "GPT-NeoX",
        "EleutherAI/pythia-160m",
        "GPTNeoX",
        lambda: byte_level("GPTNeoXTokenizer", END),
        BERT | {"bos_token_id": 0, "eos_token_id": 0},
    ),
    Family("Llama", "meta-llama/Llama-3.2-1B", "Llama", llama, DECODER | {"bos_token_id": 1, "eos_token_id": 2}),
    Family(
        "SmolLM",
        "HuggingFaceTB/SmolLM2-135M",
        "Llama",
        gpt2_tokens,
        DECODER | {"tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0},
    ),
    Family(
        "Qwen2",
        "Qwen/Qwen2.5-0.5B",
        "Qwen2",
        lambda: byte_level("Qwen2Tokenizer", END),
        DECODER | {"bos_token_id": 0, "eos_token_id": 0},
    ),
    Family(
        "Qwen3",
        "Qwen/Qwen3-0.6B",
        "Qwen3",
        lambda: byte_level("Qwen2Tokenizer", END),
        DECODER | {"head_dim": 16, "bos_token_id": 0, "eos_token_id": 0},
    ),
    Family(
        "BART",
        "facebook/bart-base",
        "Bart",
        lambda: byte_level("BartTokenizer"),
        SEQ2SEQ | {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    ),
    Family(
        "T5",
        "google-t5/t5-small",
        "T5",
        lambda: pieces("T5Tokenizer", "<pad> </s> <unk>", extra_ids=0),
        {
            "d_model": 32,
            "d_kv": 16,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 2,
            "initializer_factor": 3.0,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
            "eos_token_id": 1,
        },
    ),
]


@dataclass(frozen=True)
class Saved:
    """A checkpoint with random weights, and the plain library's model and tokenizer of it."""

    family: Family
    folder: Path
    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase

    @classmethod
    def of(cls, family: Family, folder: Path) -> "Saved":
        """Save a model of the family, and load it again."""
        words = family.tokens()
        names = {"id2label": dict(enumerate(LABELS)), "label2id": {label: at for at, label in enumerate(LABELS)}}
        config = getattr(transformers, f"{family.kind}Config")(vocab_size=len(words), **names, **family.config)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            getattr(transformers, f"{family.kind}ForSequenceClassification")(config).save_pretrained(folder)
        words.save_pretrained(folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        return cls(family, folder, model, transformers.AutoTokenizer.from_pretrained(folder))

    @property
    def between(self) -> str:
        """What the tokenizer puts between the texts of a pair."""
        pair = self.tokenizer("a", "b")
        parts, tokens = pair.sequence_ids(), self.tokenizer.convert_ids_to_tokens(pair["input_ids"])
        first, last = parts.index(0), len(parts) - 1 - parts[::-1].index(1)
        known = zip(tokens[first:last], parts[first:last], strict=True)
        return "".join(token for token, part in known if part is None)

    def says(self, *texts: str) -> np.ndarray:
        """The library's probabilities of one text or pair, (classes,); by the template where nothing stands between."""
        if len(texts) == 2 and not self.between:
            texts = (TEMPLATE.format(text_a=texts[0], text_b=texts[1]),)
        with torch.inference_mode():
            # In lists: an empty second text, given as it is, would be taken for none.
            inputs = self.tokenizer(*[[text] for text in texts], return_tensors="pt")
            return self.model(**inputs).logits[0].softmax(dim=-1).numpy()


def classifier_of(saved: Saved):
    """Ours, with a template where the pair needs one; without it a pair is refused."""
    if saved.between:
        return load_classifier(saved.folder, device="cpu")
    plain = load_classifier(saved.folder, device="cpu")
    one_line(ModelError, lambda: plain.predict_proba(["a"], ["b"]), "puts nothing between", "template=")
    return load_classifier(saved.folder, device="cpu", template=TEMPLATE)


def check_predictions(saved: Saved, classifier) -> None:
    """Pairs and single texts, in batches of unequal lengths and alone, are the library's."""
    for columns in ((0,), (0, 1)):
        texts = [tuple(pair[column] for column in columns) for pair in TEXTS]
        expected = np.stack([saved.says(*one) for one in texts])
        assert np.ptp(expected, axis=0).max() > 0.01  # a thousand times what they may differ by
        together = classifier.predict_proba(*map(list, zip(*texts, strict=True)))
        alone = np.concatenate([classifier.predict_proba(*[[part] for part in one]) for one in texts])
        np.testing.assert_allclose(together, expected, rtol=0, atol=WITHIN)
        np.testing.assert_allclose(alone, expected, rtol=0, atol=WITHIN)


def explained(classifier, method: str, examples: pd.DataFrame = EXAMPLES) -> pd.DataFrame:
    return explain(classifier, examples, method=method, n_samples=N_SAMPLES.get(method, 60))


def check_words_left_out(saved: Saved, classifier) -> pd.DataFrame:
    """Every method that leaves words out is the same in company as alone; two are held to the library's own answers."""
    for method in ("lime", "shap", "shapley", "occlusion", "random"):
        table = explained(classifier, method)
        alone = [explained(classifier, method, EXAMPLES.iloc[[row]])["weight"] for row in range(len(EXAMPLES))]
        assert np.isfinite(table["weight"]).all()
        np.testing.assert_allclose(table["weight"], np.concatenate(alone), rtol=0, atol=WITHIN)
    short = EXAMPLES[EXAMPLES["id"] == "short"]
    occluded = explained(classifier, "occlusion", short)["weight"].to_numpy().reshape(3, 3).T
    fewer = [("dog", "runs"), ("a", "runs"), ("a dog", "")]
    expected = [saved.says("a dog", "runs") - saved.says(*texts) for texts in fewer]
    np.testing.assert_allclose(occluded, expected, rtol=0, atol=2 * WITHIN)
    single = pd.DataFrame([("s", SHORT, None)], columns=["id", "text_a", "text_b"])
    shapley = explained(classifier, "shapley", single)["weight"].to_numpy().reshape(3, 3).T
    np.testing.assert_allclose(shapley, exact_shapley(saved), rtol=0, atol=2 * WITHIN)
    return explained(classifier, "occlusion")


def exact_shapley(saved: Saved) -> np.ndarray:
    """Each word's mean gain over all orders in which the words can come, (words, classes)."""
    words, values = SHORT.split(), {}
    for kept in itertools.product([True, False], repeat=len(words)):
        text = " ".join(word for word, keep in zip(words, kept, strict=True) if keep)
        # Of a text without a token no library says anything; ours reads the token that starts or ends a text then.
        empty = not saved.tokenizer(text)["input_ids"]
        values[kept] = saved.says(saved.tokenizer.bos_token or saved.tokenizer.eos_token if empty else text)
    found = np.zeros((len(words), 3))
    for order in itertools.permutations(range(len(words))):
        for place, word in enumerate(order):
            before, after = (tuple(at in order[:stop] for at in range(len(words))) for stop in (place, place + 1))
            found[word] += values[after] - values[before]
    return found / math.factorial(len(words))


def gradients(classifier, method: str) -> str:
    """What a gradient method makes of the examples, in a word or two; the same in company as alone."""
    try:
        table = explained(classifier, method)
    except ExperimentError as refusal:
        assert "\n" not in str(refusal) and str(refusal).startswith(method)
        return "refused"
    alone = [explained(classifier, method, EXAMPLES.iloc[[row]])["weight"] for row in range(len(EXAMPLES))]
    np.testing.assert_array_equal(table["weight"], np.concatenate(alone))
    assert np.isfinite(table["weight"]).all()
    noted = gradient_notes(table)
    if method == "integrated-gradients":
        first = gradient_notes(explain(classifier, EXAMPLES, method=method, n_samples=STEPS * len(LABELS)))
        return "above 5%, noted" if noted else "within 5% by more steps" if first else "within 5%"
    assert ("0, noted" if noted else "given") == ("0, noted" if table["weight"].abs().max() < 1e-4 else "given")
    return "0, noted" if noted else "given"


def row_of(family: Family, folder: Path) -> dict[str, str]:
    """Check a family; return its row of the table."""
    saved = Saved.of(family, folder)
    classifier = classifier_of(saved)
    check_predictions(saved, classifier)
    by_ids = not check_words_left_out(saved, classifier).attrs["retokenised"]
    own = is_bert(classifier.model)
    return {
        "family": family.title,
        "such as": family.like,
        "between the texts of a pair": f"`{saved.between}`" if saved.between else "a template",
        "predictions, alone and in batches": "within 1e-5",
        "a batch": "of equal lengths" if classifier.equal_lengths else "padded",
        "fast path": " and ".join(["token ids"] * by_ids + ["forward pass"] * own) or "none",
        "words left out": "right",
        "integrated gradients: delta": gradients(classifier, "integrated-gradients"),
        "gradient x input": gradients(classifier, "gradient-x-input"),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_the_row_of_a_family_is_the_one_in_the_book(family, tmp_path):
    committed = pd.read_csv(TABLE, dtype=str, keep_default_na=False).set_index("family", drop=False)
    assert row_of(family, tmp_path) == committed.loc[family.title].to_dict()


def test_the_table_has_every_family_once_and_every_method():
    assert pd.read_csv(TABLE)["family"].tolist() == [family.title for family in FAMILIES]
    checked = {"lime", "shap", "shapley", "occlusion", "random", "integrated-gradients", "gradient-x-input"}
    assert set(METHODS) == checked


# --- the boundary of a pair, in everything that a model is given ---

BY_MASKS = ("lime", "shap", "shapley", "occlusion")


def given_to(model, call) -> list[list[int]]:
    """The token ids of every row that a model is given while `call` runs, without padding."""
    rows, forward = [], model.forward

    def watched(input_ids=None, attention_mask=None, **others):
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        rows.extend(ids[kept.bool()].tolist() for ids, kept in zip(input_ids, seen, strict=True))
        return forward(input_ids, attention_mask=attention_mask, **others)

    model.forward = watched
    try:
        call()
    finally:
        del model.forward
    return rows


PAIR = EXAMPLES[EXAMPLES["id"] == "pair"]


@pytest.fixture(scope="module")
def decoders(tmp_path_factory):
    """A Llama head whose tokenizer says where the second text starts, and one whose tokenizer does not."""
    by_title = {family.title: family for family in FAMILIES}
    return {title: Saved.of(by_title[title], tmp_path_factory.mktemp(title)) for title in ("Llama", "SmolLM")}


@pytest.mark.parametrize("method", BY_MASKS)
def test_the_boundary_of_a_llama_head_stands_in_every_perturbed_input(method, decoders):
    """By a template: its own words stand around what is left of both texts, and those are no others than theirs."""
    classifier = load_classifier(decoders["SmolLM"].folder, device="cpu", template=TEMPLATE)
    rows = given_to(classifier.model, lambda: explained(classifier, method, PAIR))
    decoded = {classifier.tokenizer.decode(ids) for ids in rows}
    assert len(decoded) > 5  # of nine words
    before, between, after = "the house: ", " in the park: ", " is"
    for text in decoded:
        first, second = text.removeprefix(before).removesuffix(after).split(between)
        assert text == f"{before}{first}{between}{second}{after}"
        assert set(first.split()) <= set(["the", "man", "isn't", "reading", "isn'", "'t", "'"])
        assert set(second.split()) <= set(["a", "dog,", "he", "runs", "dog", ","])


@pytest.mark.parametrize("method", BY_MASKS)
def test_a_token_between_the_texts_stands_in_every_perturbed_input(method, decoders):
    classifier = load_classifier(decoders["Llama"].folder, device="cpu")
    rows = given_to(classifier.model, lambda: explained(classifier, method, PAIR))
    start = classifier.tokenizer.bos_token_id
    assert len({tuple(ids) for ids in rows}) > 5
    for ids in rows:
        assert ids[0] == start and ids.count(start) == 2  # where each text starts


@pytest.mark.parametrize("method", METHODS)
def test_without_a_template_every_method_is_refused_in_one_line(method, decoders):
    classifier = load_classifier(decoders["SmolLM"].folder, device="cpu")
    if METHODS[method].needs_padding:
        classifier.tokenizer.pad_token = classifier.tokenizer.eos_token
    one_line(ModelError, lambda: explained(classifier, method, PAIR), "puts nothing between", "template=")


def test_explain_from_the_shell_asks_for_a_template_and_takes_it(decoders, trusteq):
    asked = ["explain", decoders["SmolLM"].folder, "--text-a", "the man reads", "--text-b", "a dog", "--n-samples", 40]
    refused(trusteq(*asked), "puts nothing between", "template")
    done = trusteq(*asked, "--template", TEMPLATE)
    assert done.returncode == 0, done.stderr
    assert {line.split()[2] for line in done.stdout.splitlines()[2:]} == {"the", "man", "reads", "a", "dog"}


def test_explain_from_the_shell_says_what_gradients_miss(tmp_path, trusteq):
    (family,) = [family for family in FAMILIES if family.title == "DeBERTa v3"]
    folder = Saved.of(replace(family, config=family.config | WIDE), tmp_path).folder
    asked = ["explain", folder, "--text-a", "the man isn't reading", "--text-b", "a dog, he runs"]
    missed, nothing = (trusteq(*asked, "--method", method) for method in ("integrated-gradients", "gradient-x-input"))
    assert missed.returncode == nothing.returncode == 0
    assert "note: the weights of 1 of 1 examples miss what the probability gains by more than 5%" in missed.stderr
    assert "note: the model brings each embedding to one length" in nothing.stderr


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as home:
        found = [row_of(family, Path(home, str(number))) for number, family in enumerate(FAMILIES)]
    pd.DataFrame(found).to_csv(TABLE, index=False, lineterminator="\n")

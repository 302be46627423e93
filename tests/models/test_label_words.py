"""Classes told by the likelihood of label words, against a plain loop over tokens with the whole vocabulary."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line, refused
from scipy.special import logsumexp, softmax
from word_tokenizer import SPECIAL, WORDS, tokenizer

from trusteq import audit
from trusteq.attribution.explain import explain
from trusteq.attribution.methods import METHODS
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.models.build import as_it_is, build, compress, random_head
from trusteq.models.classifier import by_words, load_classifier
from trusteq.models.finetune import finetune, predict, save
from trusteq.models.label_calibration import (
    CONTENT_FREE,
    calibrated,
    facts,
    label_share,
    log_likelihoods,
    notes,
    reading,
)
from trusteq.models.label_words import SETTINGS, LabelWordsModel, tokens_of
from trusteq.models.recipe import Recipe
from trusteq.models.template import Template
from trusteq.registry import Compression, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")
ASKS = ["Review:", "Mood:", "Other:", "good", "bad", "very", "N/A", "[MASK]"]
TOKENIZER = tokenizer(tokens=SPECIAL + WORDS + ASKS)
SIZES = {"vocab_size": len(TOKENIZER), "bos_token_id": 3, "eos_token_id": 1, "initializer_range": 0.25}
LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA |= {"num_key_value_heads": 2, "max_position_embeddings": 48, "pad_token_id": None}
KINDS = {
    "Llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "SmolLM": ("LlamaForCausalLM", "LlamaConfig", LLAMA | {"tie_word_embeddings": True}),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", LLAMA | {"head_dim": 8, "final_logit_softcapping": 2.0}),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 48}),
    "Pythia": ("GPTNeoXForCausalLM", "GPTNeoXConfig", LLAMA),
    "OPT": (
        "OPTForCausalLM",
        "OPTConfig",
        {"hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "init_std": 0.4}
        | {"word_embed_proj_dim": 16, "max_position_embeddings": 48},
    ),
}
TEMPLATE = "Review: the dog sleeps in the park . Mood: bad . Review: {text_a} Mood:"
PAIRS = "Review: {text_a} Other: {text_b} Mood:"
ONE = {"no": " bad", "yes": " good"}
LONGER = {"no": " very bad", "yes": " good", "maybe": " very good the"}
WORDS_OF = {"one token each": ONE, "one is longer": LONGER, "one prefix": {"no": " very bad", "yes": " very good"}}
WORDS_OF["two prefixes"] = {"no": " very bad", "yes": " the good", "maybe": " dog"}
TEXTS = ["a dog runs", "the man", "a woman eats in the park , and the dog sleeps in a house", "a dog runs ."]
GOLD = np.array([0, 1, 1, 0])
EXAMPLES = pd.DataFrame({"id": list("abcd"), "text_a": TEXTS, "text_b": None, "label": GOLD})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = {}
    for name, (kind, config, shape) in KINDS.items():
        found[name] = tmp_path_factory.mktemp(name.replace(" ", ""))
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = getattr(transformers, kind)(getattr(transformers, config)(**SIZES | shape))
        model.save_pretrained(found[name])
        TOKENIZER.save_pretrained(found[name])
    return found


@pytest.fixture(scope="module")
def folder(folders):
    return folders["SmolLM"]


def loaded(folder, words=ONE, template=TEMPLATE, **options):
    return load_classifier(folder, device="cpu", template=template, words=words, **options)


def by_a_loop(folder, words, texts=TEXTS, template=TEMPLATE):
    """The log-likelihood of each class's word, token by token, each with a pass of its own, (texts, classes)."""
    model, found = transformers.AutoModelForCausalLM.from_pretrained(folder).eval(), []
    for text in texts:
        ids, row = TOKENIZER(template.replace("{text_a}", text))["input_ids"], []
        for word in words.values():
            read, total = list(ids), 0.0
            for token in TOKENIZER(word)["input_ids"]:
                with torch.no_grad():
                    scores = model(torch.tensor([read]), use_cache=False).logits[0, -1].double().numpy()
                total += scores[token] - logsumexp(scores)
                read.append(token)
            row.append(total)
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("words", WORDS_OF.values(), ids=WORDS_OF)
@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_a_loop_over_tokens(kind, words, folders):
    classifier, expected = loaded(folders[kind], words), by_a_loop(folders[kind], words)
    assert np.ptp(expected, axis=0).min() > 0.1
    likelihoods = log_likelihoods(classifier, TEXTS)
    np.testing.assert_allclose(likelihoods, expected, rtol=0, atol=1e-4)
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    for found in (classifier.predict_proba(TEXTS), alone):
        np.testing.assert_allclose(found, softmax(expected, axis=1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(label_share(classifier, TEXTS), np.exp(expected).sum(axis=1), rtol=0, atol=1e-5)
    by_mean = reading(classifier, by="mean").predict_proba(TEXTS)
    lengths = [len(word.split()) for word in words.values()]
    np.testing.assert_allclose(by_mean, softmax(expected / lengths, axis=1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("words", WORDS_OF.values(), ids=WORDS_OF)
def test_gradients_go_to_the_prompt_by_the_same_numbers(words, folder):
    """Outside inference nothing is shared, and embeddings are asked for once, with the prompts alone."""
    model, ids = loaded(folder, words).model, torch.tensor([TOKENIZER(TEMPLATE)["input_ids"]] * 2)
    shapes = []
    handle = model.get_input_embeddings().register_forward_hook(lambda *call: shapes.append(call[-1].shape))
    found = model(ids).logits
    handle.remove()
    assert shapes == [(2, ids.shape[1], 32)] and found.requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(found, model(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["SmolLM", "GPT-2", "Pythia"])
def test_what_all_rows_begin_with_is_computed_once(kind, folders):
    classifier = loaded(folders[kind])
    n_shared, read = len(TEMPLATE.split("{")[0].split()), []
    decoder = classifier.model.decoder.base_model
    handle = decoder.register_forward_pre_hook(
        lambda module, args, given: read.append((args[0] if args else given["input_ids"]).numel()), with_kwargs=True
    )
    texts = [f"{text} dog" for text in ("man", "woman runs", "house in the park")]
    shared = classifier.predict_proba(texts)
    lengths = [len(TEMPLATE.replace("{text_a}", text).split()) for text in texts]
    assert sum(read) == n_shared + 3 * (max(lengths) - n_shared)
    assert sum(read) < sum(lengths)
    handle.remove()
    classifier.model.__dict__["_keeps_all"] = False
    np.testing.assert_allclose(shared, classifier.predict_proba(texts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1, 2)])
def test_a_dropped_attention_changes_nothing_of_what_is_shared(layers, folders):
    """The library counts what was read in the first layer: with that one dropped, nothing is shared."""
    whole = loaded(folders["Llama"])
    whole.predict_proba(TEXTS)
    classifier = compress(whole, Compression(of="x", way="drop-attention", options={"layers": layers}))
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), alone, rtol=0, atol=1e-5)


def test_a_short_beginning_and_a_window_are_not_shared(folders):
    assert not loaded(folders["Gemma 2"]).model._keeps_all  # a sliding window
    model = loaded(folders["SmolLM"]).model
    ids = torch.arange(20).expand(2, 20).clone()
    ids[1, 7] += 1
    places = torch.tensor([[19], [19]])
    with torch.inference_mode():
        assert model._n_shared(ids, places) == 0  # seven of them
        ids[1, 7] -= 1
        assert model._n_shared(ids, places) == 19  # but the one whose successor is asked for
    assert model._n_shared(ids, places) == 0


# --- calibration ---


@pytest.mark.parametrize("words", [ONE, LONGER], ids=["one token each", "one is longer"])
def test_calibration_divides_by_the_mean_of_what_it_is_estimated_on(words, folder):
    plain, expected = loaded(folder, words), softmax(by_a_loop(folder, words), axis=1)
    free = softmax(by_a_loop(folder, words, CONTENT_FREE), axis=1).mean(axis=0)
    for name, prior, n in (("contextual", free, 3), ("batch", expected.mean(axis=0), 4)):
        found = calibrated(plain, name, (TEXTS, None))
        divided = expected / prior
        np.testing.assert_allclose(
            found.predict_proba(TEXTS), divided / divided.sum(axis=1, keepdims=True), rtol=0, atol=1e-5
        )
        assert (found.model.label_words.calibration, found.model.label_words.estimated_on) == (name, n)
        np.testing.assert_array_equal(label_share(found, TEXTS), label_share(plain, TEXTS))
    np.testing.assert_array_equal(calibrated(found, "none").predict_proba(TEXTS), plain.predict_proba(TEXTS))
    assert plain.model.label_words.calibration == plain.model.config.to_dict()[SETTINGS]["calibration"] == "none"


def test_batch_calibration_is_balanced_on_its_own_texts(folder):
    """Of two classes: where the mean of p is m, the odds of a text at p = m are even after it."""
    found = calibrated(loaded(folder), "batch", (TEXTS, None))
    prior = np.exp(found.model.label_words.log_prior)
    assert math.isclose(prior.sum(), 1, abs_tol=1e-6)
    odds = found.predict_proba(TEXTS)[:, 0] / found.predict_proba(TEXTS)[:, 1]
    before = loaded(folder).predict_proba(TEXTS)
    np.testing.assert_allclose(odds, before[:, 0] / before[:, 1] / (prior[0] / prior[1]), rtol=1e-4)


def test_what_is_said_of_a_result_names_all_of_it(folder):
    made = facts(calibrated(loaded(folder, {"no": " very bad", "yes": " good"}), "contextual"), TEXTS, None, GOLD)
    sums = by_a_loop(folder, {"no": " very bad", "yes": " good"})
    assert made["accuracy_by_sum"] == (sums.argmax(axis=1) == GOLD).mean()
    assert made["accuracy_by_mean"] == ((sums / [2, 1]).argmax(axis=1) == GOLD).mean()
    said = " ".join(notes(made))
    for part in ("no by ' very bad'", "calibration: contextual, estimated on 3", "of the probability", "by mean"):
        assert part in said
    assert "accuracy" not in " ".join(notes(facts(loaded(folder), TEXTS, None, GOLD)))


# --- what is explained ---


@pytest.mark.parametrize("method", ["lime", "shap", "shapley", "occlusion"])
@pytest.mark.parametrize(("template", "second"), [(TEMPLATE, None), (PAIRS, "the man reads")], ids=["one", "pair"])
def test_features_are_the_words_of_the_slots_alone(method, template, second, folder):
    classifier, rows = loaded(folder, template=template), []
    read = classifier.model.log_likelihoods

    def watched(ids, mask=None):
        seen = torch.ones_like(ids) if mask is None else mask
        rows.extend(row[kept.bool()] for row, kept in zip(ids, seen, strict=True))
        return read(ids, mask)

    classifier.model.log_likelihoods = watched
    example = pd.DataFrame({"id": ["x"], "text_a": ["a dog runs"], "text_b": [second]}, dtype=object)
    table = explain(classifier, example, method=method, n_samples=60)
    del classifier.model.log_likelihoods
    words = ["a", "dog", "runs", *(second or "").split()]
    assert table[table["label"] == "yes"]["word"].tolist() == words
    assert table.attrs["template"] == template and table.attrs["label_words"]["words"] == [" bad", " good"]
    decoded = {" ".join(TOKENIZER.convert_ids_to_tokens(row.tolist())) for row in rows}
    assert len(decoded) > len(words)
    around = Template.of(template).around
    for text in decoded:
        assert text.startswith(around[0]) and text.endswith(around[-1].strip())
        for literal in around:
            assert literal.strip() in text
            text = text.replace(literal.strip(), "", 1)
        assert set(text.split()) <= set(words)


def test_occlusion_and_gradients_are_those_of_the_loop(folder):
    classifier = loaded(folder, LONGER)
    example = pd.DataFrame({"id": ["x"], "text_a": ["a dog runs"], "text_b": [None]}, dtype=object)
    found = explain(classifier, example, method="occlusion").pivot(index="position", columns="label", values="weight")
    whole, *less = softmax(by_a_loop(folder, LONGER, ["a dog runs", "dog runs", "a runs", "a dog"]), axis=1)
    np.testing.assert_allclose(found[list(LONGER)], whole - np.array(less), rtol=0, atol=1e-5)
    classifier.tokenizer.pad_token = "<pad>"
    for method in (name for name, of in METHODS.items() if of.needs_gradients):
        table = explain(classifier, example, method=method, n_samples=1200)
        assert len(table) == 9 and table["weight"].abs().max() > 1e-4
    # Complete: the weights add up to what the probability gains from padding on.
    sums = explain(classifier, example, method="integrated-gradients", n_samples=1200)
    assert sums.attrs["convergence"]["x"] < 0.05


def test_a_long_text_is_cut_and_the_template_is_not(folder):
    classifier = loaded(folder, LONGER)
    assert classifier.max_length == 48 - 2  # two tokens may follow
    text = " ".join(["a dog runs in the park ,"] * 9)
    rows = classifier.encode([text], None)
    said = TOKENIZER.convert_ids_to_tokens(rows.ids[0].tolist())
    assert len(said) == 46 and said[-1] == "Mood:" and said[:2] == ["Review:", "the"]
    assert classifier.n_cut([text, "a dog"], None) == 1
    table = explain(classifier, pd.DataFrame([("x", text, None)], columns=["id", "text_a", "text_b"]), method="random")
    n_kept = table["position"].nunique()
    assert table.attrs["cut"] == {"x": 9 * 6 - n_kept} and 20 < n_kept < 46
    pair = Template.of(PAIRS, is_prompt=True).fitted(("a dog runs", " ".join(["man"] * 30)), TOKENIZER, 20)
    assert pair == ("a dog runs", " ".join(["man"] * 14) + " ")
    one_line(ModelError, lambda: Template.of(TEMPLATE, is_prompt=True).fitted((text,), TOKENIZER, 8), "leaves no room")


# --- what is made of it ---


def test_it_is_saved_and_loaded_with_all_that_it_says(folder, tmp_path):
    before = calibrated(loaded(folder, LONGER), "contextual")
    before.model.save_pretrained(tmp_path)
    before.tokenizer.save_pretrained(tmp_path)
    after = load_classifier(tmp_path, device="cpu")
    assert type(after.model) is LabelWordsModel and after.labels == ("no", "yes", "maybe")
    assert after.model.label_words == before.model.label_words and after.template == before.template
    np.testing.assert_array_equal(after.predict_proba(TEXTS), before.predict_proba(TEXTS))
    other = load_classifier(tmp_path, device="cpu", words={"yes": " dog", "no": " man", "maybe": " a"})
    expected = by_a_loop(folder, {"no": " man", "yes": " dog", "maybe": " a"})
    np.testing.assert_allclose(other.predict_proba(TEXTS), softmax(expected, axis=1), rtol=0, atol=1e-5)
    turned = ModelSpec(name="turned", title="Turned", checkpoint=str(tmp_path))
    found = as_it_is(turned, ("maybe", "no", "yes"))
    np.testing.assert_allclose(found.predict_proba(TEXTS), before.predict_proba(TEXTS)[:, [2, 0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("way", "options"), [("int8", {}), ("keep-layers", {"layers": [0, 2]}), ("low-rank", {"keep": 0.5})]
)
@pytest.mark.parametrize("kind", ["SmolLM", "GPT-2"])
def test_it_is_compressed_as_others_are(way, options, kind, folders, tmp_path):
    before = calibrated(loaded(folders[kind]), "contextual")
    small = compress(before, Compression(of="x", way=way, options=options))
    said = small.predict_proba(TEXTS)
    assert np.abs(said - before.predict_proba(TEXTS)).max() > 1e-5
    small.model.save_pretrained(tmp_path)
    small.tokenizer.save_pretrained(tmp_path)
    np.testing.assert_allclose(load_classifier(tmp_path, device="cpu").predict_proba(TEXTS), said, rtol=0, atol=1e-6)


def test_the_control_reads_as_many_tokens_by_other_words(folder):
    classifier = calibrated(loaded(folder, LONGER), "batch", (TEXTS, None))
    twin, again, other = (random_head(classifier, seed=seed) for seed in (1, 1, 2))
    tokens = [token for of in twin.model.label_words.tokens for token in of]
    assert twin.model.label_words.lengths == classifier.model.label_words.lengths
    assert len(set(tokens)) == len(tokens) and not set(tokens) & set(TOKENIZER.all_special_ids)
    assert twin.words == again.words != other.words
    drawn = dict(zip(LONGER, twin.words, strict=True))
    expected = softmax(by_a_loop(folder, drawn), axis=1) / softmax(by_a_loop(folder, drawn, CONTENT_FREE), axis=1).mean(
        0
    )
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(twin.predict_proba(TEXTS), expected, rtol=0, atol=1e-5)


def reviews(n, seed):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 2)
    who = rng.choice(["man", "woman", "dog", "house"], size=(n, 2))
    texts = [f"the {a} {('sleeps', 'runs')[of]} in the {b}" for of, (a, b) in zip(label, who, strict=True)]
    return pd.DataFrame({"id": [str(row) for row in range(n)], "text_a": texts, "text_b": None, "label": label})


@pytest.mark.parametrize("words", [ONE, {"no": " very bad", "yes": " good"}], ids=["one token each", "one is longer"])
def test_training_improves_it_and_no_training_leaves_it(words, folder, tmp_path):
    spec = ModelSpec(name="small", title="Small", hub=str(folder), template=TEMPLATE, words=words)
    recipe = Recipe(batch_size=8, learning_rate=5e-3, epochs=2, max_length=40)
    given = {"spec": spec, "labels": ("no", "yes"), "seed": 0, "checkpoints": tmp_path / "checkpoints"}
    train, dev = reviews(160, 0), reviews(40, 1)
    plain = finetune(train, dev, recipe=recipe.model_copy(update={"epochs": 0}), **given)
    np.testing.assert_allclose(
        plain.classifier.predict_proba(TEXTS), loaded(folder, words).predict_proba(TEXTS), rtol=0, atol=1e-6
    )
    assert plain.history.empty and plain.seconds == 0
    tuned = finetune(train, dev, recipe=recipe, **given)
    accuracy = [
        (predict(of.classifier, dev)[0][["no", "yes"]].to_numpy().argmax(1) == dev["label"]).mean()
        for of in (plain, tuned)
    ]
    assert accuracy[0] < 0.75 and accuracy[1] > 0.9
    save(tuned, tmp_path / "saved", metrics={}, timing={})
    again = load_classifier(tmp_path / "saved", device="cpu")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), tuned.classifier.predict_proba(TEXTS))
    assert again.max_length == 40


def test_the_loss_is_the_cross_entropy_of_its_probabilities(folder):
    model = loaded(folder, LONGER).model
    ids = torch.tensor([TOKENIZER(TEMPLATE)["input_ids"]])
    found = model(ids, labels=torch.tensor([2]))
    torch.testing.assert_close(found.loss, -found.logits.log_softmax(-1)[0, 2])


# --- from the shell ---


def test_explain_and_audit_from_the_shell(folders, tmp_path, trusteq):
    asked = ["--template", TEMPLATE, "--words", "no= bad,yes= good"]
    done = trusteq("explain", folders["SmolLM"], "--text-a", "a dog runs", "--calibrate", "contextual", *asked)
    assert done.returncode == 0, done.stderr
    assert {line.split()[2] for line in done.stdout.splitlines()[2:]} == {"a", "dog", "runs"}
    assert "calibration: contextual, estimated on 3" in done.stderr and "of the probability" in done.stderr
    data, out = tmp_path / "data.csv", tmp_path / "out"
    reviews(12, 2).drop(columns="text_b").replace({"label": {0: "no", 1: "yes"}}).to_csv(data, index=False)
    given = ["--data", data, "--out", out, "--text-a", "text_a", "--label", "label", "--n-samples", 20]
    for calibrate in ("batch", "none"):
        found = trusteq("audit", folders["SmolLM"], folders["Llama"], *given, *asked, "--calibrate", calibrate)
        assert found.returncode in (0, 1, 3), found.stderr
        made = json.loads((out / "audit.json").read_text())
        said = " ".join(made["notes"])
        assert f"calibration: {calibrate}" in said and "reads a text within the template" in said
        assert said.count("of the probability is on the label words") == 2
    refused(trusteq("explain", folders["SmolLM"], "--text-a", "a", *asked, "--calibrate", "batch"), "batch of texts")
    refused(trusteq("explain", folders["SmolLM"], "--text-a", "a"), "no class names", "--words")
    refused(trusteq("explain", folders["SmolLM"], "--text-a", "a", "--labels", "a,b"), "score", "--words")
    refused(trusteq("explain", folders["SmolLM"], "--text-a", "a", *asked[:2], "--words", "no"), "--words no")
    refused(trusteq("explain", folders["SmolLM"], "--text-a", " ", *asked), "row 0: text_a is empty")


def test_an_audit_of_a_language_model_and_a_head(folder, tiny_bert):
    bert = load_classifier(tiny_bert("BertForSequenceClassification", labels=("no", "yes")), device="cpu")
    found = audit(loaded(folder), bert, EXAMPLES, n_samples=20, calibration="batch", names=("words", "head"))
    assert sum("label words" in note for note in found.notes) == 1
    assert found.facts["label_words"]["words"]["estimated_on"] == 4


# --- bad input ---

SLOTS = {
    "Review: Mood:": "give {text_a}",
    "Review: {text} Mood:": "give {text_a}",
    "{text_b} then {text_a}": "give {text_a}",
    "{text_a} {text_a}": "give {text_a}",
    "{text_a!r} Mood:": "give {text_a}",
    "{text_a} Mood: {": "give {text_a}",
    "{text_a}{text_b}": "give {text_a}",
}
VERBALISERS = {
    "an empty one": ({"no": " ", "yes": " good"}, "class 'no' has an empty word"),
    "shared": ({"no": " good", "yes": " good"}, "is the word of class 'yes'"),
    "a beginning": ({"no": " very", "yes": " very good"}, "is the beginning of the word of class 'yes'"),
    "one class": ({"no": " bad"}, "two classes"),
}


@pytest.mark.parametrize("template", SLOTS)
def test_a_template_without_its_slot_is_one_line(template):
    one_line(ModelError, lambda: Template.of(template), repr(template), SLOTS[template])


@pytest.mark.parametrize("case", VERBALISERS)
def test_a_verbaliser_that_tells_nothing_is_one_line(case, folder):
    words, said = VERBALISERS[case]
    one_line(ModelError, lambda: loaded(folder, words), said)


def test_words_of_other_classes_are_one_line(folder):
    one_line(ModelError, lambda: loaded(folder, ONE | {"maybe": " dog"}, labels=("no", "yes")), "no class 'maybe'")
    one_line(ModelError, lambda: loaded(folder, ONE, labels=("no", "yes", "maybe")), "class 'maybe' has no word")
    assert loaded(folder, ONE, labels=("yes", "no")).words == (" good", " bad")


def test_words_without_what_they_need_are_one_line(folder, tiny_bert):
    one_line(ModelError, lambda: loaded(folder, template=None), "words need a template")
    bert = tiny_bert("BertForSequenceClassification", labels=("no", "yes"))
    one_line(ModelError, lambda: loaded(bert), "words are for a language model", "BertForSequenceClassification")
    one_line(ModelError, lambda: load_classifier(bert, device="cpu", calibration="contextual"), "give words")
    one_line(ModelError, lambda: loaded(folder, calibration="batch"), "needs a batch of texts")
    one_line(ModelError, lambda: loaded(folder, calibration="context"), "unknown calibration 'context'")
    one_line(ModelError, lambda: calibrated(loaded(folder), "batch", ([], None)), "needs a batch of texts")


def test_a_word_that_the_template_swallows_is_one_line(tmp_path):
    """Byte pairs join the template's last space, and a word without one joins what stands before it."""
    from tokenizer_kinds import KINDS as TOKENIZERS
    from tokenizer_kinds import tokenizer_of

    words = tokenizer_of(TOKENIZERS["SmolLM"], ["Review : good bad, good Mood: good bad goodbad"] * 4)
    config = transformers.LlamaConfig(**SIZES | LLAMA | {"vocab_size": len(words)})
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    for how in ({"words": ONE | {"yes": "good"}, "template": "{text_a} Mood: "}, {"words": {"no": "x", "yes": "d"}}):
        one_line(ModelError, lambda how=how: loaded(tmp_path, **{"template": "{text_a}"} | how), "begin the word with")
    fits = loaded(tmp_path, template="{text_a} Mood:")
    assert [fits.tokenizer.decode(of) for of in fits.model.label_words.tokens] == ["Ġbad", "Ġgood"]


def test_an_empty_slot_is_one_line(folder):
    classifier = loaded(folder, template=PAIRS)
    one_line(DataError, lambda: classifier.predict_proba(["a", "a"], ["a", "\n "]), "row 1: text_b is empty")
    empty = pd.DataFrame({"id": ["x", "y"], "text_a": ["a dog", ""], "text_b": ["a", "b"]})
    one_line(DataError, lambda: explain(classifier, empty), "explain: row 1: text_a is empty")
    examples = empty.assign(label=[0, 1])
    one_line(DataError, lambda: audit(classifier, classifier, examples), "row 1: text_a is empty")


def test_pairs_and_single_texts_need_templates_of_their_own(folder):
    one_line(ModelError, lambda: loaded(folder).predict_proba(["a"], ["b"]), "are pairs", "{text_a} and {text_b}")
    one_line(ModelError, lambda: loaded(folder, template=PAIRS).predict_proba(["a"]), "are single texts", "alone")


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": [[1]]},
        {"tokens": [[1], [10**6]]},
        {"log_prior": [0.0]},
        {"by": "max"},
        {"tokens": [[], [2]]},
        {"x": 1},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_the_model_are_one_line(change, folder, tmp_path):
    classifier = loaded(folder)
    classifier.model.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    values[SETTINGS] |= change
    (tmp_path / "config.json").write_text(json.dumps(values))
    one_line(ModelError, lambda: load_classifier(tmp_path, device="cpu"), SETTINGS)


def test_few_shot_examples_and_braces_are_words_of_the_template(folder):
    found = Template.of("{{good}} Review: a dog Mood: good {{}} Review: {text_a} Mood: {{")
    assert found.around == ("{good} Review: a dog Mood: good {} Review: ", " Mood: {")
    assert found.join("a {man}") == "{good} Review: a dog Mood: good {} Review: a {man} Mood: {"


def test_other_words_after_the_same_template(folder):
    found = by_words(loaded(folder), {"no": " very", "yes": " dog"})
    expected = softmax(by_a_loop(folder, {"no": " very", "yes": " dog"}), axis=1)
    np.testing.assert_allclose(found.predict_proba(TEXTS), expected, rtol=0, atol=1e-5)
    moved = found.joined_by("Mood: {text_a} Other:")
    expected = by_a_loop(folder, {"no": " very", "yes": " dog"}, template="Mood: {text_a} Other:")
    np.testing.assert_allclose(moved.predict_proba(TEXTS), softmax(expected, axis=1), rtol=0, atol=1e-5)


def test_a_head_of_ours_has_no_words(folder):
    spec = ModelSpec(name="x", title="X", hub=str(folder), template=TEMPLATE, words=ONE)
    with pytest.raises(ModelError, match="head 'two-linear' is for encoders"):
        build(spec, labels=("no", "yes"), recipe=Recipe(head="two-linear"))
    with pytest.raises(ExperimentError):
        Compression(of="x", way="no-such")


def test_a_word_that_the_tokenizer_does_not_know_is_refused():
    words = {"no": " unheard", "yes": " good"}
    one_line(ModelError, lambda: tokens_of(words, TOKENIZER, Template.of(TEMPLATE)), "unheard", "unknown")

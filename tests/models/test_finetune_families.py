"""Every family that is fine-tuned: from what it comes as, through an epoch, to disk and back; each way to compress."""

import copy
import functools
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line
from safetensors.torch import load_file, save_file
from word_tokenizer import SPECIAL, WORDS, tokenizer

from trusteq.errors import ModelError
from trusteq.models import finetune
from trusteq.models.build import build, compress, random_head
from trusteq.models.classifier import load_classifier
from trusteq.models.compress import ATTENTION, WAYS, layer_stacks, linear_layers, share_of_zeros, steps
from trusteq.models.layers import Int4Linear, Int8Linear, NoAttention, ThinProduct, as_linear
from trusteq.models.recipe import Recipe
from trusteq.models.template import Template
from trusteq.models.training import tokenised, with_words_deleted
from trusteq.registry import Compression, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")
LABELS = ("bad", "good")
GIVEN = {"vocab_size": len(SPECIAL + WORDS), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"initializer_range": 0.3}
PLACED = SIZES | {"max_position_embeddings": 66}
V3 = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "share_att_key": True}
V3 |= {"norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0}
DISTIL = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "initializer_range": 0.3}
MODERN = SIZES | {"cls_token_id": 3, "sep_token_id": 1}
GPT = {"n_layer": 2, "n_embd": 16, "n_head": 2, "pad_token_id": None, "initializer_range": 0.3}
SPLIT = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
SPLIT |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "init_std": 0.3}
XL = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24, "initializer_range": 0.5}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
# As they come: the class that a family is pretrained as, and a small shape of it.
FAMILIES = {
    "BERT": ("Bert", "ForPreTraining", SIZES),
    "BERT, no pooler": ("Bert", "ForMaskedLM", SIZES),
    "DistilBERT": ("DistilBert", "ForMaskedLM", DISTIL),
    "RoBERTa": ("Roberta", "ForMaskedLM", PLACED),
    "RoBERTa, base": ("Roberta", "Model", PLACED),
    "XLM-R": ("XLMRoberta", "ForMaskedLM", PLACED),
    "DeBERTa v2": ("DebertaV2", "ForMaskedLM", SIZES),
    "DeBERTa v3": ("DebertaV2", "Model", SIZES | V3),
    "ALBERT": ("Albert", "ForPreTraining", SIZES | {"embedding_size": 8}),
    "ELECTRA": ("Electra", "ForPreTraining", SIZES | {"embedding_size": 8}),
    "MPNet": ("MPNet", "ForMaskedLM", PLACED),
    "ModernBERT": ("ModernBert", "ForMaskedLM", MODERN),
    "ModernBERT, base": ("ModernBert", "Model", MODERN),
    "XLNet": ("XLNet", "LMHeadModel", XL),
    "Longformer": ("Longformer", "ForMaskedLM", PLACED | {"attention_window": [4, 4], "sep_token_id": 1}),
    "GPT-2": ("GPT2", "LMHeadModel", GPT),
    "Llama": ("Llama", "ForCausalLM", SIZES | {"pad_token_id": None}),
    "Qwen2": ("Qwen2", "ForCausalLM", SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "SmolLM": ("Llama", "ForCausalLM", SIZES | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "BART": ("Bart", "ForConditionalGeneration", SPLIT),
    "T5": ("T5", "ForConditionalGeneration", T5),
}
DECODERS = ("GPT-2", "Llama", "Qwen2", "SmolLM")
TEMPLATE = "{text_a} . the house : {text_b} ."
RECIPE = Recipe(batch_size=8, learning_rate=1e-2, epochs=1, max_length=32)
EACH = pytest.mark.parametrize("family", FAMILIES)


def examples(n, *, seed=0):
    """Pairs of 1 to 5 words a side."""
    rng = np.random.default_rng(seed)
    sides = [[" ".join(rng.choice(WORDS, size=rng.integers(1, 6))) for _ in range(n)] for _ in range(2)]
    return pd.DataFrame(
        {"id": [f"x-{row}" for row in range(n)], "text_a": sides[0], "text_b": sides[1], "label": np.arange(n) % 2}
    )


TRAIN, DEV = examples(32), examples(12, seed=1)
PAIRS = (list(DEV["text_a"]), list(DEV["text_b"]))


def words_of(family):
    """A tokenizer as the family's: GPT-2's and Llama's without padding, GPT-2's with one token for unknown and end."""
    inputs = {"model_input_names": ["input_ids", "attention_mask"]}
    if family == "GPT-2":
        made = tokenizer(tokens=[*SPECIAL[1:], *WORDS, "more"], **inputs)
        made.unk_token = "<eos>"
        return made
    if family in DECODERS:
        return tokenizer(**inputs, **({} if family == "Llama" else {"pad_token": "<pad>"}))
    side = "left" if family == "XLNet" else "right"
    return tokenizer(pair="$A <eos> $B <eos>", pad_token="<pad>", padding_side=side, **inputs)


@functools.cache
def pretrained(family, home):
    kind, form, shape = FAMILIES[family]
    folder = home / family.replace(" ", "-")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**(GIVEN | shape))
        getattr(transformers, f"{kind}{form}")(config).save_pretrained(folder)
    words_of(family).save_pretrained(folder)
    return folder


@functools.cache
def tuned(family, home, precision="fp32"):
    template = TEMPLATE if family in DECODERS else None
    spec = ModelSpec(name=family, title=family, hub=str(pretrained(family, home)), template=template)
    recipe = RECIPE.model_copy(update={"precision": precision})
    options = {"labels": LABELS, "recipe": recipe, "seed": 0, "checkpoints": home / "checkpoints"}
    return finetune.finetune(TRAIN, DEV, spec=spec, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("families")


def spec_of(folder, **keys):
    return ModelSpec(name="any", title="Any", hub=str(folder), **keys)


# --- what comes in ---


@EACH
def test_all_but_the_head_is_what_was_pretrained(family, home):
    folder = pretrained(family, home)
    model, _ = build(spec_of(folder), labels=LABELS, recipe=RECIPE)
    file, base = load_file(folder / "model.safetensors"), model.base_model
    known = {name.removeprefix(f"{model.base_model_prefix}."): values for name, values in file.items()}
    own = {name: values for name, values in base.state_dict().items() if name in known}
    kept = {name: values for name, values in own.items() if values.shape == known[name].shape}
    assert len(own) - len(kept) == (family == "GPT-2")  # which has a row more, of the token that pads
    assert all(torch.equal(values, known[name]) for name, values in kept.items())
    layers = {id(values) for stack in layer_stacks(model) for values in stack.state_dict().values()}
    assert len(kept) >= len(layers) > 4


def changed(folder, target, change):
    shutil.copytree(folder, target)
    state = load_file(folder / "model.safetensors")
    name = change(state)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return name


@EACH
def test_what_lacks_a_part_of_its_layers_or_has_one_more_is_refused(family, home, tmp_path):
    def first_layer(state):
        return next(name for name in sorted(state) if ".0." in name and name.endswith("weight"))

    def lacking(state):
        del state[name := first_layer(state)]
        return name

    def longer(state):
        name = first_layer(state)
        state[further := name.replace(".0.", ".7.", 1)] = state[name].clone()
        return further

    for change, reason in ((lacking, "1 weights missing"), (longer, "1 weights left over")):
        target = tmp_path / change.__name__
        name = changed(pretrained(family, home), target, change)
        call = functools.partial(build, spec_of(target), labels=LABELS, recipe=RECIPE)
        one_line(ModelError, call, target, reason, name)


@EACH
def test_first_layers_alone(family, home):
    """The rest is left over, and those are what was pretrained."""
    folder = pretrained(family, home)
    model, _ = build(spec_of(folder, layers=1), labels=LABELS, recipe=RECIPE)
    assert [len(stack) for stack in layer_stacks(model)] == [1] * (1 + (family in ("BART", "T5")))
    assert model.config.num_hidden_layers == 1
    file = load_file(folder / "model.safetensors")
    known = {name.removeprefix(f"{model.base_model_prefix}."): values for name, values in file.items()}
    own = [name for name in model.base_model.state_dict() if ".0." in name]
    assert own and all(torch.equal(model.base_model.state_dict()[name], known[name]) for name in own)


@pytest.mark.parametrize("family", ["GPT-2", "Llama", "XLNet", "BART", "T5"])
def test_heads_for_encoders_are_refused_by_others(family, home):
    for head in ("two-linear", "mean-pooling"):
        call = functools.partial(build, spec_of(pretrained(family, home)), labels=LABELS, recipe=Recipe(head=head))
        one_line(ModelError, call, head, "standard")


@pytest.mark.parametrize("family", DECODERS)
def test_pairs_need_a_template_where_the_tokenizer_has_no_boundary(family, home, tmp_path):
    options = {"labels": LABELS, "recipe": RECIPE, "seed": 0, "checkpoints": tmp_path}
    call = functools.partial(finetune.finetune, TRAIN, DEV, spec=spec_of(pretrained(family, home)), **options)
    one_line(ModelError, call, "puts nothing between", "template=", "experiment")


@pytest.fixture
def pieces(home, tmp_path):
    """A DeBERTa v3 as it is on the Hub, with a SentencePiece vocabulary alone; and what reads that by itself."""
    import sentencepiece

    folder = tmp_path / "copy"
    shutil.copytree(pretrained("DeBERTa v3", home), folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    texts = [*TRAIN["text_a"], *TRAIN["text_b"]]
    special = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "pad_piece": "[PAD]", "bos_piece": "[CLS]"}
    special |= {"eos_piece": "[SEP]", "unk_piece": "[UNK]", "vocab_size": 60, "hard_vocab_limit": False}
    with (folder / "spm.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=file, minloglevel=2, **special
        )
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "DebertaV2Tokenizer"}')
    return folder, sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))


def test_a_sentencepiece_vocabulary_is_read(pieces):
    folder, alone = pieces
    _, tokenizer = build(spec_of(folder), labels=LABELS, recipe=RECIPE)
    for text in TRAIN["text_a"][:5]:
        assert tokenizer(text)["input_ids"][1:-1] == alone.encode(text)


def test_a_sentencepiece_vocabulary_says_what_reads_it(pieces, monkeypatch):
    for name in ("sentencepiece", "sentencepiece.sentencepiece_model_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    for module in [of for name, of in sys.modules.items() if name.startswith("transformers") and of]:
        if "is_sentencepiece_available" in vars(module):
            monkeypatch.setattr(module, "is_sentencepiece_available", lambda: False)
    call = functools.partial(build, spec_of(pieces[0]), labels=LABELS, recipe=RECIPE)
    one_line(ModelError, call, "install sentencepiece")


# --- what comes out ---


@EACH
def test_a_fine_tuned_model_is_on_disk_what_it_was(family, home, tmp_path):
    made = tuned(family, home)
    assert made.history["eval_accuracy"].notna().all() and len(made.history) == 1
    finetune.save(made, tmp_path / "saved", metrics={}, timing={})
    loaded = load_classifier(tmp_path / "saved", device="cpu")
    assert (loaded.labels, loaded.template) == (LABELS, made.classifier.template)
    assert (loaded.template is not None) == (family in DECODERS)
    before, after = (of.predict_proba(*PAIRS) for of in (made.classifier, loaded))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-6)
    assert np.ptp(before, axis=0).max() > 1e-3
    alone = np.concatenate([loaded.predict_proba([a], [b]) for a, b in zip(*PAIRS, strict=True)])
    np.testing.assert_allclose(alone, before, rtol=0, atol=2e-5)
    assert not np.allclose(random_head(loaded, seed=0).predict_proba(*PAIRS), before, atol=1e-4)


@pytest.mark.parametrize("family", ["DeBERTa v3", "Llama"])
def test_what_is_trained_in_half_precision_predicts_as_what_is_saved_and_explained(family, home, tmp_path):
    made = tuned(family, home, "bf16")
    finetune.save(made, tmp_path / "saved", metrics={}, timing={})
    before, after = (of.predict_proba(*PAIRS) for of in (made.classifier, load_classifier(tmp_path / "saved")))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-6)
    assert {values.dtype for values in made.classifier.model.state_dict().values() if values.is_floating_point()} == {
        torch.float32
    }


@EACH
def test_shared_weights_count_once(family, home):
    model = tuned(family, home).classifier.model
    found = finetune.sizes(model)
    assert found["parameters"] == model.num_parameters()
    assert found["layers"] == (4 if family in ("BART", "T5") else 2)
    assert found["hidden_size"] == 16


@EACH
def test_the_accuracy_in_training_is_that_of_the_saved_model(family, home):
    made = tuned(family, home)
    right = made.classifier.predict_proba(*PAIRS).argmax(axis=1) == DEV["label"]
    assert made.history["eval_accuracy"].iloc[0] == pytest.approx(right.mean(), abs=1e-9)


# --- templates in training ---


def test_words_of_a_template_are_no_words(tmp_path):
    """Of '{a} . the house : {b} .', the words that belong to the pair, counted through both texts."""
    rows = pd.DataFrame({"id": ["x"], "text_a": ["a dog"], "text_b": ["the man sleeps"], "label": [0]})
    options = {"folder": tmp_path, "with_words": True}
    words = words_of("Llama")
    words.model_max_length = 32
    made = tokenised(rows, words, template=Template.of(TEMPLATE), **options)
    tokens = words.convert_ids_to_tokens(made[0]["input_ids"])
    assert tokens == "a dog . the house : the man sleeps .".replace(":", "<unk>").split()
    assert made[0]["words"] == [0, 1, -1, -1, -1, -1, 2, 3, 4, -1]
    joined = tokenised(rows.assign(text_a=TEMPLATE.format(**rows.iloc[0]), text_b=None), words, **options)
    assert joined[0]["input_ids"] == made[0]["input_ids"] and joined[0]["words"] != made[0]["words"]


def test_a_text_of_words_alone_keeps_a_token_when_all_are_deleted(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape: torch.full(shape, 0.999))
    inputs = {"input_ids": torch.tensor([[7, 8, 9], [5, 6, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    left = with_words_deleted(inputs, torch.tensor([[0, 1, 2], [0, 1, -1]]), padding=0)
    assert left["input_ids"].tolist() == [[7], [5]] and left["attention_mask"].tolist() == [[1], [1]]


# --- compressions ---

OPTIONS = {
    "keep-layers": {"layers": (0,)},
    "drop-attention": {"layers": (1,)},
    "int8": {},
    "int4": {},
    "prune-weights": {"share": 0.5},
    "prune-heads": {"share": 0.5},
    "low-rank": {"keep": 0.6},
}
# What cannot be done, and what is then said. All else is done.
REFUSED = {("ALBERT", "keep-layers"): "no 2 layers with weights of their own"}
REFUSED |= {("ALBERT", "drop-attention"): "the model has 1"}
REFUSED |= {(family, "drop-attention"): "does not know the layers" for family in ("XLNet", "T5")}
HEADS = ("BERT", "BERT, no pooler", "RoBERTa", "RoBERTa, base", "XLM-R", "ELECTRA")
REFUSED |= {(family, "prune-heads"): "of BERT and RoBERTa" for family in FAMILIES if family not in HEADS}


def matrices(model):
    """The weights of each linear layer inside the layers, (out, in), by name; the weights of one layer once."""
    inside = {id(layer) for layer in linear_layers(model)}
    return {name: as_linear(part).weight.detach() for name, part in model.named_modules() if id(part) in inside}


WRITES = ("o_proj", "out_proj", "c_proj", "Wo", "out_lin", "output.dense", "attn.o")


def silenced(model):
    """A copy whose attention in every second layer adds nothing, since what it writes with is 0."""
    made = copy.deepcopy(model)
    for stack in layer_stacks(made):
        block = next(getattr(stack[1], name) for name in ATTENTION if hasattr(stack[1], name))
        (writing,) = [part for name, part in block.named_modules() if name.endswith(WRITES)]
        for values in writing.parameters():
            values.data.zero_()
    return made


def measured(way, before, after):
    """Assert, without what made it, that a model is what a way makes of another."""
    if way == "keep-layers":
        assert [len(stack) for stack in layer_stacks(after)] == [1] * len(layer_stacks(before))
        assert after.num_parameters() < before.num_parameters()
        return
    if way == "drop-attention":
        for stack in layer_stacks(after):
            assert [any(isinstance(part, NoAttention) for part in layer.modules()) for layer in stack] == [False, True]
        return
    for name, weight in matrices(before).items():
        made = after.get_submodule(name)
        if way == "int8":
            assert isinstance(made, Int8Linear)
            torch.testing.assert_close(made.weight * made.scale[:, None], weight, rtol=0, atol=float(made.scale.max()))
        if way == "int4":
            assert isinstance(made, Int4Linear)
            step = (weight.amax(dim=1) - weight.amin(dim=1)).max() / 15
            torch.testing.assert_close(made.weight, weight, rtol=0, atol=float(0.52 * step))
        if way == "low-rank":
            assert isinstance(made, ThinProduct) and made[0].bias is None
            rank = int(0.6 * weight.numel() / sum(weight.shape))
            product = made[1].weight @ made[0].weight
            assert torch.linalg.matrix_rank(product) == rank
            singular = torch.linalg.svdvals(weight)
            lost = torch.linalg.matrix_norm(product - weight)
            torch.testing.assert_close(lost, singular[rank:].norm(), rtol=1e-3, atol=1e-4)
    if way == "prune-weights":
        zeros = sum(int((weight == 0).sum()) for weight in matrices(after).values())
        total = sum(weight.numel() for weight in matrices(before).values())
        assert zeros == pytest.approx(total / 2, abs=1)
        assert share_of_zeros(after) == pytest.approx(0.5, abs=1e-3)
    if way == "prune-heads":
        assert [layer.attention.self.value.weight.shape for layer in layer_stacks(after)[0]] == [(8, 16)] * 2


@pytest.mark.parametrize("way", WAYS)
@EACH
def test_each_way_makes_what_it_says_or_says_why_not(family, way, home, tmp_path):
    whole = tuned(family, home).classifier
    call = functools.partial(compress, whole, Compression(of="large", way=way, options=OPTIONS[way]))
    if (family, way) in REFUSED:
        return one_line(ModelError, call, way, REFUSED[family, way])
    made = call()
    measured(way, whole.model, made.model)
    for part in (made.model, made.tokenizer):
        part.save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path, device="cpu")
    assert [step["way"] for step in steps(loaded.model.config)] == [way]
    before, after, again = (of.predict_proba(*PAIRS) for of in (whole, made, loaded))
    assert np.abs(after - before).max() > 1e-6
    np.testing.assert_allclose(again, after, rtol=0, atol=1e-5)
    if way == "drop-attention":
        silent = replace(whole, model=silenced(whole.model)).predict_proba(*PAIRS)
        np.testing.assert_allclose(after, silent, rtol=0, atol=1e-5)
    sizes = [finetune.sizes(of.model) for of in (made, loaded)]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("family", ["T5", "ModernBERT"])
def test_a_first_layer_that_has_what_others_lack_stays_first(family, home):
    for layers in ((1,), (1, 0)):
        call = functools.partial(
            compress, tuned(family, home).classifier, Compression(of="m", way="keep-layers", options={"layers": layers})
        )
        one_line(ModelError, call, "keep-layers", "layer 0", "keep it where it is")


@pytest.mark.parametrize("family", ["RoBERTa", "DeBERTa v3", "XLNet", "Longformer", "GPT-2", "Qwen2", "BART"])
def test_the_second_layer_alone_is_a_model_of_one_layer(family, home, tmp_path):
    made = compress(tuned(family, home).classifier, Compression(of="m", way="keep-layers", options={"layers": (1,)}))
    for part in (made.model, made.tokenizer):
        part.save_pretrained(tmp_path)
    again = load_classifier(tmp_path, device="cpu").predict_proba(*PAIRS)
    np.testing.assert_allclose(again, made.predict_proba(*PAIRS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", ["prune-weights", "low-rank", "keep-layers"])
@pytest.mark.parametrize("family", ["GPT-2", "ALBERT", "T5"])
def test_compressed_models_are_trained_on(family, way, home, tmp_path):
    whole = tuned(family, home).classifier
    compression = Compression(of="large", way=way, options=OPTIONS[way], recover=True)
    spec = ModelSpec(name="small", title="Small", compress=compression)
    options = {"labels": LABELS, "recipe": RECIPE, "seed": 0, "checkpoints": tmp_path / "checkpoints"}
    call = functools.partial(finetune.finetune, TRAIN, DEV, spec=spec, original=whole, **options)
    if (family, way) in REFUSED:
        return one_line(ModelError, call, way)
    made = call()
    finetune.save(made, tmp_path / "saved", metrics={}, timing={})
    loaded = load_classifier(tmp_path / "saved", device="cpu")
    assert loaded.template == whole.template
    np.testing.assert_allclose(loaded.predict_proba(*PAIRS), made.classifier.predict_proba(*PAIRS), rtol=0, atol=1e-6)
    if way == "prune-weights":
        assert share_of_zeros(loaded.model) == pytest.approx(0.5, abs=1e-3)


# --- teachers ---

LESSONS = {
    "answers": {"distillation_weight": 1.0, "confidence_weight": 1.0},
    "gradients": {"attribution_weight": 1.0, "attribution_by": "gradients"},
    "deletion": {"attribution_weight": 1.0, "attribution_by": "deletion"},
    "hidden": {"hidden_weight": 1.0},
}
UNTAUGHT = {("XLNet", lesson): "padded on the right" for lesson in ("gradients", "deletion", "hidden")}
UNTAUGHT |= {(family, "gradients"): "no one gradient" for family in ("BART", "T5")}


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("family", ["DeBERTa v3", "ALBERT", "XLNet", "Longformer", "GPT-2", "BART", "T5"])
def test_a_teacher_of_each_family_teaches_one_of_its_own(family, lesson, home, tmp_path):
    teacher = tuned(family, home).classifier
    spec = spec_of(pretrained(family, home), template=TEMPLATE if family in DECODERS else None)
    recipe = Recipe(**RECIPE.model_dump() | LESSONS[lesson])
    options = {"labels": LABELS, "recipe": recipe, "seed": 1, "checkpoints": tmp_path}
    call = functools.partial(finetune.finetune, TRAIN.head(8), DEV, spec=spec, teacher=teacher, **options)
    if (family, lesson) in UNTAUGHT:
        return one_line(ModelError, call, UNTAUGHT[family, lesson])
    assert np.isfinite(call().history["loss"]).all()


def test_a_decoder_teaches_an_encoder_its_answers_and_no_words(home, tmp_path):
    options = {"labels": LABELS, "seed": 1, "checkpoints": tmp_path}
    spec, teacher = spec_of(pretrained("RoBERTa", home)), tuned("Llama", home).classifier
    train = functools.partial(finetune.finetune, TRAIN.head(8), DEV, spec=spec, teacher=teacher, **options)
    assert len(train(recipe=RECIPE).history) == 1
    recipe = Recipe(**RECIPE.model_dump() | LESSONS["deletion"])
    one_line(ModelError, lambda: train(recipe=recipe), "templates")

"""Fine-tuning on a task of two words: what the recipe says is what is trained, and a killed run ends as a whole one."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.examples.synthetic import generate
from trusteq.models import finetune as module
from trusteq.models.build import build
from trusteq.models.classifier import Classifier, load_classifier
from trusteq.models.finetune import finetune, predict, save
from trusteq.models.recipe import Recipe
from trusteq.models.training import distillation_loss, tokenised
from trusteq.registry import ModelSpec, Scratch
from trusteq.store import verify

LABELS = ("bad", "good")
RECIPE = Recipe(batch_size=8, learning_rate=5e-3, epochs=3, max_length=16)
SHAPE = Scratch(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16)
SCRATCH = ModelSpec(name="scratch", title="Scratch", scratch=SHAPE)


@pytest.fixture(scope="module")
def pretrained(tiny_bert):
    """A checkpoint with the pretraining heads, as the paper's models come."""
    return tiny_bert("BertForPreTraining")


@pytest.fixture(scope="module")
def spec(pretrained):
    return ModelSpec(name="tiny", title="Tiny", hub=str(pretrained))


def examples(n, split="train", *, noise=False):
    """Pairs whose label says whether the first text holds "good" or "bad"; with noise, labels of no meaning."""
    rng = np.random.default_rng([n, noise])
    label = rng.permutation(np.arange(n) % 2)
    people = rng.choice(["man", "woman", "dog"], size=n)
    texts = [f"a {('bad', 'good')[of]} {who}" for of, who in zip(label, people, strict=True)]
    label = rng.permutation(label) if noise else label
    ids = [f"{split}-{row}" for row in range(n)]
    return pd.DataFrame({"id": ids, "text_a": texts, "text_b": "the dog sleeps", "label": label})


TRAIN, DEV = examples(32), examples(16, "dev")
ENOUGH = {"train": examples(320), "epochs": 4}


@pytest.fixture
def tune(spec, tmp_path):
    """Fine-tune with defaults that a test can change; recipe keys by name."""

    def run(train=TRAIN, dev=DEV, *, seed=0, spec=spec, teacher=None, checkpoints=tmp_path / "checkpoints", **changes):
        recipe = Recipe(**{**RECIPE.model_dump(), **changes})
        options = {"labels": LABELS, "recipe": recipe, "seed": seed, "checkpoints": checkpoints}
        return finetune(train, dev, spec=spec, teacher=teacher, **options)

    return run


def weights(tuned):
    """All weights as bytes: equal only to the last bit."""
    return {name: tensor.numpy().tobytes() for name, tensor in tuned.classifier.model.state_dict().items()}


def accuracy(tuned, table):
    return (tuned.classifier.predict_proba(table["text_a"], table["text_b"]).argmax(axis=1) == table["label"]).mean()


# --- the outcome ---


@pytest.mark.parametrize("head", ["standard", "two-linear", "mean-pooling"])
def test_a_separable_task_is_learnt(tune, head):
    tuned = tune(**ENOUGH, head=head)
    assert accuracy(tuned, examples(40, "test")) == 1
    assert tuned.classifier.labels == LABELS


def test_a_model_from_scratch_knows_the_words_of_the_generated_corpora(tune):
    tokenizer = tune(spec=SCRATCH, epochs=1).classifier.tokenizer
    for corpus in ("nli", "paraphrase"):
        texts = generate(corpus, "test")[["text_a", "text_b"]].stack()
        assert not any(tokenizer.unk_token_id in ids for ids in tokenizer(list(texts))["input_ids"])


def test_single_texts(tune):
    train, dev = ENOUGH["train"].assign(text_b=None), DEV.assign(text_b=None)
    assert accuracy(tune(train, dev, epochs=4), dev) == 1


def test_the_seed_decides_every_bit(tune):
    first, again, other = (weights(tune(epochs=1, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_history_has_one_row_an_epoch(tune):
    history = tune().history
    assert list(history) == ["epoch", "loss", "eval_loss", "eval_accuracy"]
    assert list(history["epoch"]) == [1, 2, 3]
    assert history.notna().all(axis=None)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


def test_the_best_epoch_on_dev_is_returned(tune):
    noisy = examples(30, "dev", noise=True)
    tuned = tune(TRAIN, noisy, epochs=5)
    assert accuracy(tuned, noisy) == pytest.approx(tuned.history["eval_accuracy"].max(), abs=1e-12)


def test_of_equally_good_epochs_the_first_is_returned(tune, monkeypatch):
    accuracies = iter([0.5, 0.9, 0.5, 0.9, 0.9, 0.1])
    monkeypatch.setattr(module, "_accuracy", lambda evaluation: {"accuracy": next(accuracies)})
    two, four = tune(epochs=2), tune(epochs=4)
    assert list(four.history["eval_accuracy"]) == [0.5, 0.9, 0.9, 0.1]
    # The schedule is constant and the seed the same, so the first two epochs are the shorter run.
    assert weights(four) == weights(two)


def test_nothing_to_train_on(tune):
    with pytest.raises(DataError, match="needs training and dev examples, got 32 and 0"):
        tune(TRAIN, DEV.head(0))


def test_the_examples_are_left_alone(tune):
    train, dev = TRAIN.copy(deep=True), DEV.copy(deep=True)
    tune(train, dev, epochs=1)
    pd.testing.assert_frame_equal(train, TRAIN)
    pd.testing.assert_frame_equal(dev, DEV)


# --- a killed run ---


def interrupt(monkeypatch, *, at):
    """Stop the training with KeyboardInterrupt in its evaluation number `at`; return what counts them."""
    calls, real = [], module._accuracy

    def accuracy(evaluation):
        calls.append(evaluation)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(evaluation)

    monkeypatch.setattr(module, "_accuracy", accuracy)
    return lambda: len(calls)


@pytest.fixture
def stopped(tune, monkeypatch, tmp_path):
    """A run stopped in its second evaluation; a function that counts the evaluations, these two included."""
    count = interrupt(monkeypatch, at=2)
    with pytest.raises(KeyboardInterrupt):
        tune()
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    return count


def test_a_killed_run_goes_on_and_ends_as_a_whole_one(tune, stopped, tmp_path):
    resumed = tune()
    assert stopped() == 4, "the first epoch is not trained again"
    whole = tune(checkpoints=tmp_path / "other")
    assert weights(resumed) == weights(whole)
    pd.testing.assert_frame_equal(resumed.history, whole.history, check_exact=True)
    assert not (tmp_path / "checkpoints").exists() and not (tmp_path / "other").exists()


def test_a_checkpoint_cut_short_is_not_resumed_from(tune, stopped, tmp_path):
    whole = tmp_path / "checkpoints" / "checkpoint-4"
    half = shutil.copytree(whole, whole.with_name("checkpoint-8"))
    (half / "trainer_state.json").unlink()
    tune()
    assert stopped() == 4
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1e-3}, {"train": examples(24)}, {"dev": TRAIN}])
def test_another_run_does_not_go_on_from_its_checkpoints(tune, stopped, tmp_path, change):
    resumed = tune(**change)
    assert stopped() == 5
    assert weights(resumed) == weights(tune(**change, checkpoints=tmp_path / "other"))


# --- the recipe ---


def test_the_papers_recipe_reaches_the_trainer(tmp_path):
    arguments = module._arguments(Recipe(max_length=512), 42, tmp_path)
    expected = {
        "per_device_train_batch_size": 32,
        "learning_rate": 1e-5,
        "num_train_epochs": 5,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "fp16": False,
        "bf16": False,
        "seed": 42,
        "load_best_model_at_end": True,
        "metric_for_best_model": "accuracy",
        "gradient_accumulation_steps": 1,
        "label_smoothing_factor": 0.0,
    }
    assert {name: getattr(arguments, name) for name in expected} == expected
    assert arguments.optim.startswith("adamw")
    assert arguments.get_warmup_steps(1000) == 0


def test_every_key_of_the_recipe_reaches_the_trainer(tmp_path):
    changes = {"batch_size": 7, "learning_rate": 3e-4, "epochs": 2, "weight_decay": 0.01, "max_grad_norm": 0.5}
    arguments = module._arguments(Recipe(schedule="cosine", warmup_ratio=0.1, **changes), 3, tmp_path)
    assert arguments.per_device_train_batch_size == 7
    assert (arguments.learning_rate, arguments.num_train_epochs) == (3e-4, 2)
    assert (arguments.weight_decay, arguments.max_grad_norm, arguments.seed) == (0.01, 0.5, 3)
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.get_warmup_steps(1000) == 100
    warm = module._arguments(Recipe(warmup_ratio=0.1), 3, tmp_path)
    assert warm.lr_scheduler_type == "constant_with_warmup"


def test_precision_reaches_the_trainer(tmp_path):
    assert module._arguments(Recipe(precision="bf16"), 0, tmp_path).bf16


def test_precision_that_the_machine_lacks(tune, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ExperimentError, match="precision 'fp16' needs a GPU"):
        tune(precision="fp16")


def test_the_maximum_length_holds_in_training_and_after(spec, tune, tmp_path):
    _, tokenizer = build(spec, labels=LABELS, recipe=Recipe(max_length=9))
    rows = tokenised(TRAIN.assign(text_a="a man " * 20), tokenizer, folder=tmp_path)
    assert {len(row["input_ids"]) for row in rows} == {9}
    assert tune(epochs=1, max_length=9).classifier.max_length == 9
    assert build(spec, labels=LABELS, recipe=Recipe(max_length=512))[1].model_max_length == 64


# --- the two-layer head and the cut encoder ---


def test_the_two_layer_head_is_linear_in_the_first_token(spec):
    labels = ("entailment", "neutral", "contradiction")
    model, tokenizer = build(spec, labels=labels, recipe=Recipe(head="two-linear"))
    assert (model.hidden.out_features, model.output.out_features) == (6, 3)
    tokens = tokenizer(["a good man reads", "a dog"], ["the dog sleeps", ""], padding=True, return_tensors="pt")
    with torch.inference_mode():
        first = model.eval().encoder(**tokens).last_hidden_state[:, 0]
        inner = first @ model.hidden.weight.T + model.hidden.bias
        expected = inner @ model.output.weight.T + model.output.bias
        logits = model(**tokens).logits
        loss = model(**tokens, labels=torch.tensor([0, 2])).loss
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(loss, -torch.log_softmax(expected, dim=-1)[[0, 1], [0, 2]].mean())


@pytest.mark.parametrize("head", ["standard", "two-linear", "mean-pooling"])
def test_the_encoder_is_the_pretrained_one(spec, pretrained, head):
    model, _ = build(spec, labels=LABELS, recipe=Recipe(head=head))
    check_encoder(model, pretrained, layers={0, 1})


@pytest.mark.parametrize("head", ["standard", "two-linear", "mean-pooling"])
def test_layers_keeps_the_first_ones(spec, pretrained, head):
    model, _ = build(spec.model_copy(update={"layers": 1}), labels=LABELS, recipe=Recipe(head=head))
    assert model.config.num_hidden_layers == 1
    check_encoder(model, pretrained, layers={0})


def check_encoder(model, pretrained, *, layers):
    source = load_file(pretrained / "model.safetensors")
    state = {name: tensor for name, tensor in model.base_model.state_dict().items() if "position_ids" not in name}
    assert {int(name.split(".")[2]) for name in state if name.startswith("encoder.layer.")} == layers
    assert all(torch.equal(tensor, source[f"bert.{name}"]) for name, tensor in state.items())


def without(folder, target, part):
    shutil.copytree(folder, target)
    state = {name: tensor for name, tensor in load_file(folder / "model.safetensors").items() if part not in name}
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    return ModelSpec(name="broken", title="Broken", hub=str(target))


@pytest.mark.parametrize("head", ["standard", "two-linear", "mean-pooling"])
def test_pretrained_weights_have_to_be_whole(pretrained, tmp_path, head, capfd):
    broken = without(pretrained, tmp_path / "broken", "layer.1.attention.self.query")
    with pytest.raises(
        ModelError, match=r"2 weights missing, first '[a-z.]*encoder\.layer\.1\.attention\.self\.query\.bias'"
    ):
        build(broken, labels=LABELS, recipe=Recipe(head=head))
    assert capfd.readouterr() == ("", "")


def test_more_layers_than_there_are(spec):
    with pytest.raises(ModelError, match=r"16 weights missing, first 'bert\.encoder\.layer\.2"):
        build(spec.model_copy(update={"layers": 3}), labels=LABELS, recipe=RECIPE)


# --- a teacher ---


def test_distillation_loss_in_numpy():
    rng = np.random.default_rng(0)
    logits, teacher = rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), size=5)
    temperature = 2.5

    def softened(values):
        values = np.exp(values / temperature)
        return values / values.sum(axis=1, keepdims=True)

    p, q = softened(np.log(teacher)), softened(logits)
    expected = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    loss = distillation_loss(torch.tensor(logits), torch.tensor(teacher), temperature)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_distillation_loss_of_two_classes_by_hand():
    # At temperature 1: KL((3/4, 1/4) || (1/2, 1/2)) = ln 2 - H(1/4); and nothing where both agree.
    loss = distillation_loss(torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]), 1.0)
    assert loss.item() == pytest.approx(np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25), rel=1e-6)
    same = torch.tensor([[0.75, 0.25]])
    assert distillation_loss(same.log(), same, 3.0).item() == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(distillation_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), 2.0))


class Contrarian(Classifier):
    """A teacher that is sure of the other label."""

    def predict_proba(self, text_a, text_b=None):
        wrong = np.array(["bad" in text for text in text_a])
        return np.column_stack([~wrong, wrong]) * 0.98 + 0.01


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 0.0), (0.0, 1.0)])
def test_the_teacher_weighs_as_the_recipe_says(tune, weight, expected):
    model, tokenizer = build(SCRATCH, labels=LABELS, recipe=RECIPE)
    teacher = Contrarian(model, tokenizer, LABELS, 16)
    tuned = tune(**ENOUGH, teacher=teacher, distillation_weight=weight)
    last = tuned.history["eval_accuracy"].iloc[-1]  # the returned epoch is the best against the labels, not the last
    assert last == expected


# --- on disk ---


@pytest.mark.parametrize("head", ["standard", "two-linear", "mean-pooling"])
def test_a_saved_model_is_the_model(tune, tmp_path, head):
    tuned = tune(epochs=1, head=head)
    folder = tmp_path / "models" / "tiny" / "0"
    save(tuned, folder, metrics={"accuracy": 0.5}, timing={"inference_seconds": 1.5}, task="demo", seed=0)
    loaded = load_classifier(folder, device="cpu")
    assert (loaded.labels, loaded.max_length) == (LABELS, 16)
    assert np.array_equal(
        loaded.predict_proba(DEV["text_a"], DEV["text_b"]), tuned.classifier.predict_proba(DEV["text_a"], DEV["text_b"])
    )
    assert weights(module.FineTuned(loaded, None, 0)) == weights(tuned)


def test_the_folder_holds_safetensors_alone_and_verifies(tune, tmp_path):
    tuned = tune(epochs=1)
    folder = tmp_path / "models" / "tiny" / "0"
    save(tuned, folder, metrics={"accuracy": 0.5}, timing={"inference_seconds": 1.5}, task="demo", seed=0)
    assert verify(tmp_path / "models") == (1, [])
    names = {path.name for path in folder.iterdir()}
    assert not {name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))}
    metrics, timing, manifest = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "timing", "manifest")
    )
    assert metrics == {
        "accuracy": 0.5,
        "parameters": sum(values.numel() for values in tuned.classifier.model.parameters()),
        "nonzero_parameters": sum(int((values != 0).sum()) for values in tuned.classifier.model.parameters()),
        "weights_bytes": (folder / "model.safetensors").stat().st_size,
        "layers": 2,
        "hidden_size": 16,
    }
    assert set(timing) == {"inference_seconds", "training_seconds", "device"}
    assert manifest["parameters"] == {"task": "demo", "seed": 0}
    assert set(manifest["files"]) == names - {"manifest.json"}
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), tuned.history)
    assert [path.name for path in folder.parent.iterdir()] == ["0"]


def test_predictions_table(tune):
    classifier = tune(epochs=1).classifier
    assert isinstance(classifier, Classifier)
    table, seconds = predict(classifier, DEV.iloc[::-1])
    assert list(table) == ["id", "label", *LABELS]
    assert list(table["id"]) == list(DEV["id"])[::-1] and list(table["label"]) == list(DEV["label"])[::-1]
    np.testing.assert_allclose(table[list(LABELS)].sum(axis=1), 1)
    assert seconds >= 0


def test_mean_pooling_leaves_padding_out(spec):
    model, tokenizer = build(spec, labels=LABELS, recipe=Recipe(head="mean-pooling"))
    tokens = tokenizer(["a good man reads in the park", "a dog"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model.eval().encoder(**tokens).last_hidden_state
        lengths = tokens["attention_mask"].sum(dim=1).tolist()
        assert lengths[0] > lengths[1]
        means = torch.stack([state[:length].mean(dim=0) for state, length in zip(states, lengths, strict=True)])
        torch.testing.assert_close(model(**tokens).logits, model.output(means))


def test_a_teacher_in_half_precision_is_told_from_the_whole_one(tiny_bert):
    """Numpy has no such numbers, of which a run's digest is made."""
    whole = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    half = replace(whole, model=copy.deepcopy(whole.model).bfloat16())
    assert module._digest([], [], [whole]) == module._digest([], [], [whole]) != module._digest([], [], [half])

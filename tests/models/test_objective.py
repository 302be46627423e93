"""Each part of what a student is trained for: by hand, by finite differences, and lower where it is trained for."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line
from scipy.stats import chisquare
from torch.nn.functional import cosine_similarity, cross_entropy

import trusteq
from trusteq.errors import ModelError
from trusteq.models import finetune as fine_tuning
from trusteq.models import training
from trusteq.models.classifier import as_classifier
from trusteq.models.compress import encoder_layers
from trusteq.models.recipe import Recipe
from trusteq.models.training import (
    Batch,
    check_teacher,
    confidence_loss,
    deletion_loss,
    distillation_loss,
    hidden_loss,
    needs_words,
    student_loss,
    with_words_deleted,
    word_gradients,
)
from trusteq.registry import Compression, ModelSpec

LABELS = ("no", "yes", "maybe")
# "reads" and "sleeps" are two tokens each, "unfriendly" three.
WHOLE = "a the man woman dog in park house good bad very not"
VOCABULARY = f"[PAD] [UNK] [CLS] [SEP] [MASK] . , ! {WHOLE} read sleep ##s un ##friend ##ly".split()
WORDS = f"{WHOLE} reads sleeps unfriendly".split()


def classifier(*, layers=2, seed=0, vocabulary=VOCABULARY, labels=LABELS, hidden=16):
    """A random BERT in double precision, so that numerical derivatives can be exact."""
    sizes = {"vocab_size": len(vocabulary), "hidden_size": hidden, "intermediate_size": 32, "num_hidden_layers": layers}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3}
    config = transformers.BertConfig(**sizes, id2label=dict(enumerate(labels)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.BertForSequenceClassification(config).double()
    ids = {token: index for index, token in enumerate(vocabulary)}
    return as_classifier(model, transformers.BertTokenizer(vocab=ids, model_max_length=64), labels, device="cpu")


def texts(n, *, seed=0):
    """Pairs whose words all differ, with punctuation, and labels of no meaning."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(WORDS)[: rng.integers(4, 10)] for _ in range(n)]
    firsts = [f"{' '.join(words[: len(words) // 2])} ," for words in drawn]
    seconds = [f"{' '.join(words[len(words) // 2 :])} !" for words in drawn]
    table = pd.DataFrame({"text_a": firsts, "text_b": seconds, "label": rng.integers(0, 3, size=n)})
    return table.assign(id=[f"train-{row}" for row in range(n)])


@pytest.fixture
def batch(tmp_path):
    """A function that makes a batch of a table, as training does."""

    def make(table, teacher):
        taught = training.taught(
            training.tokenised(table, teacher.tokenizer, folder=tmp_path, with_words=True), table, teacher
        )
        made = training.collator(teacher.tokenizer)(list(taught))
        labels, words = made.pop("labels"), made.pop("words")
        return Batch(made, labels, made.pop("teacher").double(), words)

    return make


TEACHER, STUDENT = classifier(layers=3, seed=1), classifier(layers=2, seed=2)


def recipe(**weights):
    return Recipe(**{"distillation_weight": 0.0, **weights})


# --- confidence ---


def test_confidence_loss_by_hand():
    student = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    teacher = torch.tensor([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    # 0.8 beside 0.6, whatever the class; 0.5 beside 0.5; 1/3 beside 1.
    expected = (0.2**2 + 0 + (2 / 3) ** 2) / 3
    assert confidence_loss(student.log() + 5, teacher).item() == pytest.approx(expected, rel=1e-5)


# --- gradients of words ---


def words_of(of, made):
    """`word_gradients` of a classifier, (n, words)."""
    with training._watched(of.model, embeddings=True, layers=False) as seen:
        logits = of.model(**made.inputs).logits
    return word_gradients(logits, seen["embeddings"][0], made, create_graph=False).detach()


def test_word_gradients_are_derivatives_of_the_log_probability(batch):
    made = batch(texts(3), TEACHER)
    found = words_of(STUDENT, made).numpy()
    step, expected = 1e-5, np.zeros_like(found)
    embeddings = STUDENT.model.get_input_embeddings()

    @torch.no_grad()
    def gold(row, word, change):
        """The log-probability of the gold class where the embeddings of a word are longer by a share."""
        factor = 1 + change * (made.words == word) * (torch.arange(3) == row)[:, None].double()
        handle = embeddings.register_forward_hook(lambda *call: call[-1] * factor[..., None])
        logits = STUDENT.model(**made.inputs).logits
        handle.remove()
        return logits.log_softmax(dim=-1)[row, made.labels[row]].item()

    for row, word in np.ndindex(found.shape):
        expected[row, word] = (gold(row, word, step) - gold(row, word, -step)) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)
    n_words = made.words.amax(dim=1).numpy() + 1
    assert (np.abs(found).max(axis=1) > 1e-3).all() and len(set(n_words)) > 1
    assert all((found[row, n:] == 0).all() for row, n in enumerate(n_words))


def test_word_gradients_point_where_gradient_x_input_does(batch):
    table = texts(6)
    made = batch(table, TEACHER)
    found = words_of(STUDENT, made).numpy()
    weights = trusteq.explain(STUDENT, table, method="gradient-x-input")
    probabilities = STUDENT.predict_proba(table["text_a"], table["text_b"])
    for row, example in enumerate(table.itertuples()):
        of_gold = weights[(weights["id"] == example.id) & (weights["label"] == LABELS[example.label])]
        # The derivative of log p is that of p over p.
        expected = of_gold["weight"].to_numpy() / probabilities[row, example.label]
        np.testing.assert_allclose(found[row, : len(expected)], expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("by", ["gradients", "deletion"])
def test_texts_without_words_cost_nothing_that_is_no_number(batch, by):
    table = texts(2).assign(text_a=[", !", "a dog"], text_b=["!", "."])
    settings = recipe(attribution_weight=1.0, attribution_by=by)
    for part in (table, table.head(1)):
        student = classifier(layers=1)
        loss, _ = student_loss(student.model, batch(part, TEACHER), teacher=TEACHER, recipe=settings)
        loss.backward()
        assert torch.isfinite(loss)
        assert all(
            torch.isfinite(values.grad).all() for values in student.model.parameters() if values.grad is not None
        )


# --- deletion ---


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def real_ids(inputs, row):
    return inputs["input_ids"][row][inputs["attention_mask"][row].bool()].tolist()


def test_what_is_left_is_the_text_without_the_words(batch, seeded):
    table = texts(200)
    made = batch(table, TEACHER)
    before = {name: values.clone() for name, values in made.inputs.items()}
    found = with_words_deleted(made.inputs, made.words, padding=0)
    assert all(torch.equal(values, made.inputs[name]) for name, values in before.items())
    assert found.keys() == made.inputs.keys()
    tokenizer, counts = TEACHER.tokenizer, []
    for row, example in enumerate(table.itertuples()):
        left = " ".join(tokenizer.convert_ids_to_tokens(real_ids(found, row))).replace(" ##", "").split()
        sides = [[word for word in text.split() if word in left] for text in (example.text_a, example.text_b)]
        expected = tokenizer(" ".join(sides[0]), " ".join(sides[1]))
        kept = found["attention_mask"][row].bool()
        assert real_ids(found, row) == expected["input_ids"]
        assert found["token_type_ids"][row][kept].tolist() == expected["token_type_ids"]
        assert sides[0][-1] == "," and sides[1][-1] == "!"
        # Closed up to the left; what follows is padding.
        assert kept.tolist() == sorted(kept.tolist(), reverse=True)
        assert not found["input_ids"][row][~kept].any() and not found["token_type_ids"][row][~kept].any()
        counts.append(len(f"{example.text_a} {example.text_b}".split()) - sum(map(len, sides)))
    assert min(counts) == 1 and (np.array(counts) == made.words.amax(dim=1).numpy() + 1).any()


def test_the_number_of_deleted_words_is_even_and_so_is_which(batch, seeded):
    table = texts(1).assign(text_a="a good man reads ,", text_b="the dog !")
    made = batch(table, TEACHER)
    n, times = 6, 6000
    inputs = {name: values.expand(times, -1) for name, values in made.inputs.items()}
    found = with_words_deleted(inputs, made.words.expand(times, -1), padding=0)
    heads = [TEACHER.tokenizer.convert_tokens_to_ids(word) for word in ("a", "good", "man", "read", "the", "dog")]
    gone = np.stack([~(found["input_ids"] == head).any(dim=1).numpy() for head in heads], axis=1)
    counts = np.bincount(gone.sum(axis=1), minlength=n + 1)
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > 0.001
    assert chisquare(gone[gone.sum(axis=1) == 1].sum(axis=0)).pvalue > 0.001


def test_padding_and_inputs_are_the_models_own(seeded):
    inputs = {
        "input_ids": torch.tensor([[2, 9, 3, 7], [2, 9, 10, 3]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1] * 4]),
    }
    found = with_words_deleted(inputs, torch.tensor([[-1, 0, -1, -1], [-1, -1, -1, -1]]), padding=7)
    assert found.keys() == inputs.keys()
    # The first text has one word, which goes; the second has none.
    assert found["input_ids"].tolist() == [[2, 3, 7, 7], [2, 9, 10, 3]]
    assert found["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_a_student_that_is_its_teacher_has_no_deletion_loss(batch):
    made = batch(texts(8), TEACHER)
    assert deletion_loss(TEACHER.model, TEACHER, made, 2.0).item() == pytest.approx(0, abs=1e-9)
    assert deletion_loss(STUDENT.model, TEACHER, made, 2.0).item() > 0.01


def test_deletion_loss_is_distillation_on_what_is_left(batch, seeded):
    made = batch(texts(8), TEACHER)
    state = torch.get_rng_state()
    found = deletion_loss(STUDENT.model, TEACHER, made, 3.0)
    torch.set_rng_state(state)
    inputs = with_words_deleted(made.inputs, made.words, padding=0)
    own, target = (of.model(**inputs).logits for of in (STUDENT, TEACHER))
    torch.testing.assert_close(found, distillation_loss(own, target.softmax(dim=-1), 3.0))


# --- hidden states ---


def test_hidden_loss_by_hand():
    real = torch.tensor([[True, True, False]])
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    # Cosines 0 and 1, whatever the length; what stands at the padding does not count.
    student = torch.tensor([[[0.0, 3.0], [0.0, 1.0], [-5.0, -5.0]]])
    assert hidden_loss([student], [teacher], real).item() == pytest.approx((1 + 0) / 2)
    assert hidden_loss([teacher, student], [teacher, student], real).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("n_student", "n_teacher", "expected"),
    [(1, 3, [3]), (2, 4, [2, 4]), (3, 6, [2, 4, 6]), (3, 3, [1, 2, 3]), (2, 3, [2, 3]), (4, 2, [1, 1, 2, 2])],
)
def test_layers_are_compared_at_the_same_share_of_the_depth(n_student, n_teacher, expected):
    axes = torch.eye(n_teacher + 1)
    teacher = [axes[number].expand(1, 1, -1) for number in range(1, n_teacher + 1)]
    real = torch.ones(1, 1, dtype=torch.bool)
    found = []
    for number in range(n_student):
        for target in range(1, n_teacher + 1):
            # One layer of the student looks like one of the teacher's, all others like none.
            states = [axes[target if layer == number else 0].expand(1, 1, -1) for layer in range(n_student)]
            if hidden_loss(states, teacher, real).item() < 1 - 0.5 / n_student:
                found.append(target)
    assert [min(max(round(number), 1), n_teacher) for number in found] == expected


def test_hidden_states_are_those_of_the_layers(batch):
    made = batch(texts(4), TEACHER)
    with training._watched(STUDENT.model, embeddings=False, layers=True) as seen:
        STUDENT.model(**made.inputs)
    states = STUDENT.model(**made.inputs, output_hidden_states=True).hidden_states[1:]
    assert len(seen["layers"]) == 2
    for found, expected in zip(seen["layers"], states, strict=True):
        torch.testing.assert_close(found, expected)


def test_watching_ends_with_the_block():
    watched = [STUDENT.model.get_input_embeddings(), *encoder_layers(STUDENT.model)]
    before = [list(part._forward_hooks) for part in watched]
    with pytest.raises(KeyError), training._watched(STUDENT.model, embeddings=True, layers=True):
        raise KeyError
    assert [list(part._forward_hooks) for part in watched] == before


# --- the sum ---

PARTS = {
    "task": {},
    "soft labels": {"distillation_weight": 0.7, "temperature": 3.0},
    "confidence": {"confidence_weight": 2.5},
    "gradients": {"attribution_weight": 1.5, "attribution_by": "gradients"},
    "deletion": {"attribution_weight": 1.5, "attribution_by": "deletion", "temperature": 3.0},
    "hidden": {"hidden_weight": 0.8},
}
PARTS["all with gradients"] = {**PARTS["soft labels"], **PARTS["confidence"], **PARTS["gradients"], **PARTS["hidden"]}
PARTS["all with deletion"] = {**PARTS["soft labels"], **PARTS["confidence"], **PARTS["deletion"], **PARTS["hidden"]}


def by_parts(student, made, settings):
    """The loss put together from its parts, each taken from the models anew."""
    answers = [of.model(**made.inputs, output_hidden_states=True) for of in (student, TEACHER)]
    logits = answers[0].logits
    parts = {
        "task": (1 - settings.distillation_weight) * cross_entropy(logits, made.labels),
        "soft": settings.distillation_weight * distillation_loss(logits, made.teacher, settings.temperature),
        "confidence": settings.confidence_weight * confidence_loss(logits, made.teacher),
    }
    if settings.attribution_weight and settings.attribution_by == "gradients":
        own, target = words_of(student, made), words_of(TEACHER, made)
        parts["attribution"] = settings.attribution_weight * (1 - cosine_similarity(own, target)).mean()
    elif settings.attribution_weight:
        deleted = deletion_loss(student.model, TEACHER, made, settings.temperature)
        parts["attribution"] = settings.attribution_weight * deleted
    states = [list(found.hidden_states[1:]) for found in answers]
    real = made.inputs["attention_mask"].bool()
    parts["hidden"] = settings.hidden_weight * hidden_loss(*states, real)
    return sum(parts.values())


@pytest.mark.parametrize("part", PARTS)
def test_the_loss_is_the_weighted_sum_of_its_parts(part, batch):
    made, settings = batch(texts(5), TEACHER), recipe(**PARTS[part])
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found, outputs = student_loss(STUDENT.model, made, teacher=TEACHER, recipe=settings)
        torch.manual_seed(5)
        torch.testing.assert_close(found, by_parts(STUDENT, made, settings))
    torch.testing.assert_close(outputs.logits, STUDENT.model(**made.inputs).logits)


@pytest.mark.parametrize("part", PARTS)
def test_its_gradient_is_the_numerical_one(part, batch):
    made, settings = batch(texts(5), TEACHER), recipe(**PARTS[part])
    student = classifier(layers=2, seed=2)
    weights = list(student.model.parameters())
    generator = torch.Generator().manual_seed(4)
    way = [torch.randn(values.shape, generator=generator, dtype=torch.float64) for values in weights]

    def loss():
        with torch.random.fork_rng():
            torch.manual_seed(5)
            return student_loss(student.model, made, teacher=TEACHER, recipe=settings)[0]

    def moved(step):
        with torch.no_grad():
            for values, direction in zip(weights, way, strict=True):
                values.add_(direction, alpha=step)
        found = loss().item()
        with torch.no_grad():
            for values, direction in zip(weights, way, strict=True):
                values.sub_(direction, alpha=step)
        return found

    loss().backward()
    slope = sum(float((values.grad * direction).sum()) for values, direction in zip(weights, way, strict=True))
    assert slope == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-4)
    assert all(values.grad is None for values in TEACHER.model.parameters()), "the teacher does not learn"


def test_attribution_by_gradients_moves_the_embeddings_of_words(batch):
    made, gradients = batch(texts(5), TEACHER), {}
    for weight in (0.0, 1.0):
        student = classifier(layers=2, seed=2)
        settings = recipe(attribution_weight=weight, attribution_by="gradients")
        student_loss(student.model, made, teacher=TEACHER, recipe=settings)[0].backward()
        gradients[weight] = {name: values.grad for name, values in student.model.named_parameters()}
    # All that a gradient over words depends on; the bias of the last scores among it, by the probability.
    for name, before in gradients[0.0].items():
        if not name.endswith("key.bias"):  # which softmax does not see
            assert (gradients[1.0][name] - before).abs().max() > 1e-6, name


# --- who can teach whom ---


def test_what_a_recipe_needs():
    assert not needs_words(recipe(hidden_weight=1.0, confidence_weight=1.0))
    for by in ("gradients", "deletion"):
        assert needs_words(recipe(attribution_weight=0.1, attribution_by=by))


OTHER_ORDER = [*VOCABULARY[:-2], *VOCABULARY[:-3:-1]]


@pytest.mark.parametrize(
    ("teacher", "weights", "parts"),
    [
        ({"labels": ("no", "yes")}, {}, ["classes no, yes,", "student no, yes, maybe", "same task"]),
        ({"labels": ("yes", "no", "maybe")}, {}, ["classes yes, no, maybe", "student no, yes, maybe"]),
        ({"vocabulary": VOCABULARY[:-1]}, {"attribution_weight": 1.0}, ["vocabularies", "attribution_weight"]),
        ({"vocabulary": OTHER_ORDER}, {"attribution_weight": 1.0}, ["vocabularies", "tokenizer"]),
        ({"vocabulary": OTHER_ORDER}, {"hidden_weight": 1.0}, ["vocabularies", "hidden_weight"]),
        ({"hidden": 8}, {"hidden_weight": 1.0}, ["hidden_weight", "8 numbers", "16", "set it to 0"]),
    ],
)
def test_teachers_that_do_not_fit(teacher, weights, parts):
    teacher = classifier(layers=1, **teacher)

    def check(settings):
        check_teacher(STUDENT, teacher=teacher, recipe=settings)

    one_line(ModelError, lambda: check(recipe(**weights)), *parts)
    if teacher.labels == LABELS:
        check(recipe(distillation_weight=1.0, confidence_weight=1.0))  # which ask for the teacher's answers alone


def test_a_teacher_of_another_width_teaches_words():
    teacher = classifier(layers=1, hidden=8)
    check_teacher(STUDENT, teacher=teacher, recipe=recipe(attribution_weight=1.0))


# --- training ---

TAUGHT = {
    "soft labels": {"distillation_weight": 1.0},
    "confidence": {"confidence_weight": 30.0},
    "gradients": {"attribution_weight": 5.0, "attribution_by": "gradients"},
    "deletion": {"attribution_weight": 5.0, "attribution_by": "deletion"},
    "hidden": {"hidden_weight": 10.0},
}


@pytest.fixture(scope="module")
def large():
    """A teacher in single precision, as in use, and a task that is what it says."""
    made = classifier(layers=3, seed=1)
    made = replace(made, model=made.model.float())
    table = texts(96, seed=7)
    return made, table.assign(label=made.predict_proba(table["text_a"], table["text_b"]).argmax(axis=1))


def part_of(student, made, teacher, name):
    """One part of the loss, without its weight and the task's."""
    settings, without = recipe(**TAUGHT[name]), recipe(distillation_weight=TAUGHT[name].get("distillation_weight", 0.0))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        found, _ = student_loss(student.model, made, teacher=teacher, recipe=settings)
        if name == "soft labels":
            return found.item()
        return (found - student_loss(student.model, made, teacher=teacher, recipe=without)[0]).item()


def first_layer(large, folder, **weights):
    """The teacher's first layer, trained on the task and for what the weights say, after its last epoch."""
    teacher, table = large
    compression = Compression(of="large", way="keep-layers", options={"layers": [0]}, recover=True)
    spec = ModelSpec(name="small", title="Small", teacher="large", compress=compression)
    options = {"spec": spec, "labels": LABELS, "seed": 0, "original": teacher, "teacher": teacher}
    settings = recipe(batch_size=8, learning_rate=3e-3, epochs=4, **weights)
    epochs = itertools.count()  # each better than the one before, so that the last is returned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tuning, "_accuracy", lambda evaluation: {"accuracy": float(next(epochs))})
        return fine_tuning.finetune(table.head(72), table.tail(24), recipe=settings, checkpoints=folder, **options)


@pytest.fixture(scope="module")
def untaught(large, tmp_path_factory):
    return first_layer(large, tmp_path_factory.mktemp("untaught")).classifier


@pytest.mark.parametrize("name", TAUGHT)
def test_training_for_a_part_lowers_it(name, large, untaught, batch, tmp_path):
    teacher, table = large
    made = batch(table.tail(24), teacher)
    made = replace(made, teacher=made.teacher.float())
    taught = first_layer(large, tmp_path / "taught", **TAUGHT[name]).classifier
    before, after = (part_of(student, made, teacher, name) for student in (untaught, taught))
    assert after < 0.8 * before

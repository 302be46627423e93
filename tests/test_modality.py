"""Tables of arrays beside tables of texts: read, checked, explained, audited, trained on."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from refusals import one_line

import trusteq
from trusteq import modality
from trusteq.alignment.evidence import faithfulness
from trusteq.attribution.explain import check_reads
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.examples.files import read_examples
from trusteq.examples.table import checked_examples, made_of_texts
from trusteq.models.array_classifier import ArrayClassifier
from trusteq.models.build import compress, random_head
from trusteq.models.classifier import load_classifier
from trusteq.models.finetune import finetune, save
from trusteq.models.recipe import Recipe
from trusteq.registry import Compression, ModelSpec, Scratch, Source, Task, validated
from trusteq.study.experiment import Experiment
from trusteq.verdict.audit import grouped

LABELS = ("left", "right")
SHAPE = Scratch(
    num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=16, patch_size=4,
    hidden_dropout_prob=0, attention_probs_dropout_prob=0, initializer_range=0.1,
)  # fmt: skip


def table(n: int, seed: int = 0) -> pd.DataFrame:
    """Images, (8, 16), of which one half is bright: the label says which."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 60, (n, 8, 16), dtype=np.uint8), rng.integers(0, 2, n)
    for image, label in zip(images, labels, strict=True):
        image[:, 8 * label : 8 * label + 8] += 180
    return pd.DataFrame({"id": [f"test-{row}" for row in range(n)], "image": list(images), "label": labels})


def halves(images):
    """A callable: the share of the brightness of each half."""
    sums = np.array([[image[:, :8].sum(), image[:, 8:].sum()] for image in images], dtype=float) + 1
    return sums / sums.sum(axis=1, keepdims=True)


halves.labels = LABELS


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    spec = ModelSpec(name="vit", title="ViT", scratch=SHAPE)
    recipe = Recipe(learning_rate=3e-3, epochs=3, batch_size=16)
    home = tmp_path_factory.mktemp("vit")
    how = {"labels": LABELS, "recipe": recipe, "seed": 0, "checkpoints": home / "checkpoints"}
    return finetune(table(160), table(40, 1), spec=spec, **how)


def test_a_table_has_one_kind_of_input():
    assert modality.of(table(1)).name == "image"
    assert modality.of(pd.DataFrame({"text_a": ["a"]})) is None
    assert modality.of(table(1).assign(text_a="a")) is None  # a caption, beside what it is about
    one_line(DataError, lambda: modality.of(table(1).assign(sound="a")), "image and sound", "one kind")


def test_what_is_given_to_a_classifier():
    pairs = pd.DataFrame({"text_a": ["a", "b"], "text_b": ["c", None]}, dtype=object)
    assert modality.given(pairs) == (["a", "b"], ["c", None])
    assert modality.given(pairs.assign(text_b=None)) == (["a", "b"], None)
    (images,) = modality.given(table(3))
    assert [image.shape for image in images] == [(8, 16)] * 3


def test_equal_arrays_belong_together():
    found = table(3)
    assert grouped(found) is None
    twice = pd.concat([found, found], ignore_index=True)
    groups = grouped(twice)
    assert groups[:3].tolist() == groups[3:].tolist() and len(set(groups)) == 3
    assert modality.hashed(np.zeros(4, np.uint8)) != modality.hashed(np.zeros((2, 2), np.uint8))


def test_the_hash_of_examples_follows_every_pixel():
    found, other = table(3), table(3)
    other["image"].iloc[1][0, 0] += 1
    assert made_of_texts(found) != made_of_texts(other)
    assert made_of_texts(found) == made_of_texts(table(3))


@pytest.mark.parametrize(
    ("array", "said"),
    [("text", "str, not an image"), (np.zeros((2, 2)), "float64"), (np.zeros((2, 2, 4), np.uint8), "4 channels")],
)
def test_a_bad_array_is_named_by_its_row(array, said):
    bad = pd.DataFrame({"image": [np.zeros((8, 16), np.uint8), array], "label": [0, 1]})
    one_line(DataError, lambda: checked_examples(bad, LABELS), "row 1", said)


def test_weights_of_a_callable_are_those_of_its_halves():
    weights = trusteq.explain(halves, table(2), method="occlusion", features="grid-1x2", mask="zero")
    assert weights["word"].unique().tolist() == ["r0 c0", "r0 c1"]
    assert (weights.attrs["mask"], weights.attrs["features"]) == ("zero", "grid-1x2")
    for row in table(2).itertuples():
        left, right = row.image[:, :8].sum() + 1.0, row.image[:, 8:].sum() + 1.0
        of = weights[(weights["id"] == row.id) & (weights["label"] == "left")].set_index("position")["weight"]
        # What `left` loses without the left half, and without the right one.
        expected = np.array([left / (left + right) - 1 / (1 + right), left / (left + right) - left / (left + 1)])
        np.testing.assert_allclose(of.to_numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"mask": "[MASK]"}, "unknown mask"),
        ({"boundary": "as-released"}, "pairs of texts"),
        ({"features": "x"}, "grid"),
    ],
)
def test_options_that_are_not_for_images(how, said):
    one_line(ExperimentError, lambda: trusteq.explain(halves, table(1), **{"method": "lime"} | how), said)


def test_a_bad_cut_is_said_before_any_model_is_asked():
    def asked(images):
        raise AssertionError("asked")

    asked.labels = LABELS
    one_line(ExperimentError, lambda: trusteq.audit(asked, asked, table(8), features="grid-9x99"), "finer")


def test_a_graph_of_texts_reads_no_images():
    class Reads:
        tokenizer, modality = object(), None

    one_line(ModelError, lambda: check_reads(Reads(), modality.load("image")), "reads text", "hold image")


def test_an_experiment_knows_what_stands_for_a_patch_and_for_a_word():
    models = {"vit": {"title": "ViT", "scratch": SHAPE.model_dump()}}

    def experiment(task: str, how: dict, **settings) -> Experiment:
        values = {"name": "x", "title": "X", "tasks": {task: settings}, "models": models}
        return validated(Experiment, values | {"methods": {"lime": how}}, where="x")

    assert experiment("digits", {"mask": "blur"}).task_methods("digits")["lime"].mask == "blur"
    one_line(ExperimentError, lambda: experiment("digits", {"mask": "silence"}), "unknown mask 'silence'")
    one_line(ExperimentError, lambda: experiment("demo-nli", {"mask": "blur"}), "unknown mask 'blur'")
    one_line(ExperimentError, lambda: experiment("digits", {"boundary": "as-released"}), "pairs of texts")
    one_line(ExperimentError, lambda: experiment("demo-nli", {}, features="grid-2x2"), "images or sound")


def test_a_column_that_is_named_comes_before_one_called_image(tmp_path):
    (tmp_path / "captions.csv").write_text("caption,image,label\na dog,dog.png,left\na cat,cat.png,right\n")
    found = read_examples(tmp_path / "captions.csv", labels=LABELS, columns={"text_a": "caption"})
    assert found["text_a"].tolist() == ["a dog", "a cat"] and "image" not in found


def test_texts_stand_in_their_order_however_a_task_lists_them(tmp_path):
    (tmp_path / "pairs.csv").write_text("second,first,gold\nb,a,left\n")
    task = Task.model_construct(
        name="t", title="T", labels=LABELS, columns={"label": "gold", "text_b": "second", "text_a": "first"}
    )
    found = read_examples(tmp_path / "pairs.csv", task=task)
    assert found[["text_a", "text_b"]].to_numpy().tolist() == [["a", "b"]]


def test_files_are_read_from_beside_the_table(tmp_path):
    found = table(4)
    for row in found.itertuples():
        Image.fromarray(row.image).save(tmp_path / f"{row.id}.png")
    listed = pd.DataFrame(
        {"image": [f"{name}.png" for name in found["id"]], "label": [LABELS[of] for of in found["label"]]}
    )
    listed.to_csv(tmp_path / "images.csv", index=False)
    read = trusteq.read_examples(tmp_path / "images.csv", labels=LABELS)
    assert read["label"].tolist() == found["label"].tolist()
    for image, expected in zip(read["image"], found["image"], strict=True):
        np.testing.assert_array_equal(image, expected)
    listed["image"].to_frame().assign(label="left", image="gone.png").to_csv(tmp_path / "gone.csv", index=False)
    one_line(
        DataError, lambda: trusteq.read_examples(tmp_path / "gone.csv", labels=LABELS), "gone.csv:2", "no such file"
    )


def test_images_of_a_data_set_of_the_hub(tmp_path, monkeypatch):
    import datasets

    from trusteq.examples.load import read_source

    found, folder = table(3), tmp_path / "datasets" / "some" / "images"
    files = []
    for image in found["image"]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="PNG")
        files.append({"bytes": file.getvalue(), "path": None})
    features = datasets.Features({"img": datasets.Image(), "fine": datasets.Value("int64")})
    folder.mkdir(parents=True)
    rows = datasets.Dataset.from_dict({"img": files, "fine": found["label"].tolist()}, features=features)
    rows.to_parquet(folder / "train.parquet")
    task = Task.model_construct(name="t", title="t", labels=LABELS, columns={"image": "img", "label": "fine"})
    read = read_source(Source(dataset="some/images", split="train"), task, hub=tmp_path)
    assert read["label"].tolist() == found["label"].tolist()
    np.testing.assert_array_equal(np.stack(read["image"]), np.stack(found["image"]))


def test_arrays_survive_a_file_of_tables(tmp_path):
    found = table(2).assign(evidence=[((0, 1),), ((0, 2),)])
    modality.packed(found).to_parquet(tmp_path / "some.parquet")
    read = modality.unpacked(pd.read_parquet(tmp_path / "some.parquet"))
    assert list(read) == ["id", "image", "label"]
    np.testing.assert_array_equal(np.stack(read["image"]), np.stack(found["image"]))


def test_a_model_from_scratch_learns_is_saved_and_loaded(tuned, tmp_path):
    test = table(60, 2)
    probabilities = tuned.classifier.predict_proba(test["image"].tolist())
    assert (probabilities.argmax(axis=1) == test["label"]).mean() > 0.9
    save(tuned, tmp_path / "vit", metrics={}, timing={})
    loaded = load_classifier(tmp_path / "vit")
    assert isinstance(loaded, ArrayClassifier) and loaded.labels == LABELS
    np.testing.assert_array_equal(loaded.predict_proba(test["image"].tolist()), probabilities)
    one_line(ModelError, lambda: load_classifier(tmp_path / "vit", template="{text_a} and {text_b}"), "for texts")


def test_the_best_epoch_is_the_one_that_is_kept(tmp_path):
    """What the library calls weights of this family in a file is not what the model calls them."""
    how = {"labels": LABELS, "seed": 0, "checkpoints": tmp_path / "c"}
    spec, recipe = ModelSpec(name="vit", title="ViT", scratch=SHAPE), Recipe(learning_rate=0.2, epochs=3, batch_size=4)
    found, dev = finetune(table(40), table(60, 1), spec=spec, recipe=recipe, **how), table(60, 1)
    right = found.classifier.predict_proba(dev["image"].tolist()).argmax(axis=1) == dev["label"]
    history = found.history["eval_accuracy"]
    assert history.nunique() > 1 and history.iloc[-1] < history.max() and right.mean() == pytest.approx(history.max())


def test_it_is_compressed_and_given_a_random_head_as_any_other(tuned, tmp_path):
    images = table(20, 3)["image"].tolist()
    whole = tuned.classifier.predict_proba(images)
    small = compress(tuned.classifier, Compression(of="vit", way="int8"))
    assert 0 < np.abs(small.predict_proba(images) - whole).max() < 0.1
    small.save(tmp_path / "int8")
    loaded = load_classifier(tmp_path / "int8")
    np.testing.assert_array_equal(loaded.predict_proba(images), small.predict_proba(images))
    cut = compress(tuned.classifier, Compression(of="vit", way="keep-layers", options={"layers": [0]}))
    assert cut.model.config.num_hidden_layers == 1 and np.abs(cut.predict_proba(images) - whole).max() > 1e-3
    assert np.abs(random_head(tuned.classifier, seed=0).predict_proba(images) - whole).max() > 0.1


def test_a_student_of_images_learns_from_its_teacher(tuned, tmp_path):
    spec = ModelSpec(name="small", title="Small", scratch=SHAPE, teacher="vit")
    how = {"labels": LABELS, "seed": 0, "checkpoints": tmp_path / "c", "teacher": tuned.classifier, "spec": spec}
    recipe = Recipe(learning_rate=3e-3, epochs=4, batch_size=8, distillation_weight=1.0, hidden_weight=0.1)
    student = finetune(table(120), table(40, 1), recipe=recipe, **how).classifier
    images = table(40, 4)["image"].tolist()
    agree = student.predict_proba(images).argmax(axis=1) == tuned.classifier.predict_proba(images).argmax(axis=1)
    assert agree.mean() > 0.8
    by_words = Recipe(attribution_weight=1.0)
    one_line(ModelError, lambda: finetune(table(20), table(20, 1), recipe=by_words, **how), "is for words")


def test_an_image_classifier_refuses_texts_and_the_other_way_round(tuned):
    texts = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": [None]})
    one_line(ModelError, lambda: trusteq.explain(tuned.classifier, texts), "reads image", "text")
    wide = pd.DataFrame({"id": ["a"], "image": [np.zeros((8, 20), np.uint8)]})
    one_line(DataError, lambda: trusteq.explain(tuned.classifier, wide), "row 0", "8 x 20", "8 x 16")


def test_gradients_and_faithfulness_of_a_trained_model(tuned):
    test = table(6, 5)
    weights = trusteq.explain(tuned.classifier, test, method="integrated-gradients", features="grid-2x4", mask="zero")
    assert max(weights.attrs["convergence"].values()) < 0.2
    label = test.set_index("id")["label"].map(dict(enumerate(LABELS)))
    found = faithfulness(tuned.classifier, test, weights, k=4, label=label)
    assert found["comprehensiveness"].mean() > 0.2  # without the half that decides it is lost


def test_an_audit_of_two_models_of_images(tuned, tmp_path):
    small = compress(tuned.classifier, Compression(of="vit", way="int8"))
    how = {"explain": 8, "n_samples": 60, "k": 3, "features": "grid-2x4", "keep": tmp_path}
    found = trusteq.audit(tuned.classifier, small, table(40, 6), **how)
    assert any("patches (grid-2x4), masked by mean" in note for note in found.notes)
    page = found.to_html()
    assert "different patches" in page and "top patches" in page.lower()
    assert found.to_model_card() and found.facts["units"] == "patches"
    again = trusteq.audit(tuned.classifier, small, table(40, 6), **how)
    assert again.to_json() == found.to_json()  # read from what was kept
    one_line(
        ExperimentError,
        lambda: trusteq.audit(tuned.classifier, small, table(10), watch=["red"]),
        "watch is for words",
    )


def test_a_cut_that_fits_no_example_is_said_before_a_model_is_asked(tmp_path):
    def asked(images):
        raise AssertionError("a model was run")

    asked.labels = LABELS
    mixed = table(4)
    mixed.at[3, "image"] = np.zeros((3, 3), np.uint8)
    for features, said in (("grid-4x4", "test-3"), ("segments-4", "unknown features"), ("", "unknown features")):
        how = {"features": features, "keep": tmp_path / "kept"}
        one_line(ExperimentError, lambda how=how: trusteq.audit(asked, asked, mixed, **how), said)
    assert not (tmp_path / "kept").exists()


def test_features_are_not_for_texts():
    def short(texts):
        return np.tile([0.25, 0.75], (len(texts), 1))

    texts = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": [None]})
    one_line(ExperimentError, lambda: trusteq.explain(short, texts, labels=LABELS, features="grid-2x2"), "words")


def test_a_callable_may_change_the_arrays_it_is_given():
    def clears(images):
        found = halves(images)
        for image in images:
            image[:] = 0
        return found

    before, given = table(2), table(2)
    how = {"method": "occlusion", "features": "grid-1x2", "labels": LABELS}
    pd.testing.assert_frame_equal(trusteq.explain(clears, given, **how), trusteq.explain(halves, before, **how))
    assert all(map(np.array_equal, given["image"], before["image"]))


def test_a_file_of_two_kinds_of_input_is_refused_but_for_texts(tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("image,sound,label\na.png,a.wav,left\n")
    one_line(DataError, lambda: trusteq.read_examples(path, labels=LABELS), "both.csv:1", "image and sound")
    path.write_text("image,text_a,label\na.png,hello,left\n")
    assert trusteq.read_examples(path, labels=LABELS)["text_a"].tolist() == ["hello"]
    path.write_text("image,label\n,left\n")
    one_line(DataError, lambda: trusteq.read_examples(path, labels=LABELS), "both.csv:2", "the name of a file")


def test_arrays_are_no_slices_and_dev_is_checked_as_the_examples_are(tuned):
    one_line(DataError, lambda: trusteq.audit(halves, halves, table(4), slices="image"), "holds arrays")
    wide = table(4).assign(image=[np.zeros((8, 20), np.uint8)] * 4)
    how = {"dev": wide, "features": "grid-1x2"}
    one_line(DataError, lambda: trusteq.audit(tuned.classifier, tuned.classifier, table(4), **how), "8 x 20")


IMAGES, OF_TEXTS = {"image": "image", "label": "label"}, {"text_a": "text_a", "label": "label"}


@pytest.mark.parametrize(
    ("columns", "task", "method", "model", "said"),
    [
        (IMAGES | OF_TEXTS, {}, {}, {}, "one input"),
        ({"image": "image"}, {}, {}, {}, "label"),
        (IMAGES, {"features": "segments-4"}, {}, {}, "unknown features"),
        (OF_TEXTS, {"features": "grid-4x4"}, {}, {}, "those of texts are words"),
        (IMAGES, {}, {"mask": "silence"}, {}, "unknown mask"),
        (OF_TEXTS, {}, {"mask": "blur"}, {}, "unknown mask"),
        (IMAGES, {}, {"boundary": "as-released"}, {}, "pairs of texts"),
        (OF_TEXTS, {}, {}, {"scratch": SHAPE}, "patch_size"),
        (IMAGES, {}, {}, {"scratch": SHAPE, "tokenizer": "a/b"}, "tokenizer"),
        (IMAGES, {}, {}, {"hub": "a/b", "template": "{text_a} is"}, "template"),
        (OF_TEXTS, {}, {}, {"hub": "a/b", "template": "{text} is"}, "give {text_a}"),
        (OF_TEXTS, {}, {}, {"hub": "a/b", "template": "{text_a} is", "words": {"a": " ", "b": " b"}}, "empty word"),
    ],
)
def test_an_experiment_says_what_is_not_of_its_kind_when_it_is_read(columns, task, method, model, said):
    splits = {name: [{"file": "of.csv"}] for name in ("train", "test")}
    model = {"title": "M"} | (model or {"scratch": SHAPE})
    values = {
        "name": "x",
        "title": "X",
        "tasks": {"t": {"title": "T", "labels": ["a", "b"], "columns": columns, "splits": splits} | task},
        "models": {"m": {key: of.model_dump() if of is SHAPE else of for key, of in model.items()}},
        "methods": {"lime": method},
    }
    one_line(ExperimentError, lambda: validated(Experiment, values, where="x"), said)

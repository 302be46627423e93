"""Images in patches: trees, masks, what models read, weights against closed forms and the libraries' own explainers."""

import io
import itertools
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from games import play
from PIL import Image
from scipy.cluster.hierarchy import is_valid_linkage

from trusteq import bounds
from trusteq.attribution.engine import TextPredictor
from trusteq.attribution.explain import explain, gradient_notes, weigh
from trusteq.attribution.lime import surrogate
from trusteq.attribution.methods import METHODS, STEPS, TOLERANCE
from trusteq.attribution.owen import owen
from trusteq.errors import DataError, ExperimentError
from trusteq.modalities.image import (
    MODALITY,
    Patches,
    all_masked,
    centres_of,
    check,
    check_fits,
    encode,
    example_of,
    patches,
    quad_tree,
    read,
    scratch,
)
from trusteq.models.array_classifier import ArrayClassifier
from trusteq.models.classifier import load_classifier
from trusteq.registry import Scratch

ASKING = sorted(name for name, of in METHODS.items() if not of.needs_gradients and name != "random")
EXACT = sorted(set(ASKING) - {"lime"})
GRADIENTS = sorted(name for name, of in METHODS.items() if of.needs_gradients)
LABELS = ("no", "yes")


def picture(height, width, channels=None, seed=0):
    """Blocks of four by four pixels, each of a colour that varies a little within."""
    rng, shape = np.random.default_rng(seed), (height, width, channels or 1)
    blocks = np.kron(rng.integers(0, 240, (-(-height // 4), -(-width // 4), shape[2])), np.ones((4, 4, 1), dtype=int))
    found = (blocks[:height, :width] + rng.integers(0, 16, shape)).astype(np.uint8)
    return found if channels else found[..., 0]


def example(image, cut="grid-3x4", *, mask="mean", classifier=None, id="x", n_classes=2):
    return example_of(SimpleNamespace(id=id, image=image), n_classes, classifier=classifier, mask=mask, cut=cut)


def yes(found):
    return found.loc[found["label"] == "yes", "weight"].to_numpy()


# --- patches ---


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((28, 56), 7, 7), ((9, 10), 4, 3), ((5, 5), 5, 5), ((4, 6), 1, 1)]
)
def test_a_grid_is_as_equal_as_it_can_be(shape, rows, columns):
    patch, names, grid = patches(picture(*shape), f"grid-{rows}x{columns}")
    assert grid == (rows, columns) and patch.shape == shape and len(names) == rows * columns
    for number, name in enumerate(names):
        y, x = np.nonzero(patch == number)
        height, width = np.ptp(y) + 1, np.ptp(x) + 1
        assert height * width == len(y)  # a rectangle
        assert 0 <= height - shape[0] // rows <= 1 and 0 <= width - shape[1] // columns <= 1
        assert name == f"r{number // columns} c{number % columns}"
    rows_of, columns_of = centres_of(patch).T.reshape(2, rows, columns)
    assert (np.diff(rows_of, axis=0) > 0).all() and (np.diff(columns_of, axis=1) > 0).all()


def test_the_default_is_seven_by_seven_and_places_are_those_of_words():
    found = example(picture(28, 56), MODALITY.cut)
    assert found.n_features == 49 and found.features[8] == (0, 8, "r1 c1") and found.grid == (7, 7)


@pytest.mark.parametrize("channels", [None, 3])
def test_segments_of_flat_colours_are_these(channels):
    image = np.zeros((12, 16), dtype=np.uint8)
    image[:6, 8:], image[6:, :8], image[6:, 8:] = 90, 170, 255
    image = image if channels is None else np.stack([image] * 3, axis=-1)
    patch, names, grid = patches(image, "slic-4")
    assert grid is None and names == ("s0", "s1", "s2", "s3")
    assert [len(np.unique(image[patch == number])) for number in range(4)] == [1] * 4


def test_segments_have_numbers_without_a_gap_and_a_tree():
    found = example(picture(20, 24, 3), "slic-15")
    n = found.n_features
    assert n > 3 and list(np.unique(found.patch)) == list(range(n)) and found.features[2] == (0, 2, "s2")
    assert_is_tree(found.tree(), n)
    first = found.tree()[0]  # the two whose centres are nearest of all
    centres = centres_of(found.patch)
    distances = {pair: np.hypot(*(centres[pair[0]] - centres[pair[1]])) for pair in itertools.combinations(range(n), 2)}
    assert tuple(first) == min(distances, key=distances.get)


def test_one_segment_has_an_empty_tree():
    assert example(np.full((6, 6), 7, dtype=np.uint8), "slic-1").tree().shape == (0, 2)


def test_segments_without_scikit_image(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ExperimentError, match=r"^features 'slic-9' need scikit-image \(pip install .*'grid-7x7'$"):
        patches(picture(9, 9), "slic-9")


@pytest.mark.parametrize("how", ["grid-7", "grid-0x3", "grid-7x7 ", "slic-", "slic-0", "grid-3x-1", "words"])
def test_any_other_cut_is_refused(how):
    with pytest.raises(ExperimentError, match=r"^unknown features '.*' of an image; .*known: grid-7x7, slic-50"):
        patches(picture(9, 9), how)


def test_a_grid_finer_than_the_image_is_refused():
    with pytest.raises(ExperimentError, match=r"^x: grid-7x9 is finer than its 8 x 8 pixels; give fewer"):
        example(picture(8, 8), "grid-7x9")


# --- trees ---


def assert_is_tree(tree, n):
    assert tree.dtype == np.int64 and tree.shape == (n - 1, 2)
    sizes = np.ones(n + len(tree))
    for merge, children in enumerate(tree):
        assert (children < n + merge).all()
        sizes[n + merge] = sizes[children].sum()
    heights = np.arange(1, n)  # a merge comes after those it merges
    assert is_valid_linkage(np.column_stack([tree, heights, sizes[n:]]).astype(float)) and sizes[-1] == n


def members(tree, n):
    found = [frozenset([cell]) for cell in range(n)]
    for left, right in tree:
        found.append(found[left] | found[right])
    return found


def test_small_quad_trees_by_hand():
    assert quad_tree(1, 1).shape == (0, 2)
    assert quad_tree(2, 2).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert quad_tree(1, 3).tolist() == [[0, 1], [3, 2]]
    assert quad_tree(3, 1).tolist() == [[0, 1], [3, 2]]
    assert quad_tree(2, 3).tolist() == [[0, 1], [3, 4], [6, 7], [2, 5], [8, 9]]


@pytest.mark.parametrize(("rows", "columns"), [(1, 9), (9, 1), (2, 8), (3, 5), (7, 7), (8, 8), (13, 6)])
def test_quad_trees_have_rectangles_of_neighbours(rows, columns):
    n, tree = rows * columns, quad_tree(rows, columns)
    assert_is_tree(tree, n)
    for block in members(tree, n):
        y, x = np.divmod(sorted(block), columns)
        assert (np.ptp(y) + 1) * (np.ptp(x) + 1) == len(block)


def test_every_second_level_has_blocks_of_two_by_two():
    found = set(members(quad_tree(8, 8), 64))
    for side in (1, 2, 4, 8):
        blocks = np.arange(64).reshape(8 // side, side, 8 // side, side).swapaxes(1, 2).reshape(-1, side * side)
        assert found >= set(map(frozenset, blocks.tolist()))


# --- masks ---


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("how", ["grid-3x4", "slic-6"])
@pytest.mark.parametrize("mask", MODALITY.masks)
def test_masked_images_pixel_by_pixel(channels, how, mask):
    image = picture(10, 13, channels)
    before, found = image.copy(), example(image, how, mask=mask)
    masks = np.random.default_rng(1).random((5, found.n_features)) < 0.5
    (images,) = found.texts(masks)
    assert len(images) == 5
    for keep, masked in zip(masks, images, strict=True):
        assert masked.dtype == np.uint8 and masked.shape == image.shape
        for y, x in np.ndindex(10, 13):
            expected = image[y, x] if keep[found.patch[y, x]] else found.masked[y, x]
            np.testing.assert_array_equal(masked[y, x], expected)
    everything, nothing = found.texts(np.array([[True], [False]]).repeat(found.n_features, axis=1))[0]
    np.testing.assert_array_equal(everything, image)
    np.testing.assert_array_equal(nothing, all_masked(image, mask, found.n_features))
    np.testing.assert_array_equal(image, before)


def test_masks_of_narrow_grey_images_and_of_those_that_are_views():
    for image in (picture(5, 3), picture(6, 5, 3)[..., ::-1], picture(12, 10)[::2, ::2], picture(8, 6).T):
        found = example(image, "grid-2x2")
        (masked,) = found.texts(np.array([[True, False, False, True]]))[0]
        kept = np.isin(found.patch, [0, 3])
        np.testing.assert_array_equal(masked[kept], image[kept])
        np.testing.assert_array_equal(masked[~kept], found.masked[~kept])


def test_what_stands_for_a_patch_by_hand():
    image = picture(6, 8, 3)
    colour = [round(float(image[..., channel].mean())) for channel in range(3)]
    np.testing.assert_array_equal(all_masked(image, MODALITY.mask("delete"), 4), np.broadcast_to(colour, image.shape))
    assert not all_masked(image, "zero", 4).any()
    # A Gaussian of half a patch's side, 3 pixels wide here, along one axis and then the other; edges are repeated.
    grey, sigma = picture(12, 12).astype(float), 1.5
    offsets = np.arange(-6, 7)  # four times sigma
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    smooth = grey
    for axis in (0, 1):
        places = np.clip(np.arange(12)[:, None] + offsets, 0, 11)
        smooth = np.moveaxis(np.moveaxis(smooth, axis, 0)[places].swapaxes(1, -1) @ (weights / weights.sum()), 0, axis)
    np.testing.assert_array_equal(all_masked(grey.astype(np.uint8), "blur", 16), np.rint(smooth))


def test_an_unknown_mask_is_refused_by_the_nearest_name():
    with pytest.raises(ExperimentError, match=r"^unknown mask 'blurr' of an image; did you mean 'blur'\?"):
        example(picture(8, 8), mask="blurr")


# --- weights: callables ---


class Linear:
    """The second class's probability is linear in the pixels."""

    def __init__(self, shape):
        self.slope = np.random.default_rng(5).normal(size=shape) / 255 / np.prod(shape) / 4

    def __call__(self, images):
        of = 0.5 + np.array([(self.slope * image).sum() for image in images])
        return np.column_stack([1 - of, of])

    def by_patch(self, example):
        """What each patch adds to the probability."""
        change = self.slope * (example.image.astype(float) - example.masked)
        change = change if change.ndim == 2 else change.sum(axis=2)
        return np.bincount(example.patch.ravel(), change.ravel())


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("how", ["grid-3x4", "grid-2x3", "slic-6"])
@pytest.mark.parametrize("method", EXACT)
def test_a_linear_model_gives_each_patch_what_it_adds(method, how, channels):
    found = example(picture(12, 16, channels), how)
    model = Linear(found.image.shape)
    assert found.n_features > 3
    table = weigh([found], TextPredictor(model, LABELS), method=method, n_samples=5000)
    assert np.abs(model.by_patch(found)).max() > 1e-4
    np.testing.assert_allclose(yes(table), model.by_patch(found), rtol=0, atol=1e-12)
    assert list(table["word"]) == list(found.names) * 2 and set(table["segment"]) == {0}


def test_lime_comes_near_on_a_linear_model():
    found = example(picture(12, 16))
    model = Linear(found.image.shape)
    weights = yes(weigh([found], TextPredictor(model, LABELS), method="lime", n_samples=2000))
    np.testing.assert_allclose(weights, model.by_patch(found), rtol=0.05, atol=1e-6)


@pytest.mark.parametrize("how", ["grid-3x4", "slic-8"])
@pytest.mark.parametrize("method", ASKING)
def test_a_model_that_looks_at_one_patch_weighs_that_alone(method, how):
    found = example(picture(12, 16), how)

    def looks_at_the_third(images):
        of = np.array([image[found.patch == 2].mean() / 255 for image in images]) ** 2
        return np.column_stack([1 - of, of])

    table = weigh([found], TextPredictor(looks_at_the_third, LABELS), method=method, n_samples=3000)
    (all_kept, without) = looks_at_the_third([found.image, found.masked])[:, 1]
    expected = np.zeros(found.n_features)
    expected[2] = all_kept - without
    assert abs(expected[2]) > 1e-3
    atol = 0.1 * abs(expected[2]) if method == "lime" else 1e-12  # a ridge, and masks that are drawn
    np.testing.assert_allclose(yes(table), expected, rtol=0, atol=atol)


class Hashed:
    """Probabilities that depend on every image as a whole, at random."""

    def __call__(self, images):
        draws = [[zlib.crc32(image.tobytes() + bytes([label])) / 2**32 for label in range(3)] for image in images]
        return np.array(draws) / np.sum(draws, axis=1, keepdims=True)


@pytest.mark.parametrize(("how", "kept"), [("grid-3x4", 100), ("grid-6x6", 20), ("slic-9", 100)])
def test_lime_is_the_librarys_on_the_same_masks(how, kept):
    from lime.lime_image import LimeImageExplainer

    found, asked, given = example(picture(24, 24, 3), how, n_classes=3), [], []

    def classify(images):
        asked.extend(images)
        return Hashed()(list(images))

    explainer = LimeImageExplainer(random_state=3)
    keep = explainer.base.explain_instance_with_data
    explainer.base.explain_instance_with_data = lambda *of, **named: given.append(of) or keep(*of, **named)
    options = {"hide_color": found.masked[0, 0], "top_labels": None, "labels": (0, 1, 2), "num_samples": 200}
    theirs = explainer.explain_instance(
        found.image, classify, segmentation_fn=lambda _: found.patch, num_features=kept, **options
    )
    masks, probabilities = given[0][0].astype(bool), given[0][1]
    (images,) = found.texts(masks)
    np.testing.assert_array_equal(images, asked)  # what is masked, and by which colour
    expected = np.zeros((found.n_features, 3))
    for label, pairs in theirs.local_exp.items():
        for number, weight in pairs:
            expected[number, label] = weight
    ours = surrogate(masks, probabilities, n_kept=kept)
    assert np.abs(ours).max() > 0.01 and (expected != 0).sum(axis=0).tolist() == [min(kept, found.n_features)] * 3
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


class OnTheirTree(Patches):
    """Pixels over the tree of shap's image masker, which halves the longer side, the rows first, down to a pixel."""

    def tree(self):
        from shap.maskers import Image as Masker

        return Masker(0, (*self.image.shape, 1)).clustering[:, :2].astype(np.int64)


@pytest.mark.parametrize("n_samples", [50, 101, 400, 2000])
def test_owen_is_shaps_on_the_tree_of_its_image_masker(n_samples):
    import shap

    image = picture(4, 6)
    patch, names, _ = patches(image, "grid-4x6")
    pixels = OnTheirTree("x", 3, image, patch, names, all_masked(image, "mean", 24))
    ours, _ = play(owen(pixels, n_samples, None), lambda masks: Hashed()(pixels.texts(masks)[0]))
    masker = shap.maskers.Image(pixels.masked[..., None].astype(float), (*image.shape, 1))

    def classify(images):
        return Hashed()([of[..., 0].astype(np.uint8) for of in images])

    explainer = shap.explainers.Partition(classify, masker)
    theirs = explainer(image[None, ..., None].astype(float), max_evals=n_samples, batch_size=6, silent=True)
    np.testing.assert_allclose(ours, theirs.values[0].reshape(24, 3), rtol=0, atol=1e-6)
    assert np.abs(ours).max() > 0.001


def test_shaps_tree_and_ours_have_the_same_blocks_where_sides_are_powers_of_two():
    from shap.maskers import Image as Masker

    for rows, columns, same in ((4, 4, True), (4, 8, True), (8, 8, True), (7, 7, False)):
        n = rows * columns
        theirs = members(Masker(0, (rows, columns, 1)).clustering[:, :2].astype(int), n)
        assert (set(theirs) == set(members(quad_tree(rows, columns), n))) == same


# --- weights: gradients ---


class Logits(torch.nn.Module):
    """A model whose logits are linear in what it reads."""

    device = torch.device("cpu")

    def __init__(self, *shape, scale=0.3):
        super().__init__()
        draw = np.random.default_rng(2).normal(size=(2, int(np.prod(shape)))) * scale / np.sqrt(np.prod(shape))
        self.config = SimpleNamespace(num_labels=2, patch_size=None, num_channels=shape[0])
        self.slope = torch.nn.Parameter(torch.tensor(draw, dtype=torch.float32))

    def forward(self, pixel_values):
        return SimpleNamespace(logits=pixel_values.flatten(1) @ self.slope.T)


def as_they_are(*, channels=1, **options):
    half = {"image_mean": [0.5] * channels, "image_std": [0.5] * channels}
    return transformers.ViTImageProcessorPil(**{"do_resize": False} | half | options)


def softmaxed(values, slope):
    logits = values.ravel() @ slope.T
    return np.exp(logits) / np.exp(logits).sum()


def expected_weights(method, values, baseline, feature, slope, n):
    """Of two classes: what a feature adds to the difference of the logits has that share of what is gained."""
    sums = np.zeros((n, 2))
    if method == "integrated-gradients":
        terms = (slope[1] - slope[0]) * (values - baseline).ravel()
        gained = softmaxed(values, slope) - softmaxed(baseline, slope)
        np.add.at(sums, feature.ravel(), np.outer(terms / terms.sum(), gained))
    else:
        p = softmaxed(values, slope)
        terms = (slope[1] - slope[0]) * values.ravel() * p[0] * p[1]
        np.add.at(sums, feature.ravel(), np.column_stack([-terms, terms]))
    return sums


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize(
    ("channels", "reads", "how"), [(None, 1, "grid-3x4"), (None, 3, "slic-5"), (3, 3, "grid-5x5"), (3, 3, "slic-7")]
)
def test_gradients_of_linear_logits_have_a_closed_form(method, channels, reads, how):
    image = picture(12, 16, channels)
    model = Logits(reads, 12, 16)
    classifier = ArrayClassifier(model, as_they_are(channels=reads), LABELS, MODALITY)
    found = example(image, how, classifier=classifier)
    values, baseline = (
        np.broadcast_to(np.moveaxis(np.atleast_3d(of), -1, 0) / 127.5 - 1, (reads, 12, 16))
        for of in (image, found.masked)
    )
    feature, slope = np.broadcast_to(found.patch, values.shape), model.slope.detach().numpy()
    expected = expected_weights(method, values, baseline, feature, slope, found.n_features)
    weights, beside = METHODS[method].explain(found, 1000, None)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
    if method == "integrated-gradients":
        assert beside.max() < 1e-3


@pytest.mark.parametrize("method", GRADIENTS)
def test_pixels_of_a_resized_image_have_the_patch_that_is_there(method):
    image = picture(6, 8)
    model = Logits(1, 12, 16)
    processor = as_they_are(do_resize=True, size={"height": 12, "width": 16}, resample=0)
    found = example(image, "grid-3x4", classifier=ArrayClassifier(model, processor, LABELS, MODALITY))
    values, baseline, feature = (np.kron(of, np.ones((2, 2))) for of in (image, found.masked, found.patch))
    values, baseline, slope = values / 127.5 - 1, baseline / 127.5 - 1, model.slope.detach().numpy()
    expected = expected_weights(method, values, baseline, feature.astype(int), slope, 12)
    np.testing.assert_allclose(METHODS[method].explain(found, 1000, None)[0], expected, rtol=0, atol=1e-6)


def test_what_is_cropped_away_has_weight_0_and_what_is_padded_is_no_patch():
    crop = {"do_resize": False, "do_center_crop": True, "do_convert_rgb": False}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = transformers.CLIPImageProcessorPil(**crop, **half, crop_size={"height": 10, "width": 8})
    image = picture(6, 16, 3)
    found = example(image, "grid-3x4", classifier=ArrayClassifier(Logits(3, 10, 8), processor, LABELS, MODALITY))
    inputs = found.inputs()
    assert inputs.values.shape == (1, *inputs.feature.shape) == (1, 3, 10, 8)
    expected = np.full((10, 8), -1)
    expected[2:8] = found.patch[:, 4:12]
    np.testing.assert_array_equal(inputs.feature, np.broadcast_to(expected, (3, 10, 8)))
    weights, _ = METHODS["integrated-gradients"].explain(found, 200, None)
    assert (weights.reshape(3, 4, 2)[:, [0, 3]] == 0).all() and (weights.reshape(3, 4, 2)[:, 1:3] != 0).all()


def test_more_patches_than_8_bits_hold():
    image = picture(20, 20)
    classifier = ArrayClassifier(Logits(1, 20, 20), as_they_are(), LABELS, MODALITY)
    inputs = example(image, "grid-20x20", classifier=classifier).inputs()
    np.testing.assert_array_equal(inputs.feature[0], np.arange(400).reshape(20, 20))


SHAPE = Scratch(
    num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=16, patch_size=4, initializer_range=0.5
)


def vit(image, labels=("no", "yes", "maybe")):
    config, processor = scratch(SHAPE, {"id2label": dict(enumerate(labels))}, image)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.ViTForImageClassification(config)
    return ArrayClassifier.of("tiny", model, processor, labels, MODALITY, device="cpu")


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("mask", MODALITY.masks)
def test_integrated_gradients_of_a_vision_transformer_add_up(channels, mask):
    image = picture(8, 16, channels)
    classifier = vit(image)
    found = example(image, "grid-2x4", mask=mask, classifier=classifier, n_classes=3)
    weights, delta = METHODS["integrated-gradients"].explain(found, 5000, None)
    whole, nothing = classifier.predict_proba([image, found.masked])
    assert np.abs(whole - nothing).max() > 0.01
    np.testing.assert_allclose(weights.sum(axis=0), whole - nothing, rtol=0, atol=2e-3)
    assert delta.max() <= TOLERANCE


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_a_vision_transformer(method):
    image = picture(8, 16)
    classifier = vit(image)
    examples = [example(picture(8, 16, seed=seed), "grid-2x4", classifier=classifier, id=f"x-{seed}", n_classes=3)
                for seed in range(3)]  # fmt: skip
    predictor = TextPredictor(classifier.predict_proba, classifier.labels)
    found = weigh(examples, predictor, method=method, n_samples=3 * STEPS)
    assert len(found) == 3 * 8 * 3 and found["weight"].abs().max() > 1e-3 and gradient_notes(found) == []
    shuffled = weigh(examples[::-1], predictor, method=method, n_samples=3 * STEPS)
    for id, rows in found.groupby("id"):
        other = shuffled.loc[shuffled["id"] == id, "weight"]
        np.testing.assert_array_equal(rows["weight"], other)


# --- what a model is given ---


def test_grey_and_colour_are_given_as_the_model_wants_them(capfd):
    grey, colour = picture(3, 5), picture(3, 5, 3)  # three rows: could be taken for three channels
    one, three = as_they_are(), as_they_are(channels=3)
    found = encode(one, [grey])
    assert found.dtype == np.float32 and found.shape == (1, 1, 3, 5)
    np.testing.assert_allclose(found[0, 0], grey / 127.5 - 1, rtol=0, atol=1e-6)
    found = encode(three, [grey, colour])
    np.testing.assert_allclose(found[0], np.stack([grey] * 3) / 127.5 - 1, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], np.moveaxis(colour, -1, 0) / 127.5 - 1, rtol=0, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test_a_model_from_scratch_reads_the_images_as_they_are():
    image = picture(8, 12, 3)
    classifier = vit(image)
    config = classifier.model.config
    assert (config.image_size, config.patch_size, config.num_channels) == ([8, 12], 4, 3)
    assert (config.num_hidden_layers, config.hidden_size, config.initializer_range) == (1, 8, 0.5)
    found = classifier.predict_proba([image, picture(8, 12, 3, seed=1)])
    assert found.shape == (2, 3) and not np.allclose(found[0], found[1])
    assert "max_position_embeddings" not in config.to_dict()


@pytest.mark.parametrize("size", [None, 3, 5])
def test_patches_of_a_model_from_scratch_must_fit(size):
    with pytest.raises(ExperimentError, match=rf"patch_size, which is {size}; give a number that divides 8 and 12$"):
        scratch(SHAPE.model_copy(update={"patch_size": size}), {}, picture(8, 12))


def test_the_size_of_patches_is_in_no_key_of_a_model_that_has_none():
    bert = Scratch(num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=16)
    assert "patch_size" not in bert.model_dump() and "patch_size" not in bert.model_dump(mode="json")
    assert SHAPE.model_dump(mode="json")["patch_size"] == 4


# --- bad input ---


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (None, "NoneType, not an image; give a numpy array, uint8"),
        ([[1, 2]], "list, not an image"),
        (np.full((2, 2), np.nan), "NaN or infinite at 4 places; give uint8"),
        (np.array([[0.5, np.inf]]), "NaN or infinite at 1 places"),
        (np.zeros((2, 2)), "pixels are float64; give uint8, 0 to 255 (numbers from 0 to 1 times 255)"),
        (np.zeros((2, 2), dtype=np.int64), "pixels are int64; give uint8"),
        (np.zeros((2, 2), dtype=bool), "pixels are bool; give uint8"),
        (np.zeros(4, dtype=np.uint8), "shape (4,); give (height, width) or (height, width, 3)"),
        (np.zeros((1, 2, 2, 3), dtype=np.uint8), "shape (1, 2, 2, 3); give"),
        (
            np.zeros((2, 2, 4), dtype=np.uint8),
            "4 channels; give (height, width) or (height, width, 3); drop the fourth",
        ),
        (np.zeros((3, 8, 8), dtype=np.uint8), "8 channels; give (height, width) or (height, width, 3)"),
        (np.zeros((0, 5), dtype=np.uint8), "shape (0, 5) has no pixel; leave the image out"),
        (np.broadcast_to(np.uint8(0), (2**13, 2**12)), "33,554,432 pixels, and at most 16,777,216 are read"),
    ],
)
def test_what_is_no_image_is_said_in_one_line(array, said):
    with pytest.raises(DataError) as error:
        check(array, "row 3")
    assert str(error.value).startswith(f"row 3: {said}") and "\n" not in str(error.value)


@pytest.mark.parametrize("array", [picture(1, 1), picture(4, 5, 3)])
def test_images_pass(array):
    check(array, "row 0")


def test_images_that_a_model_does_not_take():
    table = pd.DataFrame({"image": [picture(8, 12), picture(8, 12, 3), picture(8, 13)]})
    grey = SimpleNamespace(num_channels=1, image_size=[8, 12])

    def reads(config, **processor):
        return SimpleNamespace(model=SimpleNamespace(config=config), processor=SimpleNamespace(**processor))

    with pytest.raises(DataError, match=r"^row 1: the image has 3 channels, and the model reads 1; give grey ones$"):
        check_fits(reads(grey, do_resize=False), table)
    expected = (
        r"^row 1: the image has 8 x 13 pixels, and the model reads 8 x 12; give images of this size, or .*resize$"
    )
    for size in ([8, 12], {"height": 8, "width": 12}, None):  # of None, all must have the size of the first
        with pytest.raises(DataError, match=expected):
            check_fits(
                reads(SimpleNamespace(num_channels=3, image_size=size), do_resize=False), table[1:].reset_index()
            )
    check_fits(reads(grey, do_resize=False), table[:1])
    check_fits(reads(SimpleNamespace(num_channels=3, image_size=224), do_resize=True), table)
    check_fits(Linear((8, 12)), table)  # a callable tells nothing
    with pytest.raises(DataError, match=r"reads 8 x 8; "):
        check_fits(reads(SimpleNamespace(image_size=8), do_resize=False), table)


# --- files ---


def saved(folder, image, name="it.png", **options):
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "CMYK", "RGBA", "LA"])
def test_files_are_read_as_grey_or_colour(tmp_path, mode):
    colour = Image.fromarray(picture(6, 9, 3))
    file = saved(tmp_path, colour.convert(mode), "it.tiff" if mode == "CMYK" else "it.png")
    found, facts = read(file)
    expected = np.asarray(colour.convert(mode).convert("L" if mode in ("L", "1", "LA") else "RGB"))
    assert facts == {} and found.dtype == np.uint8
    np.testing.assert_array_equal(read(io.BytesIO(file.read_bytes()), "row 3")[0], found)
    np.testing.assert_array_equal(found, expected)


def test_a_photograph_is_turned_as_it_is_to_be_shown(tmp_path):
    image, exif = Image.fromarray(np.kron(picture(2, 3, 3), np.ones((16, 16, 1), dtype=np.uint8))), Image.Exif()
    exif[0x0112] = 6  # turned right by a quarter
    found, _ = read(saved(tmp_path, image, "it.jpg", exif=exif, quality=100, subsampling=0))
    assert np.abs(found.astype(int) - np.rot90(np.asarray(image), -1)).max() < 12  # JPEG rounds


def png_of(width, height):
    """The head of a PNG of so many pixels, whose pixels never come."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")


def test_files_that_are_no_image_are_said_in_one_line(tmp_path):
    clear = Image.fromarray(picture(4, 4, 4), "RGBA")
    several = [Image.fromarray(picture(4, 4, seed=seed)) for seed in range(3)]
    whole = saved(tmp_path, Image.fromarray(picture(64, 64)), "whole.png").read_bytes()
    palette = Image.fromarray(picture(4, 4, 3)).convert("P")
    files = {
        saved(tmp_path, clear, "clear.png"): "lets what is behind it show through; save it without transparency",
        saved(tmp_path, palette, "key.png", transparency=int(np.asarray(palette)[0, 0])): "lets what is behind it show",
        saved(
            tmp_path, several[0], "a.gif", save_all=True, append_images=several[1:]
        ): "3 images in one file; save one",
        saved(
            tmp_path, Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)), "deep.png"
        ): "pixels of the kind I",
        tmp_path / "none.png": "no such file; name an image",
        tmp_path: "not a file; name an image",
    }
    for name, content in {"text.png": b"hello", "empty.png": b"", "half.png": whole[:900]}.items():
        (tmp_path / name).write_bytes(content)
        files[tmp_path / name] = ""
    for name, size in {"large.png": (2**13, 2**12), "bomb.png": (10**5, 10**5)}.items():
        (tmp_path / name).write_bytes(png_of(*size))
        files[tmp_path / name] = ""
    for file, said in files.items():
        with pytest.raises(DataError) as error:
            read(file)
        assert str(error.value).startswith(f"{file}: {said}") and "\n" not in str(error.value), error.value
    with pytest.raises(DataError, match=r"^here: row 2: .*; save it again as PNG or JPEG$"):
        read(io.BytesIO(whole[:900]), "here: row 2")
    assert bounds.MOST_PIXELS < 2**25


# --- from a folder to a table ---


def test_a_saved_model_is_loaded_for_images_and_explained(tmp_path, capfd):
    image = picture(8, 16)
    made = vit(image)
    made.model.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)
    capfd.readouterr()
    classifier = load_classifier(tmp_path, device="cpu")
    assert capfd.readouterr() == ("", "") and classifier.modality is MODALITY and classifier.labels == made.labels
    np.testing.assert_array_equal(classifier.predict_proba([image]), made.predict_proba([image]))
    table = pd.DataFrame({"id": ["x"], "image": [image]})
    for method in GRADIENTS:
        found = explain(classifier, table, method=method, features="grid-2x4", mask="blur")
        inside = example(image, "grid-2x4", mask="blur", classifier=classifier, n_classes=3)
        expected, _ = METHODS[method].explain(inside, 1000, None)
        np.testing.assert_array_equal(found["weight"].to_numpy().reshape(3, 8).T, expected)


@pytest.mark.parametrize(("how", "said"), [("slic-50", "of 30 pixels"), ("slic-9000", "at most 4,096")])
def test_more_segments_than_pixels_are_refused(how, said):
    with pytest.raises(ExperimentError, match=f"^x: {how} .*{said}"):
        example(picture(5, 6), how)

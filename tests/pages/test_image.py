"""Pictures of attributions of images: what is tinted, framed and said, by hand."""

import base64
import io
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import PathPatch
from PIL import Image

from trusteq.alignment import chance_jaccard
from trusteq.modalities.image import MODALITY, patches
from trusteq.pages.drawn import described, drawn
from trusteq.pages.image import AGAINST, DARKEST, FOR, TINT, finding, overlay, side_by_side
from trusteq.pages.show import figure_bundle

pytestmark = pytest.mark.usefixtures("drawing")

IMAGE = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
WEIGHTS = np.array([0.4, -0.2, 0.0, 0.1, -0.3, 0.05])  # of two rows and three columns
ROW = SimpleNamespace(id="test-0", image=IMAGE)


def table(weights, id="test-0", label="yes"):
    rows = [(id, 0, place, f"p{place}", of, sign * weight) for of, sign in ((label, 1), ("no", -1))
            for place, weight in enumerate(weights)]  # fmt: skip
    return pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])


def overlaid(image=IMAGE, **options):
    return overlay(image, patches(IMAGE, "grid-2x3")[0], WEIGHTS, plt.figure().gca(), **options)


def light(image):
    return DARKEST + (1 - DARKEST) * image / 255


@pytest.mark.parametrize("image", [IMAGE, np.stack([IMAGE] * 3, axis=-1)])
def test_each_patch_is_tinted_by_sign_and_strength_over_a_light_grey_image(image):
    (found,) = (of.get_array() for of in overlaid(image).get_images())
    assert found.shape == (4, 6, 3)
    for place, colour, share in (((0, 0), FOR, 1), ((3, 5), FOR, 1 / 8), ((1, 3), AGAINST, 1 / 2), ((0, 4), FOR, 0)):
        expected = TINT * share * np.array(colour) + (1 - TINT * share) * light(IMAGE)[place]
        np.testing.assert_allclose(found[place], expected, rtol=0, atol=1e-12)


def test_the_data_are_the_patches_with_their_weights():
    found = drawn(overlaid(top={0, 4}, shared={0}).figure)
    assert set(found["mark"]) == {"point"}
    by_place = found.set_index(["y", "x"])[["series", "value"]]
    expected = {(0.5, 0.5): 0.4, (0.5, 2.5): -0.2, (2.5, 0.5): 0.1, (2.5, 2.5): -0.3, (2.5, 4.5): 0.05}
    assert by_place["value"].to_dict() == expected  # one that weighs nothing has no sign
    assert set(by_place.loc[by_place["value"] > 0, "series"]) == {"for the class"}
    assert set(by_place.loc[by_place["value"] < 0, "series"]) == {"against it"}


def frames(ax):
    """The outline of each framed patch, as a set of edges, and the width of its dark line."""
    found = [of for of in ax.patches if isinstance(of, PathPatch)]
    assert [of.get_edgecolor()[0] for of in found] == [1.0, 0x26 / 255] * (len(found) // 2)  # dark on light
    return {edges(of.get_path()): of.get_linewidth() for of in found[1::2]}


def edges(path):
    return frozenset(frozenset(map(tuple, pair.tolist())) for pair in path.vertices.reshape(-1, 2, 2))


def corners(left, top, right, bottom):
    found = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return frozenset(frozenset(pair) for pair in zip(found, [*found[1:], found[0]], strict=True))


def test_top_patches_are_framed_and_shared_ones_by_a_thick_line():
    found = frames(overlaid(top={0, 4}, shared={0}))
    first, other = corners(-0.5, -0.5, 1.5, 1.5), corners(1.5, 1.5, 3.5, 3.5)
    assert found.keys() == {first, other} and found[first] > 2 * found[other]
    assert frames(overlaid()) == {}


def test_a_frame_follows_any_outline():
    patch = np.zeros((3, 4), dtype=int)
    patch[0, 1] = patch[1, 1:3] = 1  # an L
    ax = overlay(np.zeros((3, 4), dtype=np.uint8), patch, np.array([1.0, 2.0]), plt.figure().gca(), top=[1])
    ((found, _),) = frames(ax).items()
    turns = [(0.5, -0.5), (1.5, -0.5), (1.5, 0.5), (2.5, 0.5), (2.5, 1.5), (0.5, 1.5)]
    assert found == frozenset(frozenset(pair) for pair in zip(turns, [*turns[1:], turns[0]], strict=True))


def test_weights_that_are_all_zero_are_drawn():
    ax = overlay(IMAGE, patches(IMAGE, "grid-2x3")[0], np.zeros(6), plt.figure().gca())
    np.testing.assert_allclose(ax.get_images()[0].get_array()[..., 0], light(IMAGE))
    assert len(drawn(ax.figure)) == 0


def test_two_models_side_by_side():
    other = table([0.4, 0.1, 0.0, 0.2, -0.3, 0.0])
    both = {"Large": pd.concat([table(WEIGHTS[::-1], "test-9"), table(WEIGHTS)]), "Small": other}
    figure = side_by_side(ROW, both, "yes", cut="grid-2x3", k=3)
    large, small = (frames(ax) for ax in figure.axes)
    assert len(large) == len(small) == 3 and len(large.keys() & small.keys()) == 2
    assert {large[of] for of in large.keys() & small.keys()} == {2.6}
    assert {large[of] for of in large.keys() - small.keys()} == {1.0}
    said = "2 of the top 3 of 6 patches are the same: Jaccard 0.50, by chance 0.36"
    assert f"{chance_jaccard(6, k=3):.2f}" == "0.36"
    for text in (said, "top of Large: r0 c0, r0 c1, r1 c1", "top of Small: r0 c0, r1 c0, r1 c1", "test-0, yes"):
        assert text in described(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("top", "top of all", "for the class", "against it")
    ]


def test_one_model_and_several():
    one = side_by_side(ROW, {"Large": table(WEIGHTS)}, "no", cut="grid-2x3", k=2)
    assert "The top 2 of 6 patches" in described(one) and "against it" in described(one)
    assert set(frames(one.axes[0]).values()) == {1.0}
    several = [frozenset({1, 2}), frozenset({2, 3}), frozenset({2, 4})]
    assert finding(several, 6, 2) == "1 of the top 2 of 6 patches are the same"
    assert finding([frozenset(), frozenset()], 6, 2) == "0 of the top 2 of 6 patches are the same"


def test_a_page_keeps_it_as_picture_drawing_and_data_that_a_phone_shows_whole():
    figure = side_by_side(ROW, {"Large <b>": table(WEIGHTS), "Small": table(WEIGHTS)}, "yes", cut="grid-2x3")
    data, about = figure_bundle(figure)
    assert set(data) >= {"image/png", "image/svg+xml", "text/csv"} and "by chance" in about["image/png"]["alt"]
    assert len(data["text/csv"].splitlines()) == 1 + 2 * 5
    width = float(data["image/svg+xml"].split('width="')[1].split("pt")[0])
    assert width * 4 / 3 <= 530 and "<b>" not in data["image/svg+xml"]


def test_an_image_in_a_text_is_one_drawing_that_says_what_is_framed():
    weights = {(0, position): weight for position, weight in enumerate(WEIGHTS.tolist())}
    found = MODALITY.marked(SimpleNamespace(id="x", image=IMAGE), weights, {(0, 0), (0, 4)}, "grid-2x3")
    tree = ElementTree.fromstring(found)
    said = "2 of 6 patches framed, r0 c0 +0.4000, r1 c1 -0.3000"
    assert tree.get("role") == "img" and tree.get("aria-label") == tree.find("title").text == said
    assert tree.get("viewBox") == "0 0 6 4" and "max-width: 100%" in tree.get("style")
    content = base64.b64decode(tree.find("image").get("href").removeprefix("data:image/png;base64,"))
    pixels, ax = np.asarray(Image.open(io.BytesIO(content))), overlaid()
    np.testing.assert_array_equal(pixels, np.rint(255 * ax.get_images()[0].get_array()))
    paths = [of.get("d") for of in tree.findall("path")]
    assert paths[0] == paths[1] and paths[2] == paths[3]  # a dark line on a light one, for each
    assert sorted(paths[0][1:].split("M")) == ["0 0L0 2", "0 0L2 0", "0 2L2 2", "2 0L2 2"]


def test_weights_that_are_all_zero_are_shown_without_a_frame():
    weights = {(0, position): 0.0 for position in range(49)}
    found = MODALITY.marked(SimpleNamespace(id="x", image=IMAGE), weights, set(), "grid-1x1")
    assert "<path" not in found and 'aria-label="0 of 1 patches framed"' in found

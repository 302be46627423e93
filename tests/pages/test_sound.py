"""Pictures of clips hold the weights and times that they were given, and the sound that is played is the clip."""

import base64
import html
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from trusteq.modalities.sound import example_of
from trusteq.pages import sound
from trusteq.pages.figures import highlights

RATE, N = 8000, 8000
CLIP = (0.5 * np.sin(2 * np.pi * 500 * np.arange(N) / RATE) * np.linspace(0, 1, N)).astype(np.float32)
WORDS = ((0.1, 0.3, "go"), (0.35, 0.6, "left & <b>"), (0.6, 0.9, "now"))
CUT = "segments-10"


def example(**values):
    known = {"id": "test-0", "sound": CLIP, "rate": RATE, "words": WORDS, "label": 1, "evidence": ((0, 4), (0, 5))}
    return pd.DataFrame([known | values])


def row(**values):
    return next(example(**values).itertuples())


def table(weights, cut=CUT):
    """Attributions of the clip for "yes", as `explain` returns them; for "no" they are the other way round."""
    names = [name for *_, name in example_of(row(), 2, cut=cut).features]
    rows = [
        ("test-0", 0, position, name, label, sign * weight)
        for label, sign in (("no", -1), ("yes", 1))
        for position, (name, weight) in enumerate(zip(names, weights, strict=True))
    ]
    found = pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])
    found.attrs["features"] = cut
    return found


def elements(text, tag):
    """The elements of the first SVG in a text."""
    tree = ElementTree.fromstring(re.search("<svg.*?</svg>", text, flags=re.DOTALL)[0])
    return list(tree.iter(tag.rpartition("}")[2]))


def of_segments(text):
    return [of for of in elements(text, "rect") if of.get("class") == "tq-word"]


def span(of):
    return float(of.get("x")), float(of.get("x")) + float(of.get("width"))


WEIGHTS = {position: weight for position, weight in enumerate([0.01, -0.02, 0.04, 0, -0.4, 0.2, 0, 0, 0.1, 0])}


def test_each_segment_is_where_its_time_is_and_as_strong_as_its_weight():
    found = of_segments(sound.marked(row(), WEIGHTS, {4, 5}, CUT))
    assert len(found) == 10
    for position, of in enumerate(found):
        assert span(of) == pytest.approx((36 * position, 36 * position + 36), abs=1)
        colour, strength = re.search(r"rgb\(([\d ]+) / calc\(([\d.]+)", of.get("style")).groups()
        assert float(strength) == pytest.approx(0.75 * abs(WEIGHTS[position]) / 0.4, abs=0.006)
        assert (colour == "58 110 220") == (WEIGHTS[position] > 0)
        assert of.find("title").text == f"{position / 10:.2f}-{position / 10 + 0.1:.2f} s: {WEIGHTS[position]:+.4f}"
    assert [position for position, of in enumerate(found) if of.get("stroke")] == [4, 5]


def test_what_decides_has_a_line_below_it():
    lines = [of for of in elements(sound.marked(row(), WEIGHTS, (), CUT), "rect") if of.get("class") is None]
    assert [span(of) for of in lines] == [(144, 180), (180, 216)]
    for evidence in (None, float("nan"), ()):
        assert len(elements(sound.marked(row(evidence=evidence), WEIGHTS, (), CUT), "rect")) == 10


def test_words_stand_below_their_segments_and_are_escaped():
    text = sound.marked(row(), {0: 0.1, 1: 0.2, 2: -0.3}, {1}, "words")
    assert "<b>" not in text
    assert [span(of)[0] for of in of_segments(text)] == pytest.approx([36, 126 + 0.8, 216], abs=0.1)
    words = [of for of in elements(text, "text") if of.get("y") == str(sound.LOWEST + 13)]
    assert [(of.text, float(of.get("x"))) for of in words] == [("go", 72), ("left & <b>", 171), ("now", 270)]


def test_a_text_stands_for_the_picture():
    text = html.unescape(re.search('aria-label="([^"]*)"', sound.marked(row(), WEIGHTS, {5, 4}, CUT))[1])
    assert text.startswith(
        "Waveform of 1.00 s in 10 segments. Top segments: 0.40-0.50 s (-0.400), 0.50-0.60 s (+0.200)."
    )
    assert text.endswith("Known to decide: 0.40-0.50 s, 0.50-0.60 s.")
    assert "Top" not in sound.waveform(row(), {}, (), CUT)


@pytest.mark.parametrize("n", [1, 100, 8000, 12_345])
def test_the_outline_goes_from_the_lowest_to_the_highest_sample_of_each_column(n):
    clip = np.resize(CLIP, n) + np.float32(0.01)
    (path,) = elements(sound.waveform(row(sound=clip), {}, (), "segments-1"), "path")
    points = np.array([point.split() for point in path.get("d").strip("MZ").split("L")], dtype=float)
    columns = min(n, sound.COLUMNS)
    assert len(points) == 2 * columns
    parts = np.split(clip, [at * n // columns for at in range(1, columns)])
    middle, half = (sound.HIGHEST + sound.LOWEST) / 2, 0.95 * (sound.LOWEST - sound.HIGHEST) / 2
    upper = [middle - half * part.max() / np.abs(clip).max() for part in parts]
    lower = [middle - half * part.min() / np.abs(clip).max() + 0.4 for part in parts]
    np.testing.assert_allclose(points[:columns, 1], upper, atol=0.06)
    np.testing.assert_allclose(points[columns:, 1][::-1], lower, atol=0.06)
    assert points[:, 0].min() >= 0 and points[:, 0].max() <= sound.WIDTH


TIMES = {
    1: ["0 s", "0.2", "0.4", "0.6", "0.8", "1"],
    0.05: ["0 s", "0.01", "0.02", "0.03", "0.04", "0.05"],
    11: ["0 s", "2", "4", "6", "8", "10"],
    240: ["0 s", "240"],
}


@pytest.mark.parametrize(("seconds", "times"), TIMES.items())
def test_times_are_below(seconds, times):
    found = elements(sound.waveform(row(sound=np.resize(CLIP, int(seconds * RATE))), {}, (), "segments-20"), "text")
    assert [of.text for of in found if of.get("y") == str(sound.HEIGHT - 4)] == times


def played(text):
    """The rate and the samples of what a text plays, and the bytes that it takes."""
    data = base64.b64decode(re.search(r'src="data:audio/wav;base64,([^"]+)"', text)[1])
    return *wavfile.read(io.BytesIO(data)), len(data)


def test_what_is_played_is_the_clip():
    rate, samples, size = played(sound.player(row()))
    assert (rate, samples.dtype, size) == (8000, np.int16, 44 + 2 * N)
    np.testing.assert_allclose(samples / 32767, CLIP, rtol=0, atol=0.51 / 32767)
    assert 'aria-label="test-0: sound of 1.00 s"' in sound.player(row())


@pytest.mark.parametrize("rate", [16000, 44100, 11025])
def test_of_another_rate_the_same_tone_is_played_for_as_long(rate):
    clip = (0.5 * np.sin(2 * np.pi * 500 * np.arange(rate) / rate)).astype(np.float32)
    _, samples, _ = played(sound.player(row(sound=clip, rate=rate)))
    assert abs(len(samples) - 8000) <= 1
    assert np.abs(np.fft.rfft(samples / 32767, 8000)).argmax() == 500
    assert samples[1000:7000].max() / 32767 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("rate", [8000, 44100])
def test_of_a_long_clip_the_beginning_is_played_which_is_said(rate):
    text = sound.player(row(sound=np.resize(CLIP, 5 * rate), rate=rate))
    _, samples, size = played(text)
    assert len(samples) == pytest.approx(2.4 * 8000, abs=1)
    assert size < 40_000
    assert "Only its first 2.4 s" in text
    assert "Only" not in sound.player(row())


def test_two_models_have_dots_where_their_top_segments_are_the_same():
    large, small = np.zeros(10), np.zeros(10)
    large[[1, 4, 5]], small[[2, 4, 5]] = (0.3, 0.2, -0.1), (0.1, 0.1, 0.2)
    text = sound.side_by_side(row(), {"Large <1>": table(large), "Small": table(small)}, "yes", cut=CUT, k=3).data
    pictures = re.findall("<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) == 2
    for picture, top in zip(pictures, ([1, 4, 5], [2, 4, 5]), strict=True):
        assert [at for at, of in enumerate(of_segments(picture)) if of.get("stroke")] == top
        assert [float(of.get("cx")) for of in elements(picture, "circle")] == [162, 198]
    # Two random sets of 3 out of 10: their overlap is hypergeometric, (35, 63, 21, 1) of 120.
    chance = (63 * 1 / 5 + 21 * 2 / 4 + 1) / 120
    assert f"2 of 4 top segments are the same (dots): Jaccard 0.50, by chance {chance:.2f}." in text
    assert "Large &lt;1&gt;" in text
    assert text.count("<audio") == 1
    assert "The line below" in text


def test_two_models_without_weights_share_nothing():
    nothing = {name: table(np.zeros(10)) for name in ("Large", "Small")}
    text = sound.side_by_side(row(evidence=None), nothing, "yes", cut=CUT).data
    assert "0 of 0 top segments are the same (dots)." in text
    assert "The line below" not in text


def test_highlights_show_sound_as_they_show_texts():
    weights = np.zeros(10)
    weights[[1, 4]] = 0.3, -0.2
    text = highlights(table(weights), example(), ["no", "yes"], k=2).data
    assert [at for at, of in enumerate(of_segments(text)) if of.get("stroke")] == [1, 4]
    np.testing.assert_allclose(played(text)[1] / 32767, CLIP, rtol=0, atol=0.51 / 32767)

"""Clips of tones: segments against loops over samples, weights against closed forms, files against what wrote them."""

import io
import math
import wave
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line
from scipy.io import wavfile

from trusteq import bounds, modality
from trusteq.attribution.engine import TextPredictor
from trusteq.attribution.explain import explain, weigh
from trusteq.attribution.methods import METHODS, TOLERANCE
from trusteq.attribution.owen import owen
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.modalities import sound
from trusteq.modalities.sound import MODALITY, Segments, check, check_fits, encode, example_of, n_frames, read, scratch
from trusteq.models.array_classifier import ArrayClassifier
from trusteq.registry import Scratch

RATE, N = 8000, 6000
TIME = np.arange(N) / RATE
CLIP = (0.4 * np.sin(2 * np.pi * 440 * TIME) * (1 + TIME)).astype(np.float32)
WORDS = ((0.05, 0.2, "go"), (0.3, 0.5, "left"), (0.5, 0.7, "now"))
LABELS = ("no", "yes")
SHAPE = Scratch(num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=32, initializer_range=0.3)


def row(**values):
    return pd.DataFrame([{"id": "test-0", "sound": CLIP, "rate": RATE, "words": WORDS, "label": 0} | values])


def segments(cut="segments-6", mask="silence", **values) -> Segments:
    return example_of(next(row(**values).itertuples()), 2, mask=mask, cut=cut)


@pytest.fixture(scope="module")
def classifier():
    """A random spectrogram transformer for clips like CLIP."""
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: at for at, name in enumerate(LABELS)}}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config, processor = scratch(SHAPE, names, CLIP)
        model = transformers.ASTForAudioClassification(config)
    return ArrayClassifier.of("random", model, processor, LABELS, MODALITY, device="cpu")


# ---- segments ----


def test_segments_of_one_length_cover_the_clip_and_are_called_by_their_time():
    found = segments("segments-7")
    assert found.edges[0, 0] == 0 and found.edges[-1, 1] == N
    assert (found.edges[1:, 0] == found.edges[:-1, 1]).all()
    assert np.ptp(np.diff(found.edges)) <= 1
    assert found.features[:2] == ((0, 0, "0.00-0.11 s"), (0, 1, "0.11-0.21 s"))
    assert segments().features[-1] == (0, 5, "0.62-0.75 s")


def test_segments_of_words_are_the_words_and_what_lies_between_them_belongs_to_none():
    found = segments("words")
    assert found.edges.tolist() == [[400, 1600], [2400, 4000], [4000, 5600]]
    assert found.features == ((0, 0, "go"), (0, 1, "left"), (0, 2, "now"))
    (quiet,) = found.texts(np.zeros((1, 3), dtype=bool))[0]
    between = np.r_[0:400, 1600:2400, 5600:N]
    assert (quiet[between] == CLIP[between]).all()
    assert not np.delete(quiet, between).any()


@pytest.mark.parametrize("mask", sound.MASKS)
@pytest.mark.parametrize("cut", ["segments-6", "segments-1", "words"])
def test_a_mask_leaves_out_the_samples_of_its_segments_and_no_other(cut, mask):
    found = segments(cut, mask)
    masks = np.random.default_rng(0).random((20, found.n_features)) < 0.5
    (clips,) = found.texts(masks)
    for keep, clip in zip(masks, clips, strict=True):
        expected = CLIP.copy()
        for (start, end), is_kept in zip(found.edges, keep, strict=True):
            if not is_kept:
                expected[start:end] = found.replacement[start:end]
        assert (clip == expected).all()
        assert clip.dtype == CLIP.dtype
    assert (found.samples == CLIP).all()


def test_noise_is_as_loud_as_the_clip_and_is_the_same_for_the_same_id():
    noise, silence = segments(mask="noise").replacement, segments().replacement
    assert not silence.any()
    level = math.sqrt((CLIP.astype(np.float64) ** 2).mean())
    assert math.sqrt((noise.astype(np.float64) ** 2).mean()) == pytest.approx(level, rel=0.05)
    assert (noise == segments("words", mask="noise").replacement).all()
    assert abs(np.corrcoef(noise, segments(mask="noise", id="test-1").replacement)[0, 1]) < 0.1
    assert np.abs(segments(mask="noise", sound=np.sign(CLIP)).replacement).max() == 1


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 16])
def test_the_tree_merges_neighbours_and_is_as_low_as_it_can_be(n):
    nodes, tree = [((at, at), 0) for at in range(n)], segments(f"segments-{n}").tree()
    assert tree.shape == (n - 1, 2)
    for left, right in tree:
        ((first, end), depth), ((start, last), other) = nodes[left], nodes[right]
        assert start == end + 1
        nodes.append(((first, last), max(depth, other) + 1))
    assert nodes[-1] == ((0, n - 1), math.ceil(math.log2(n)))
    assert sorted(tree.ravel().tolist()) == list(range(2 * n - 2))


@pytest.mark.parametrize(
    ("how", "error", "parts"),
    [
        ({"cut": "segment-16"}, ExperimentError, ["segment-16", "did you mean 'segments-16'?"]),
        ({"cut": "segments-0"}, ExperimentError, ["segments-0", "words"]),
        ({"cut": "segments-7000"}, ExperimentError, ["test-0", "1,000"]),
        ({"cut": "segments-5", "sound": CLIP[:4]}, ExperimentError, ["test-0", "at most 4 segments"]),
        ({"mask": "silent"}, ExperimentError, ["silent", "did you mean 'silence'?"]),
    ],
)
def test_a_cut_or_a_mask_that_there_is_not(how, error, parts):
    one_line(error, lambda: segments(**how), *parts)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (((0.3, 0.2, "go"),), ["'go'", "0.300 to 0.200"]),
        (((0.2, 0.2, "go"),), ["'go'"]),
        (((0.1, 0.3, "go"), (0.2, 0.4, "left")), ["'left'", "do not overlap"]),
        (((0.5, 0.6, "go"), (0.1, 0.3, "left")), ["'left'", "order of time"]),
        (((-0.1, 0.3, "go"),), ["'go'"]),
        (((0.1, 0.76, "go"),), ["'go'", "0.750 s"]),
        (((0.1, math.nan, "go"),), ["'go'"]),
        (((0.1, math.inf, "go"),), ["'go'"]),
        (((0.1, "go"),), ["(start, end, word)"]),
        ((("a", 0.2, "go"),), ["(start, end, word)"]),
        (math.nan, ["(start, end, word)"]),
        (None, ["(start, end, word)"]),
    ],
)
def test_words_that_are_none(words, parts):
    one_line(DataError, lambda: segments("words", words=words), "test-0", *parts)


def test_words_that_are_not_given_and_a_clip_without_words():
    lacking = next(row().drop(columns="words").itertuples())
    one_line(DataError, lambda: example_of(lacking, 2, cut="words"), "test-0", "no column 'words'", "segments-16")
    assert segments("words", words=()).n_features == 0


# ---- weights ----


SHARES = np.array([0.3, -0.2, 0.1, 0.0, 0.05, -0.1])


def by_energy(clips):
    """Probabilities that are linear in the energy of each of six segments, as a share of what it is in CLIP."""
    energy = np.stack([[(part**2).sum() for part in np.split(np.float64(clip), 6)] for clip in (CLIP, *clips)])
    yes = 0.5 + (energy[1:] / energy[0]) @ SHARES
    return np.stack([1 - yes, yes], axis=1)


def weights_of(method, function, n_samples=1000, **how):
    table = weigh([segments(**how)], TextPredictor(function, LABELS), method=method, n_samples=n_samples)
    return table[table["label"] == "yes"].sort_values("position")["weight"].to_numpy()


MASKING = sorted(name for name, of in METHODS.items() if not of.needs_gradients and name != "random")


@pytest.mark.parametrize("method", MASKING)
def test_what_is_linear_in_the_energy_of_segments_gets_these_weights(method):
    np.testing.assert_allclose(weights_of(method, by_energy), SHARES, atol=0.005 if method == "lime" else 1e-7)


@pytest.mark.parametrize("cut", ["segments-6", "words"])
@pytest.mark.parametrize("method", MASKING)
def test_what_hears_one_segment_gives_no_other_a_weight(method, cut):
    start, end = segments(cut).edges[1]

    def hears(clips):
        yes = np.array([0.9 if clip[start:end].any() else 0.2 for clip in clips])
        return np.stack([1 - yes, yes], axis=1)

    expected = np.zeros(segments(cut).n_features)
    expected[1] = 0.7
    np.testing.assert_allclose(weights_of(method, hears, cut=cut), expected, atol=0.02 if method == "lime" else 1e-9)


def test_shap_within_its_budget_follows_the_half_that_matters():
    """64 segments in 40 passes: those of the half that decides share its weight, the other half has none."""

    def hears(clips):
        yes = np.array([0.9 if clip[: N // 2].any() else 0.2 for clip in clips])
        return np.stack([1 - yes, yes], axis=1)

    found = weights_of("shap", hears, n_samples=40, cut="segments-64")
    assert found.sum() == pytest.approx(0.7)
    assert np.abs(found[32:]).max() < 1e-12
    assert owen is METHODS["shap"].explain


class Line(torch.nn.Module):
    """Logits (0, what is linear in all that the model reads)."""

    device = torch.device("cpu")

    def __init__(self, shape):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.sin(torch.arange(math.prod(shape)).float()).reshape(shape))
        self.slope.data *= 2 / math.sqrt(math.prod(shape))

    def forward(self, values):
        score = (values * self.slope).flatten(1).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(score), score], dim=1))


def by_hand(found, read):
    """The segment of each sample or frame that is read, by the time of its middle; -1 for what is in none."""
    middles = range(len(read)) if read.ndim == 1 else range(200, 200 + 160 * len(read), 160)
    inside = [[start <= at < end for start, end in found.edges] for at in middles]
    owner = np.array([of.index(True) if any(of) else -1 for of in inside])
    if read.ndim == 2:  # frames that do not lie in the clip
        owner[(len(found.samples) - 400) // 160 + 1 :] = -1
    return owner


EXTRACTORS = {
    "spectrogram": transformers.ASTFeatureExtractor(sampling_rate=RATE, num_mel_bins=32, max_length=40),
    "samples": transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE),
}


@pytest.mark.parametrize("cut", ["segments-6", "words"])
@pytest.mark.parametrize("reads", EXTRACTORS)
def test_gradients_of_a_line_are_shared_out_by_time(reads, cut):
    """Of probabilities sigma(s) with s linear, integrated gradients share what is gained as they share s."""
    extractor, found = EXTRACTORS[reads], segments(cut, mask="noise")
    (whole, masked) = found.texts(np.array([[1], [0]], dtype=bool).repeat(found.n_features, axis=1))[0]
    values, baseline = (encode(extractor, [clip])[0].astype(np.float64) for clip in (whole, masked))
    owner = by_hand(found, values)
    model = Line(values.shape)
    slope = model.slope.detach().double().numpy()
    baseline[owner < 0] = values[owner < 0]
    classifier = SimpleNamespace(model=model, processor=extractor, labels=LABELS)
    example = example_of(next(row().itertuples()), 2, classifier=classifier, mask="noise", cut=cut)
    ends = [1 / (1 + math.exp(-(slope * of).sum())) for of in (baseline, values)]
    parts = {
        "integrated-gradients": slope * (values - baseline) * (ends[1] - ends[0]) / (slope * (values - baseline)).sum(),
        "gradient-x-input": slope * values * ends[1] * (1 - ends[1]),
    }
    for method, part in parts.items():
        expected = [part[owner == number].sum() for number in range(found.n_features)]
        weights, _ = METHODS[method].explain(example, 400, np.random.default_rng(0))
        np.testing.assert_allclose(weights[:, 1], expected, atol=1e-6)
        np.testing.assert_allclose(weights[:, 0], -weights[:, 1], atol=1e-12)
        assert np.abs(weights).max() > 1e-3


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_a_spectrogram_transformer(classifier, method):
    table = pd.concat([row(), row(id="test-1", sound=CLIP[::-1].copy())], ignore_index=True)
    found = explain(classifier, table, method=method, n_samples=100, features="segments-6")
    assert len(found) == 2 * 2 * 6
    assert np.isfinite(found["weight"]).all()
    assert found["word"].iloc[:6].tolist() == [name for *_, name in segments().features]
    again = explain(classifier, table.iloc[::-1], method=method, n_samples=100, features="segments-6")
    keys = ["id", "label", "position"]
    pd.testing.assert_series_equal(
        again.set_index(keys)["weight"].sort_index(), found.set_index(keys)["weight"].sort_index()
    )
    assert np.ptp(found["weight"]) > 1e-4


@pytest.mark.parametrize("mask", ["silence", "noise"])
def test_weights_that_add_up_add_up_to_what_the_model_gains(classifier, mask):
    full, none = classifier.predict_proba([CLIP, segments(mask=mask).replacement])
    assert np.abs(full - none).max() > 0.03
    for method in ("shap", "shapley", "integrated-gradients"):
        found = explain(classifier, row(), method=method, n_samples=400, features="segments-6", mask=mask)
        total = found.groupby("label")["weight"].sum()[list(LABELS)]
        np.testing.assert_allclose(total, full - none, rtol=TOLERANCE if "gradients" in method else 1e-6)


# ---- files ----


def written(path, samples, rate=RATE):
    wavfile.write(path, rate, samples)
    return path


FORMATS = {  # of each: the samples that stand for CLIP, and how far one step is
    "uint8": ((CLIP * 127).round().astype(int) + 128, 1 / 128),
    "int16": ((CLIP * 32767).round().astype(int), 1 / 32768),
    "int32": ((CLIP.astype(np.float64) * (2**31 - 1)).round().astype(np.int64), 2**-24),
    "float32": (CLIP, 0),
    "float64": (CLIP, 0),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_clip_is_read_as_it_was_written(tmp_path, kind):
    samples, step = FORMATS[kind]
    found, facts = read(written(tmp_path / "a.wav", samples.astype(kind)))
    assert facts == {"rate": RATE}
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, CLIP, rtol=0, atol=1.5 * step)
    assert np.corrcoef(found, CLIP)[0, 1] > 0.999


def test_the_ends_of_each_format_are_the_ends_of_the_range(tmp_path):
    for kind, low, high in (("uint8", 0, 255), ("int16", -(2**15), 2**15 - 1), ("int32", -(2**31), 2**31 - 1)):
        found, _ = read(written(tmp_path / "a.wav", np.array([low, high, (low + high + 1) // 2], dtype=kind)))
        assert found[0] == -1 and found[2] == 0
        assert 1 - found[1] == pytest.approx(2 / (high - low + 1), abs=1e-7)


def test_24_bits_as_the_standard_library_writes_them(tmp_path):
    samples = np.array([-(2**23), 2**23 - 1, 0, 2**22, -1], dtype=np.int64)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(3), file.setframerate(16000)
        file.writeframes(b"".join(int(of).to_bytes(3, "little", signed=True) for of in samples))
    found, facts = read(tmp_path / "a.wav")
    assert facts == {"rate": 16000}
    np.testing.assert_array_equal(found, (samples / 2**23).astype(np.float32))


def test_an_open_file_is_read_as_its_path_is(tmp_path):
    path = written(tmp_path / "a.wav", INT16)
    found, facts = read(io.BytesIO(path.read_bytes()), "data set: row 3")
    assert (found == read(path)[0]).all()
    assert facts == {"rate": RATE}
    one_line(DataError, lambda: read(io.BytesIO(b"no sound"), "data set: row 3"), "data set: row 3")


def test_a_part_of_a_file_that_nobody_knows_is_passed_over(tmp_path):
    data = written(tmp_path / "a.wav", (CLIP * 32767).astype(np.int16)).read_bytes()
    (tmp_path / "b.wav").write_bytes(data[:36] + b"note\x04\0\0\0abcd" + data[36:])
    assert (read(tmp_path / "b.wav")[0] == read(tmp_path / "a.wav")[0]).all()


INT16 = (CLIP * 32767).astype(np.int16)
BAD_FILES = {
    "stereo": (np.stack([INT16, INT16], axis=1), ["(6000, 2)", "mix several channels"]),
    "nothing": (INT16[:0], ["0 samples"]),
    "silence": (INT16 * 0, ["silence", "6,000"]),
    "silent-8-bit": (np.full(100, 128, dtype=np.uint8), ["silence"]),
    "nan": (np.where(np.arange(N) == 7, np.nan, CLIP).astype(np.float32), ["sample 7 is not finite"]),
    "infinite-as-float32": (np.where(np.arange(N) == 9, 1e300, CLIP.astype(np.float64)), ["sample 9 is not finite"]),
    "loud": (CLIP * 2, ["samples up to 1.3", "[-1, 1]"]),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_samples_of_a_file_that_are_none(tmp_path, kind):
    samples, parts = BAD_FILES[kind]
    path = written(tmp_path / "a.wav", samples)
    one_line(DataError, lambda: read(path), path, *parts)


def test_files_that_are_no_sound(tmp_path):
    whole = written(tmp_path / "a.wav", INT16).read_bytes()
    cases = {
        "empty": b"",
        "text": b"not a sound\n" * 10,
        "cut-in-its-head": whole[:30],
        "cut-in-its-samples": whole[:2000],
        "no-rate": whole[:24] + bytes(4) + whole[28:],
        "mu-law": whole[:20] + b"\x07\0" + whole[22:],
        "no-channels": whole[:22] + b"\0\0" + whole[24:],
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(data)
        one_line(DataError, lambda path=path: read(path), path)
    one_line(DataError, lambda: read(tmp_path / "none.wav"), "none.wav", "no such file")
    one_line(DataError, lambda: read(tmp_path), "not a file")


def test_of_a_head_that_promises_4_gb_no_more_is_read_than_is_there(tmp_path):
    data = written(tmp_path / "a.wav", INT16).read_bytes()
    (tmp_path / "b.wav").write_bytes(data[:40] + b"\xf0\xff\xff\xff" + data[44:])
    assert (read(tmp_path / "b.wav")[0] == read(tmp_path / "a.wav")[0]).all()


def test_a_long_file_is_refused_before_it_is_read_and_a_long_clip_after(tmp_path, monkeypatch):
    path = written(tmp_path / "a.wav", INT16)
    monkeypatch.setattr(bounds, "MOST_SAMPLES", 5999)
    one_line(DataError, lambda: read(path), path, "6,000 samples", "5,999")
    monkeypatch.setattr(bounds, "MOST_SOUND", 2**13)
    monkeypatch.setattr(wavfile, "read", None)
    one_line(DataError, lambda: read(path), path, "12,044 bytes", "8,192")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([0.1, 0.2], ["list"]),
        (None, ["NoneType"]),
        (CLIP[None], ["(1, 6000)"]),
        (INT16, ["int16", "32768"]),
        (CLIP[:0], ["0 samples"]),
        (np.append(CLIP, np.float32(np.inf)), ["sample 6000"]),
        (CLIP * 3, ["samples up to 2"]),
    ],
)
def test_arrays_that_are_no_clips(given, parts):
    one_line(DataError, lambda: check(given, "row 3: sound"), "row 3: sound", *parts)


def test_silence_is_a_clip_with_its_segments_left_out_but_none_to_explain(classifier):
    check(np.zeros(N, dtype=np.float32), "row 0")
    one_line(DataError, lambda: check_fits(classifier, row(sound=CLIP * 0)), "test-0", "silence")


# ---- what a model reads ----


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"rate": 16000}, ["16000 Hz", "reads 8000 Hz", "resample_poly(sound, 1, 2)"]),
        ({"rate": 44100}, ["44100 Hz", "resample_poly(sound, 80, 441)"]),
        ({"rate": 0}, ["a rate of 0"]),
        ({"rate": -8000}, ["a rate of -8000"]),
        ({"rate": math.nan}, ["a rate of nan"]),
        ({"rate": 8000.5}, ["a rate of 8000.5"]),
        ({"rate": "8000"}, ["a rate of 8000"]),
        ({"sound": CLIP[:399]}, ["399 samples", "at least 400"]),
        ({"sound": np.tile(CLIP, 2)}, ["1.500 s", "reads 0.830 s"]),
    ],
)
def test_clips_that_a_model_does_not_read(classifier, values, parts):
    table = pd.concat([row(), row(id="test-1", **values)], ignore_index=True)
    one_line(DataError, lambda: check_fits(classifier, table), "test-1", *parts)


def test_any_clip_fits_a_callable_if_its_rate_is_known(classifier):
    check_fits(lambda clips: None, row(rate=44100))
    check_fits(classifier, row(rate=8000.0))
    check_fits(classifier, row().iloc[:0])
    one_line(DataError, lambda: check_fits(None, row().drop(columns="rate")), "no column 'rate'")


def test_a_model_of_samples_reads_clips_of_one_length():
    reader = SimpleNamespace(processor=EXTRACTORS["samples"])
    table = pd.concat([row(), row(id="test-1", sound=CLIP[:5000])], ignore_index=True)
    check_fits(reader, row())
    one_line(DataError, lambda: check_fits(reader, table), "test-1", "5,000 samples", "6,000")
    one_line(DataError, lambda: encode(reader.processor, [CLIP, CLIP[:5000]]), "2 sounds", "one length")


def test_a_model_that_reads_neither_samples_nor_input_values_is_named():
    whisper = SimpleNamespace(processor=transformers.WhisperFeatureExtractor())
    one_line(ModelError, lambda: check_fits(whisper, row()), "WhisperFeatureExtractor", "input_features")


def test_a_batch_is_encoded_as_each_clip_is(classifier):
    clips = [CLIP, CLIP[:3000], np.zeros(N, dtype=np.float32)]
    values = encode(classifier.processor, clips)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.concatenate([encode(classifier.processor, [clip]) for clip in clips]))
    expected = [np.asarray(classifier.processor(clip, sampling_rate=RATE)["input_values"][0]) for clip in clips]
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("n", [400, 3000, 6000, 12_345])
def test_a_model_from_scratch_reads_the_whole_clip(n):
    config, processor = scratch(SHAPE, {"id2label": {0: "no", 1: "yes"}}, np.zeros(n), rate=16000)
    strides = (config.max_length - config.patch_size) / config.time_stride
    assert strides == int(strides)
    assert n_frames(n) <= config.max_length < max(n_frames(n) + config.time_stride, config.patch_size + 1)
    assert (config.max_length, config.num_mel_bins) == (processor.max_length, processor.num_mel_bins)
    assert (config.hidden_size, config.num_hidden_layers, config.num_labels) == (16, 2, 2)
    assert processor.sampling_rate == 16000
    values = torch.from_numpy(encode(processor, [np.sin(np.arange(n), dtype=np.float32)]))
    assert transformers.ASTForAudioClassification(config)(values).logits.shape == (1, 2)


def test_a_saved_model_is_the_model_that_was_saved(classifier, tmp_path):
    classifier.model.save_pretrained(tmp_path)
    classifier.processor.save_pretrained(tmp_path)
    model = getattr(transformers, MODALITY.auto_model).from_pretrained(tmp_path)
    processor = getattr(transformers, MODALITY.auto_processor).from_pretrained(tmp_path)
    loaded = ArrayClassifier.of("saved", model, processor, LABELS, MODALITY, device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba([CLIP]), classifier.predict_proba([CLIP]))
    assert modality.of_config(model.config) is modality.of(row()) is MODALITY

"""Sound: clips of one channel, cut into segments of time or into words; read from WAV files."""

import functools
import io
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq import bounds
from trusteq.attribution.features import Feature, Features, Inputs
from trusteq.errors import DataError, ExperimentError, ModelError, nearest, reading
from trusteq.modality import Modality
from trusteq.statistics import stream

if TYPE_CHECKING:
    from trusteq.models.array_classifier import ArrayClassifier
    from trusteq.registry import Scratch

CUT = "segments-16"
# Of AST's extractor, in samples at any rate: how long a frame is, and how far the next one is from it.
FRAME, HOP = 400, 160
RATE = 8_000  # Hz, of a model from random weights unless told otherwise
PATCH = 32  # of its patches, each way: bins of the spectrogram, all of them, and frames, of which a quarter are new
MEAN, DEVIATION = -0.5, 2.0  # of its spectrograms, in the logarithm: of speech about 22 dB below the loudest, in noise
MEMORY = 64  # numbers that a model reads take about as much memory, on the way of gradients, as a token of a text


@dataclass(frozen=True, eq=False)
class Segments(Features):
    """A clip in segments, in the order of time; what lies between them is no feature and always stays.

    samples: float32 (samples,), in [-1, 1]. rate: samples a second. edges: the first sample of each segment, and the
    first one after it, integers (segments, 2). names: of the segments. replacement: what stands where they are left
    out, float32 (samples,). classifier: that is asked; None where there is only a callable.
    """

    id: str
    n_classes: int
    samples: np.ndarray
    rate: int
    edges: np.ndarray
    names: tuple[str, ...]
    replacement: np.ndarray
    classifier: "ArrayClassifier | None" = None

    @property
    def features(self) -> tuple[Feature, ...]:
        """(0, position, name) of each segment."""
        return tuple((0, position, name) for position, name in enumerate(self.names))

    @functools.cached_property
    def owner(self) -> np.ndarray:
        """The number of the segment that each sample belongs to, (samples,); -1 between segments."""
        owner = np.full(len(self.samples), -1)
        for number, (start, end) in enumerate(self.edges):
            owner[start:end] = number
        return owner

    def tree(self) -> np.ndarray:
        """Return the balanced tree over time, (segments - 1, 2): neighbours are merged, level by level."""
        merges, nodes = [], list(range(self.n_features))
        while len(nodes) > 1:
            pairs = [nodes[at : at + 2] for at in range(0, len(nodes) - 1, 2)]
            first = self.n_features + len(merges)
            nodes = [*range(first, first + len(pairs)), *nodes[2 * len(pairs) :]]
            merges += pairs
        return np.array(merges, dtype=np.int64).reshape(-1, 2)

    def texts(self, masks: np.ndarray) -> tuple[list[np.ndarray]]:
        """Return the clips under `masks`, (n, segments), float32 (samples,) each."""
        kept = np.pad(masks, ((0, 0), (0, 1)), constant_values=True)[:, self.owner]  # what is no segment's is last
        return (list(np.where(kept, self.samples, self.replacement)),)

    def inputs(self) -> Inputs:
        """Return what the model reads, samples or frames of a spectrogram; without segments, of the masked clip.

        A frame belongs to the segment that holds its centre; one of no segment stays, although it may overlap one.
        """
        whole, masked = self.texts(np.array([[True], [False]]).repeat(self.n_features, axis=1))[0]
        values, baseline = (encode(self.classifier.processor, [sound]) for sound in (whole, masked))
        feature = np.broadcast_to(self._owners(values[0]), values[0].shape)
        baseline = np.where(feature >= 0, baseline, values)
        n_tokens = max(1, values.size // MEMORY)
        return Inputs.of_numbers(self.classifier.model, values, baseline, feature, n_tokens=n_tokens)

    def _owners(self, values: np.ndarray) -> np.ndarray:
        """Return the segment of each sample, (samples,), or frame, (frames, 1), that a model reads; -1 of padding."""
        if values.ndim == 1:
            return self.owner
        owners = np.full((len(values), 1), -1)
        centres = self.owner[FRAME // 2 : len(self.samples) - FRAME // 2 + 1 : HOP]
        owners[: len(centres), 0] = centres[: len(values)]
        return owners


def example_of(
    row,
    n_classes: int,
    *,
    classifier: "ArrayClassifier | None" = None,
    mask: str = "silence",
    cut: str = CUT,
) -> Segments:
    """Return a row of a table of examples as what is explained.

    row: id, sound, rate; for the cut "words" also words, (start, end, word) of each in the order of time, seconds.
    mask: a name in MASKS. cut: "words", or "segments-N" for N segments of the same length.

    Raises ExperimentError for another mask or cut, and for more segments than samples; DataError for words that overlap
    or lie outside the clip.
    """
    if mask not in MASKS:
        raise ExperimentError(f"unknown mask {mask!r}; {nearest(mask, MASKS)}")
    samples = np.asarray(row.sound, dtype=np.float32)
    edges, names = _cut(cut, row)
    return Segments(row.id, n_classes, samples, int(row.rate), edges, names, MASKS[mask](samples, row.id), classifier)


def _silence(samples: np.ndarray, name: str) -> np.ndarray:
    return np.zeros_like(samples)


def _noise(samples: np.ndarray, name: str) -> np.ndarray:
    """Return white noise as loud as the whole clip, by its root mean square: the same for the same example."""
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    drawn = stream(0, "noise", name).standard_normal(len(samples))
    return np.clip(level * drawn, -1, 1).astype(np.float32)


# What stands where a segment is left out: samples, (samples,), and the example's id -> as many.
MASKS = {"silence": _silence, "noise": _noise}


def _segments(row, number: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the edges and the names of segments of the same length, up to a sample."""
    n, length = int(number), len(row.sound)
    if n > (most := min(length, bounds.MOST_SEGMENTS)):
        raise ExperimentError(
            f"example {row.id!r}: segments-{n} of {length:,} samples; ask for at most {most:,} segments"
        )
    ends = np.arange(n + 1) * length // n
    edges = np.stack([ends[:-1], ends[1:]], axis=1)
    return edges, tuple(f"{start:.2f}-{end:.2f} s" for start, end in (edges / row.rate).tolist())


def _words(row) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the edges of the words of a transcript, and the words."""
    where = f"example {row.id!r}"
    if not hasattr(row, "words"):
        raise DataError(f"{where}: no column 'words'; give (start, end, word) of each in seconds, or use {CUT!r}")
    with reading(DataError, where, "give words as (start, end, word), in seconds"):
        words = [(float(start), float(end), str(word)) for start, end, word in row.words]
    edges = np.round(np.array([of[:2] for of in words]).reshape(-1, 2) * row.rate)
    length = len(row.sound) / row.rate
    for (start, end), before, (*times, word) in zip(edges, [0, *edges[:, 1]], words, strict=False):
        if not before <= start < end <= len(row.sound):
            said = f"{where}: the word {word!r} is from {times[0]:.3f} to {times[1]:.3f} s of {length:.3f} s"
            raise DataError(f"{said}; give words inside the clip, in the order of time, that do not overlap")
    return edges.astype(np.int64), tuple(word for *_, word in words)


# How a clip is cut: the pattern of a cut's name -> row, what the pattern's groups hold -> edges, names.
CUTS = {r"segments-([1-9]\d{0,5})": _segments, "words": _words}


def _cut(name: str, row) -> tuple[np.ndarray, tuple[str, ...]]:
    for pattern, cut in CUTS.items():
        if found := re.fullmatch(pattern, name):
            return cut(row, *found.groups())
    raise ExperimentError(f"unknown features {name!r} of a sound; {nearest(name, [CUT, 'words'])}")


def read(file: Path | io.BytesIO, where: str | None = None) -> tuple[np.ndarray, dict[str, int]]:
    """Return the samples of a WAV file, float32 (samples,) in [-1, 1], and {"rate": samples a second}.

    where: what the file is called in an error, by default its path. Integers of any width are divided by the largest
    that there may be. Raises DataError for a file that is no whole WAV, several channels, no samples, silence and
    samples that are none.
    """
    from scipy.io import wavfile

    where = where or str(file)
    data = io.BytesIO(_bytes(file, where)) if isinstance(file, Path) else file  # of it no more is read than is there
    with reading(DataError, where, "not a whole WAV file; write it again"), warnings.catch_warnings():
        # Of what surrounds the samples a part may be unknown; a file that ends too soon is no whole one.
        warnings.simplefilter("error", wavfile.WavFileWarning)
        warnings.filterwarnings("ignore", "Chunk .* not understood", wavfile.WavFileWarning)
        rate, samples = wavfile.read(data)
    _check_rate(rate, where)
    samples = _as_floats(samples)
    check(samples, where)
    _check_heard(samples, where)
    return samples, {"rate": int(rate)}


def _bytes(path: Path, where: str) -> bytes:
    if not path.is_file():
        raise DataError(f"{where}: {'not a file' if path.exists() else 'no such file'}; name one")
    bounds.check(path.stat().st_size, bounds.MOST_SOUND, "bytes", where, DataError)
    return path.read_bytes()


def _as_floats(samples: np.ndarray) -> np.ndarray:
    """Return samples of any format as float32; those of 8 bits are counted from 0, and 24 bits are the upper of 32."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too large for float32 is not finite, which is said then
            return samples.astype(np.float32)
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return (samples / half - (samples.dtype.kind == "u")).astype(np.float32)


def check(sound: object, where: str) -> None:
    """Raise DataError for what is no clip: floats in [-1, 1], (samples,). Silence is one: segments may be left out."""
    hint = "give floats in [-1, 1], of shape (samples,)"
    if not isinstance(sound, np.ndarray):
        raise DataError(f"{where}: {type(sound).__name__}, not an array of samples; {hint}")
    if sound.ndim != 1:
        raise DataError(f"{where}: samples of shape {sound.shape}; mix several channels into one, by their mean")
    if sound.dtype.kind != "f":
        raise DataError(f"{where}: samples are {sound.dtype}; {hint}: of int16, divide by 32768")
    if not 0 < len(sound) <= bounds.MOST_SAMPLES:
        raise DataError(f"{where}: {len(sound):,} samples; give at least 1 and at most {bounds.MOST_SAMPLES:,}")
    if not np.isfinite(sound).all():
        raise DataError(f"{where}: sample {int(np.argmin(np.isfinite(sound)))} is not finite; {hint}")
    if (peak := float(np.abs(sound).max())) > 1:
        raise DataError(f"{where}: samples up to {peak:.4g}; {hint}: divide by the largest")


def _check_heard(sound: np.ndarray, where: str) -> None:
    if not sound.any():
        raise DataError(f"{where}: silence, all {len(sound):,} samples are 0; leave it out")


def _check_rate(rate: object, where: str) -> None:
    if not (isinstance(rate, int | float | np.number) and rate > 0 and rate == rate // 1):
        raise DataError(f"{where}: a rate of {rate}; give the samples a second, a whole number above 0")


def check_fits(classifier: object, examples: pd.DataFrame) -> None:
    """Raise DataError, by example, for silence, a rate that is none, and for a clip that the classifier does not read.

    A classifier without a processor takes any. Raises ModelError where its processor makes no `input_values`.
    """
    if "rate" not in examples:
        raise DataError("sound: no column 'rate' in the examples; give the samples a second (Hz) of each")
    processor = getattr(classifier, "processor", None)
    if processor is not None and MODALITY.argument not in processor.model_input_names:
        kind, made = type(processor).__name__, processor.model_input_names[0]
        raise ModelError(f"{kind} makes {made}, and {MODALITY.argument} are read; use a model like AST or wav2vec 2.0")
    length = len(examples[MODALITY.name].iloc[0]) if len(examples) else 0
    for name, sound, rate in zip(examples["id"], examples[MODALITY.name], examples["rate"], strict=True):
        where = f"example {name!r}"
        _check_heard(sound, where)
        _check_rate(rate, where)
        if processor is not None:
            _check_read(sound, int(rate), processor, where, length)


def _check_read(sound: np.ndarray, rate: int, processor: object, where: str, length: int) -> None:
    """Raise DataError for a clip of another rate, too short or too long for a processor. length: of the first clip."""
    own = processor.sampling_rate
    if rate != own:
        up, down = own // math.gcd(own, rate), rate // math.gcd(own, rate)
        by = f"scipy.signal.resample_poly(sound, {up}, {down})"
        raise DataError(f"{where}: {rate} Hz, and the model reads {own} Hz; resample it, as by {by}")
    if len(sound) < FRAME:
        raise DataError(f"{where}: {len(sound)} samples, and a model reads at least {FRAME}; give a longer clip")
    frames = getattr(processor, "max_length", None)
    if frames is None and len(sound) != length:
        first = f"the first clip has {length:,}, and the model reads clips of one length at a time"
        raise DataError(f"{where}: {len(sound):,} samples; {first}: cut them, or fill them up with zeros")
    if frames is not None and n_frames(len(sound)) > frames:
        most = (FRAME + (frames - 1) * HOP) / rate
        raise DataError(f"{where}: {len(sound) / rate:.3f} s, and the model reads {most:.3f} s; cut it")


def n_frames(n_samples: int) -> int:
    """Return how many frames a spectrogram of so many samples has."""
    return 1 + (n_samples - FRAME) // HOP


def encode(processor: object, sounds: list[np.ndarray]) -> np.ndarray:
    """Return what a model reads of clips of its rate: spectrograms, float32 (n, frames, bins), or (n, samples)."""
    clips = [np.asarray(sound, dtype=np.float32) for sound in sounds]
    with reading(DataError, f"{len(clips)} sounds", f"give clips of one length, of at least {FRAME} samples"):
        found = processor(clips, sampling_rate=processor.sampling_rate, return_tensors="np")
        return np.asarray(found[MODALITY.argument], dtype=np.float32)


def scratch(shape: "Scratch", names: dict, sound: np.ndarray, rate: int = RATE) -> tuple[object, object]:
    """Return configuration and feature extractor of a spectrogram transformer for clips as long as one of them.

    A patch has all bins of the spectrogram, as many as `patch_size` says, and starts a quarter of itself after the one
    before it: a word may begin anywhere. names: of the classes, as a configuration takes them. rate: of the clips, Hz.
    Source: Gong et al. (2021), AST: Audio Spectrogram Transformer, section 2.1, with other patches.
    """
    from transformers import ASTConfig, ASTFeatureExtractor

    patch = shape.patch_size or PATCH
    stride = (patch + 3) // 4
    strides = max(0, math.ceil((n_frames(len(sound)) - patch) / stride))
    size = {"max_length": patch + stride * strides, "num_mel_bins": patch}  # so that no frame is left over
    patches = {"patch_size": patch, "frequency_stride": patch, "time_stride": stride}
    known = shape.model_dump(exclude={"max_position_embeddings", "patch_size"})
    scale = {"mean": MEAN, "std": DEVIATION}
    return ASTConfig(**known, **patches, **size, **names), ASTFeatureExtractor(sampling_rate=rate, **size, **scale)


MODALITY = Modality(
    name="sound",
    units="segments",
    cut=CUT,
    cuts=tuple(CUTS),
    suffixes=(".wav", ".wave"),
    masks=tuple(MASKS),
    read=read,
    check=check,
    check_fits=check_fits,
    example_of=example_of,
    auto_model="AutoModelForAudioClassification",
    auto_processor="AutoFeatureExtractor",
    argument="input_values",
    encode=encode,
    scratch=scratch,
    pages="trusteq.pages.sound",
    facts=("rate",),
)

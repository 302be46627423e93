"""Words spoken by espeak-ng in noise: one of three decides, and when it is said is known."""

import functools
import re
import subprocess

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.statistics import stream

SIZES = {"train": 3600, "dev": 400, "test": 400}
LABELS = ("yes", "no", "stop", "go", "left", "right", "up", "down")
OTHERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "bed", "bird", "cat", "dog")
OTHERS += ("happy", "house", "marvin", "sheila", "tree", "wow")
# A speaker is a voice with a speed (words a minute) and a pitch (0 to 99); no voice is in two splits.
VOICES = {"train": ("m1", "m2", "m3", "m4", "m5", "m8", "f1", "f2", "f3"), "dev": ("m6", "f4"), "test": ("m7", "f5")}
MANNERS = ((220, 40), (220, 60), (250, 50), (250, 70))
RATE = 8000  # Hz
N_SAMPLES, N_SEGMENTS = 12_800, 16  # of a clip: 1.6 s, of which a segment is 0.1 s
LONGEST = 4000  # samples of a word, so that any three fit
LEVEL = 0.08  # root mean square of each word as it is mixed; of the noise, by so many decibels less:
QUIETER = (5, 20)
_SILENT = 0.02  # of a word's peak; what is below at its ends is the program's own pause
_MISSING = "the words are spoken by the program espeak-ng, which is not installed; apt-get install espeak-ng"
Speaker = tuple[str, int, int]  # voice, speed, pitch


def generate(task: str, split: str) -> pd.DataFrame:
    """Return one split of "spoken": the same arrays wherever the same espeak-ng speaks.

    Columns: id; sound, float32 (12800,) in [-1, 1]; rate, 8000 Hz; label, of the one keyword among three words that one
    speaker says in any order, with pauses of any length, in white noise that is 5 to 20 dB below them; evidence, tuple
    of (0, position) of those of 16 equal segments of which the keyword fills a quarter or more; words, tuple of (start,
    end, word), in seconds. No voice speaks in two splits. `.attrs["made_by"]` names espeak-ng's version.
    Raises DataError on an unknown name, and where espeak-ng is not installed or fails.
    Source: the words are those of Warden (2018), Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition.
    """
    for kind, name, choices in (("task", task, ("spoken",)), ("split", split, SIZES)):
        if name not in choices:
            raise DataError(f"unknown {kind} {name!r} of generated examples: {nearest(name, choices)}")
    rng, made_by = stream(0, task, split), _version()
    labels = rng.permutation(np.arange(SIZES[split]) % len(LABELS))
    rows = [(f"{split}-{row}", *_clip(int(label), split, rng)) for row, label in enumerate(labels)]
    found = pd.DataFrame(rows, columns=["id", "sound", "label", "evidence", "words"])
    found.insert(2, "rate", RATE)
    found.attrs["made_by"] = made_by
    return found


def _version() -> str:
    told = re.search(r"\d+(\.\d+)+\S*", _espeak("--version").decode(errors="replace"))
    return f"espeak-ng {told[0] if told else 'of unknown version'}"


def _clip(label: int, split: str, rng: np.random.Generator) -> tuple:
    """Return a clip: sound, label, evidence, words."""
    speaker = _speaker(split, rng)
    said = rng.permutation([LABELS[label], *rng.choice(OTHERS, 2, replace=False)]).tolist()
    spoken = [_spoken(word, speaker) for word in said]
    starts = _starts([len(word) for word in spoken], rng)
    noise = LEVEL * 10 ** (-rng.uniform(*QUIETER) / 20) * rng.standard_normal(N_SAMPLES)
    for start, word in zip(starts, spoken, strict=True):
        noise[start : start + len(word)] += word
    ends = [start + len(word) for start, word in zip(starts, spoken, strict=True)]
    decides = said.index(LABELS[label])
    places = tuple(zip((start / RATE for start in starts), (end / RATE for end in ends), said, strict=True))
    return noise.clip(-1, 1).astype(np.float32), label, _segments(starts[decides], ends[decides]), places


def _speaker(split: str, rng: np.random.Generator) -> Speaker:
    voice, manner = (options[rng.integers(len(options))] for options in (VOICES[split], MANNERS))
    return (voice, *manner)


def _starts(lengths: list[int], rng: np.random.Generator) -> list[int]:
    """Return where each word starts: what is free is divided at random among the pauses before, between and after."""
    free = N_SAMPLES - sum(lengths)
    pauses = np.sort(rng.integers(0, free + 1, len(lengths)))
    return (pauses + np.cumsum([0, *lengths[:-1]])).tolist()


def _segments(start: int, end: int) -> tuple[tuple[int, int], ...]:
    """Return (0, position) of the segments of which a quarter or more lies between two samples.

    Half of a segment would leave out up to 0.6 of the energy of a word, a quarter leaves out 0.14 at most.
    """
    size = N_SAMPLES // N_SEGMENTS
    edges = size * np.arange(N_SEGMENTS)
    filled = np.minimum(end, edges + size) - np.maximum(start, edges)
    return tuple((0, int(position)) for position in np.flatnonzero(4 * filled >= size))


@functools.cache
def _spoken(word: str, speaker: Speaker) -> np.ndarray:
    """Return a word without the pauses around it, float64 (samples,) at RATE and LEVEL, cut to half a second."""
    from scipy.signal import resample_poly

    voice, speed, pitch = speaker
    file = _espeak("--stdout", "-v", f"en-us+{voice}", "-s", str(speed), "-p", str(pitch), word)
    rate, samples = _samples(file)
    sound = resample_poly(samples, RATE, rate)
    loud = np.flatnonzero(np.abs(sound) > _SILENT * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1][:LONGEST]
    sound = sound * (LEVEL / np.sqrt(np.mean(sound**2)))
    sound.flags.writeable = False
    return sound


def _samples(file: bytes) -> tuple[int, np.ndarray]:
    """Return the rate and the samples, float64, of a WAV file that was piped: its header does not know its length."""
    sound = file[file.find(b"data") + 8 :]
    samples = np.frombuffer(sound, "<i2", count=len(sound) // 2) / 2**15
    return int.from_bytes(file[24:28], "little"), samples


def _espeak(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["espeak-ng", *arguments], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        raise DataError(_MISSING) from None
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.decode(errors="replace").split())[:200]
        raise DataError(f"espeak-ng {' '.join(arguments)}: exit code {done.returncode}, {said!r}; install it anew")
    return done.stdout

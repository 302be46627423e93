"""The spoken clips hold what they promise: one keyword, at the time that is told, and noise as loud as is said."""

import shutil
import subprocess
import wave

import numpy as np
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.examples import spoken
from trusteq.examples.load import load_examples

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng: apt-get install espeak-ng")


@pytest.fixture(scope="module")
def dev():
    return spoken.generate("spoken", "dev")


def samples(row, word):
    """Return the samples at which a word of a clip is said: start, end."""
    (place,) = [place for place in row.words if place[2] == word]
    return round(place[0] * 8000), round(place[1] * 8000)


@needs_espeak
def test_a_table_has_the_columns_of_sounds(dev):
    assert list(dev) == ["id", "sound", "rate", "label", "evidence", "words"]
    assert dev["id"].tolist() == [f"dev-{row}" for row in range(400)]
    assert {(sound.dtype, sound.shape) for sound in dev["sound"]} == {(np.dtype(np.float32), (12_800,))}
    assert max(np.abs(sound).max() for sound in dev["sound"]) <= 1
    assert set(dev["rate"]) == {8000}
    assert dev["label"].value_counts().to_dict() == dict.fromkeys(range(8), 50)
    assert dev.attrs["made_by"].split()[1] in spoken._espeak("--version").decode()


@needs_espeak
def test_one_of_three_words_is_the_keyword_and_stands_anywhere(dev):
    places = []
    for row in dev.itertuples():
        starts, ends, said = zip(*row.words, strict=True)
        (place,) = [place for place, word in enumerate(said) if word in spoken.LABELS]
        places.append(place)
        assert spoken.LABELS.index(said[place]) == row.label
        assert len(set(said)) == 3 and set(said) - {said[place]} <= set(spoken.OTHERS)
        assert 0 <= starts[0] < ends[0] <= starts[1] < ends[1] <= starts[2] < ends[2] <= 1.6
    assert np.bincount(places).min() > 100


@needs_espeak
def test_the_keyword_is_heard_where_it_is_said_to_be_and_nowhere_else(dev, monkeypatch):
    """The same clips with the keywords left silent: noise, speakers and the other words stay as they are."""
    say = spoken._spoken
    monkeypatch.setattr(spoken, "_spoken", lambda word, by: say(word, by) * (word not in spoken.LABELS))
    for row, silent in zip(dev.itertuples(), spoken.generate("spoken", "dev")["sound"], strict=True):
        start, end = samples(row, spoken.LABELS[row.label])
        keyword = row.sound.astype(float) - silent
        assert not keyword[:start].any() and not keyword[end:].any()
        assert np.sqrt(np.mean(keyword[start:end] ** 2)) == pytest.approx(spoken.LEVEL, rel=1e-4)
        energy = (keyword**2).reshape(16, 800).sum(axis=1)
        assert energy[[position for _, position in row.evidence]].sum() > 0.8 * energy.sum()


@needs_espeak
def test_the_evidence_is_the_segments_of_which_the_keyword_fills_a_quarter(dev):
    for row in dev.itertuples():
        start, end = samples(row, spoken.LABELS[row.label])
        filled = [sum(start <= sample < end for sample in range(800 * of, 800 * of + 800)) for of in range(16)]
        assert row.evidence == tuple((0, of) for of in range(16) if filled[of] >= 200)
        assert row.evidence


@needs_espeak
def test_the_noise_is_5_to_20_decibels_below_the_words(dev):
    below = []
    for row in dev.itertuples():
        said = np.zeros(12_800, dtype=bool)
        for _, _, word in row.words:
            said[slice(*samples(row, word))] = True
        below.append(20 * np.log10(spoken.LEVEL / np.sqrt(np.mean(row.sound[~said].astype(float) ** 2))))
    assert 4.5 < min(below) < 6 and 19 < max(below) < 20.5  # of a root mean square over 1,000 samples and more


@needs_espeak
def test_no_two_speakers_sound_alike_and_no_voice_is_in_two_splits():
    """Some voices, as all of en-gb in version 1.51, are one and the same voice under many names."""
    voices = [voice for voices in spoken.VOICES.values() for voice in voices]
    speakers = [(voice, *manner) for voice in voices for manner in spoken.MANNERS]
    assert len({spoken._spoken("yes", speaker).tobytes() for speaker in speakers}) == len(speakers)


@needs_espeak
def test_every_call_makes_the_same_arrays(dev):
    spoken._spoken.cache_clear()
    again = spoken.generate("spoken", "dev")
    assert (np.stack(again["sound"]) == np.stack(dev["sound"])).all()
    columns = ["id", "rate", "label", "evidence", "words"]
    assert again[columns].equals(dev[columns])


@needs_espeak
def test_a_piped_file_is_read_as_the_standard_library_reads_it_from_disk(tmp_path):
    file = tmp_path / "wow.wav"
    rate, found = spoken._samples(spoken._espeak("--stdout", "-v", "en-us+m1", "wow"))
    subprocess.run(["espeak-ng", "-w", file, "-v", "en-us+m1", "wow"], check=True)
    with wave.open(str(file)) as expected:
        assert rate == expected.getframerate()
        written = np.frombuffer(expected.readframes(expected.getnframes()), "<i2") / 2**15
    assert (found == written).all()


@needs_espeak
def test_a_task_of_the_registry():
    frame = load_examples("spoken", "dev", limit=10)
    assert len(frame) == 10 and frame["sound"][0].shape == (12_800,) and frame.attrs["made_by"].startswith("espeak-ng ")


def test_what_cannot_be_made_is_refused_in_one_line(monkeypatch, tmp_path):
    one_line(DataError, lambda: spoken.generate("spoke", "dev"), "'spoke'", "did you mean 'spoken'?")
    one_line(DataError, lambda: spoken.generate("spoken", "tests"), "'tests'", "did you mean 'test'?")
    monkeypatch.setenv("PATH", str(tmp_path))
    one_line(DataError, lambda: spoken.generate("spoken", "dev"), "espeak-ng", "apt-get install espeak-ng")
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\necho 'no\nvoices' >&2\nexit 3\n")
    program.chmod(0o755)
    one_line(DataError, lambda: spoken.generate("spoken", "dev"), "espeak-ng --version", "exit code 3", "no voices")

"""Clips on pages and in reports: the waveform with its segments coloured by their weights, and the sound to play."""

import base64
import html
import io
import math
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from IPython.display import HTML

from trusteq.alignment.ranking import chance_jaccard, jaccard, top_features
from trusteq.modalities.sound import CUT, Segments, example_of

WIDTH, HEIGHT = 360, 102  # of the drawing, which a phone shows whole
HIGHEST, LOWEST = 9, 73  # of the waveform; above it are dots, below it names and times
COLUMNS = 240  # of a waveform, each from the lowest to the highest sample in it
LETTER = 5.9  # wide, on average
PLAYED_RATE, MOST_PLAYED = 8_000, 2.4  # Hz and seconds: a sound takes less than 40 kB
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # seconds
_SVG = (
    '<svg class="tq-sound" role="img" aria-label="{label}" viewBox="0 0 {width} {height}" style="display: block; '
    'width: 100%; max-width: 32rem; height: auto; overflow: visible" font-size="11" fill="currentColor">{parts}</svg>'
)


def marked(row, weights: Mapping[int, float], top: Collection[int], cut: str) -> str:
    """Return a clip as HTML that may stand in a paragraph: its waveform and the sound.

    row: id, sound, rate, and where there are, words and evidence (see `waveform`). weights: of the segments, by
    position. top: positions that are framed. cut: how the clip is cut, see `modalities.sound.example_of`.
    """
    return waveform(row, weights, top, cut) + player(row)


def side_by_side(row, attributions: Mapping[str, pd.DataFrame], label: str, *, cut: str = CUT, k: int = 10) -> HTML:
    """Return a clip with the weights of two models, one below the other, what their top sets share, and the sound.

    row: see `marked`. attributions: of the models, by their titles. label: the class whose weights are shown.
    cut: how the clip was cut. The top `k` are framed, and have a dot where they are so for both.
    """
    of_clip = [table[(table["id"] == row.id) & (table["label"] == label)] for table in attributions.values()]
    tops = [_top(table, row.id, label, k) for table in of_clip]
    parts = [f"<p><small>{html.escape(row.id)}, {html.escape(label)}</small></p>"]
    for title, table, top in zip(attributions, of_clip, tops, strict=True):
        weights = dict(zip(table["position"], table["weight"], strict=True))
        drawn = waveform(row, weights, top, cut, shared=frozenset.intersection(*tops))
        parts.append(f"<p><strong>{html.escape(title)}</strong>{drawn}</p>")
    return HTML("\n".join([*parts, f"<p>{_finding(row, *tops, len(of_clip[0]))}</p>", f"<p>{player(row)}</p>"]))


def _top(table: pd.DataFrame, name: str, label: str, k: int) -> frozenset[int]:
    found = top_features(table, k=k, label=pd.Series({name: label}))[name]
    return frozenset(position for _, position in found)


def _finding(row, a: frozenset, b: frozenset, n: int) -> str:
    """Return what the top sets of two models have in common, and what else is marked. n: the segments of the clip."""
    said = f"{len(a & b)} of {len(a | b)} top segments are the same (dots)"
    if a | b:
        said += f": Jaccard {jaccard(a, b):.2f}, by chance {chance_jaccard(n, len(a), len(b)):.2f}"
    return f"{said}. The line below marks what is known to decide." if len(_evidence(row)) else f"{said}."


def waveform(row, weights: Mapping[int, float], top: Collection[int], cut: str, *, shared: Collection[int] = ()) -> str:
    """Return the waveform of a clip as SVG, each segment coloured by its weight; the rest is as in `marked`.

    Blue speaks for the class, orange against it; strength is relative to the clip's largest weight. Words are written
    below their segments; the line below is what is known to decide, as `row.evidence` has it in the same cut.
    shared: positions that have a dot.
    """
    clip = example_of(row, 0, cut=cut)
    places = (WIDTH / len(clip.samples) * clip.edges).tolist()
    truth = sorted(int(position) for _, position in _evidence(row) if position < clip.n_features)
    largest = max(map(abs, weights.values()), default=0.0) or 1.0
    parts = []
    for (_, position, name), (start, end) in zip(clip.features, places, strict=True):
        weight = weights.get(position, 0.0)
        parts.append(_segment(start, end, name, weight, weight / largest, position in top, position in shared))
    parts += [f'<path d="{_outline(clip.samples)}" fill-opacity=".75" pointer-events="none"/>', *_axis(clip)]
    parts += [_line(*places[position]) for position in truth]
    about = {"label": html.escape(described(clip, weights, top, truth)), "width": WIDTH, "height": HEIGHT}
    return _SVG.format(parts="".join(parts), **about)


def described(clip: Segments, weights: Mapping[int, float], top: Collection[int], truth: Collection[int]) -> str:
    """Return a text that stands for a waveform: how long it is, the top segments and their weights, what decides."""
    names = {position: name for _, position, name in clip.features}
    first = sorted(top, key=lambda position: -abs(weights.get(position, 0.0)))
    said = [f"Waveform of {len(clip.samples) / clip.rate:.2f} s in {clip.n_features} segments"]
    if first:
        listed = (f"{names[position]} ({weights.get(position, 0.0):+.3f})" for position in first)
        said.append(f"Top segments: {', '.join(listed)}")
    if truth:
        said.append(f"Known to decide: {', '.join(names[position] for position in truth)}")
    return ". ".join(said) + "."


def _evidence(row) -> Collection:
    known = getattr(row, "evidence", None)
    return known if isinstance(known, Collection | np.ndarray) else ()


def _segment(start: float, end: float, name: str, weight: float, share: float, is_top: bool, is_shared: bool) -> str:
    """Return a segment as a coloured rectangle, framed where it is a top one; its name below where there is room."""
    colour = "58 110 220" if weight > 0 else "235 130 20"
    # Less where the page is dark, as words have it.
    style = f"fill: rgb({colour} / calc({0.75 * abs(share):.2f} * var(--tq-strength, 1)))"
    frame = ' stroke="currentColor" stroke-width="1.6"' if is_top else ""
    inset = 0.8 if is_top else 0
    size = f'width="{max(end - start - 2 * inset, 0):.1f}" height="{LOWEST - HIGHEST - 2 * inset}"'
    place = f'x="{start + inset:.1f}" y="{HIGHEST + inset}" {size}'
    about = f"<title>{html.escape(name)}: {weight:+.4f}</title>"
    found = f'<rect class="tq-word" {place} style="{style}"{frame}>{about}</rect>'
    if is_shared:
        found += f'<circle cx="{(start + end) / 2:.1f}" cy="{HIGHEST / 2}" r="3"/>'
    if len(name) * LETTER <= end - start:
        found += f'<text x="{(start + end) / 2:.1f}" y="{LOWEST + 13}" text-anchor="middle">{html.escape(name)}</text>'
    return found


def _line(start: float, end: float) -> str:
    place = f'x="{start:.1f}" y="{LOWEST + 1}" width="{end - start:.1f}" height="2.4"'
    return f"<rect {place}><title>known to decide</title></rect>"


def _outline(samples: np.ndarray) -> str:
    """Return the path around a waveform, which fills the height."""
    ends = np.unique(np.arange(COLUMNS) * len(samples) // COLUMNS)
    heights = np.stack([np.maximum.reduceat(samples, ends), np.minimum.reduceat(samples, ends)])
    y = (HIGHEST + LOWEST - 0.95 * (LOWEST - HIGHEST) * heights / (np.abs(samples).max() or 1)) / 2
    x = WIDTH * (ends + 0.5 * len(samples) / len(ends)) / len(samples)
    points = [*zip(x, y[0], strict=True), *zip(x[::-1], y[1, ::-1] + 0.4, strict=True)]
    return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points) + "Z"


def _axis(clip: Segments) -> list[str]:
    """Return the times below a waveform, at most seven of them."""
    seconds = len(clip.samples) / clip.rate
    step = next((step for step in _TICKS if seconds / step < 6), seconds)
    found = []
    for number in range(int(seconds / step + 1e-9) + 1):
        at = WIDTH * number * step / seconds
        anchor = "start" if at < 10 else "end" if at > WIDTH - 10 else "middle"
        text = f"{number * step:g}" + (" s" if number == 0 else "")
        found.append(f'<text x="{at:.1f}" y="{HEIGHT - 4}" text-anchor="{anchor}" fill-opacity=".7">{text}</text>')
    return found


def player(row) -> str:
    """Return the sound of a clip as HTML to play it, with how long it is; of a long one its beginning."""
    seconds = len(row.sound) / int(row.rate)
    is_cut = seconds > MOST_PLAYED
    name = html.escape(f"{row.id}: sound of {seconds:.2f} s" + (f", its first {MOST_PLAYED} s" if is_cut else ""))
    data = base64.b64encode(_wav(row.sound, int(row.rate))).decode()
    source = f'src="data:audio/wav;base64,{data}">{name}; it cannot be played here.'
    style = 'style="display: block; width: 100%; max-width: 20rem; height: 2.2rem; margin: .3rem 0"'
    played = f'<audio controls preload="metadata" aria-label="{name}" {style} {source}</audio>'
    return played + (f"<small>Only its first {MOST_PLAYED} s can be played here.</small>" if is_cut else "")


def _wav(samples: np.ndarray, rate: int) -> bytes:
    """Return the beginning of a clip as a WAV file of 8 kHz and 16 bits."""
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    common = math.gcd(PLAYED_RATE, rate)
    clip = np.asarray(samples[: math.ceil(MOST_PLAYED * rate)], dtype=np.float64)
    if rate != PLAYED_RATE:
        clip = resample_poly(clip, PLAYED_RATE // common, rate // common)
    file = io.BytesIO()
    wavfile.write(file, PLAYED_RATE, np.round(32767 * np.clip(clip, -1, 1)).astype(np.int16))
    return file.getvalue()

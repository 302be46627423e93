import itertools
import re
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import regex

from trusteq import words
from trusteq.project import root

TEXT = "Two dogs, one_ball: it's 3.5 m\tça «là» 日本"


def test_words_are_maximal_runs_of_word_characters():
    assert words.words(TEXT) == ["Two", "dogs", "one_ball", "it", "s", "3", "5", "m", "ça", "là", "日本"]


def test_spans_cut_the_words_out_of_the_text():
    assert [TEXT[start:stop] for start, stop in words.spans(TEXT)] == words.words(TEXT)
    assert words.spans("a  bc") == [(0, 1), (3, 5)]


@pytest.mark.parametrize("text", [None, "", " .,!? "])
def test_text_without_words(text):
    assert words.words(text) == []
    assert words.spans(text) == []


def test_deleting_keeps_punctuation_and_collapses_white_space():
    assert words.mask("A dog, a cat.\n", [True, False, False, True]) == "A , cat."
    assert words.mask("A dog, a cat.", [False] * 4) == ", ."


def test_deleting_joins_no_neighbours():
    assert words.words(words.mask("one two three", [True, False, True])) == ["one", "three"]


def test_a_replacement_stands_for_each_word():
    assert words.mask("A dog, a cat.\n", [True, False, False, True], "[MASK]") == "A [MASK], [MASK] cat."
    assert words.mask("it's  3.5", [False, True, True, False], "_") == "_'s 3._"
    assert words.mask(r"a b", [False, True], r"\1") == r"\1 b"


@pytest.mark.parametrize("replacement", ["", "[MASK]"])
def test_masking_nothing_only_collapses_white_space(replacement):
    assert words.mask("  A  dog,\ta\u00a0cat. ", [True] * 4, replacement) == "A dog, a cat."


@pytest.mark.parametrize("replacement", ["", "[MASK]"])
def test_masking_a_text_without_words(replacement):
    assert words.mask(" ?! ", [], replacement) == "?!"
    assert words.mask("", [], replacement) == ""


@pytest.mark.parametrize("keep", [[True], [True] * 3])
def test_masking_wants_one_value_per_word(keep):
    with pytest.raises(ValueError, match="zip"):
        words.mask("two words", keep)


# --- scripts of the world ---

# What Unicode's own properties say, by another library: marks belong to the letter before them.
REFERENCE = regex.compile(r"[\p{L}\p{N}_][\p{L}\p{N}_\p{M}]*")
SPACED = {
    "Hindi": ("क्या आप हिन्दी बोलते हैं?", ["क्या", "आप", "हिन्दी", "बोलते", "हैं"]),
    "Tamil": ("நான் தமிழ் பேசுகிறேன்.", ["நான்", "தமிழ்", "பேசுகிறேன்"]),
    "Bengali": ("আমি বাংলায় কথা বলি।", ["আমি", "বাংলায়", "কথা", "বলি"]),
    "pointed Arabic": ("ٱلْكِتَابُ، كـــتاب", ["ٱلْكِتَابُ", "كـــتاب"]),
    "pointed Hebrew": ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
    "Vietnamese": ("Tôi học tiếng Việt.", ["Tôi", "học", "tiếng", "Việt"]),
    "Korean": ("안녕하세요, 세계!", ["안녕하세요", "세계"]),
    "Russian": ("Й ёлка, мир", ["Й", "ёлка", "мир"]),
    "full-width": ("ＡＢＣ１２３ ａ_ｂ", ["ＡＢＣ１２３", "ａ_ｂ"]),
    "Zalgo": ("Z̸̧͓͆a̷l̴g̵o̶ te̸xt", ["Z̸̧͓͆a̷l̴g̵o̶", "te̸xt"]),
    "marks without a letter": ("\u0301abc \u0301 ≠ a\u0338=b", ["abc", "a\u0338", "b"]),
    "emoji": ("🙂🙂 👍🏽 👩🏽‍🚀 👨‍👩‍👧 🇩🇪 ❤️ I❤️NY", ["I", "NY"]),
    "keycaps, which are digits with marks": ("1\ufe0f\u20e3 *\ufe0f\u20e3", ["1\ufe0f\u20e3"]),
    "a lone surrogate": ("ab\ud800cd", ["ab", "cd"]),
}
JOINED = {
    "Persian": ("می‌خواهم کتاب‌ها را", ["می‌خواهم", "کتاب‌ها", "را"]),
    "Hindi": ("क्\u200dष क्\u200cष", ["क्\u200dष", "क्\u200cष"]),
    "Bengali": ("র\u200d্যাব", ["র\u200d্যাব"]),
    "beside Latin": ("می\u200ca", ["می", "a"]),
    "at an end": ("می\u200c \u200dب", ["می", "ب"]),
    "German, where a joiner ends a word as ever": ("Auf\u200clage", ["Auf", "lage"]),
    "emoji": ("क\u200d👩 a\u200d👩\u200da", ["क", "a", "a"]),
}
UNSPACED = {  # text, by ICU, by character
    "Chinese": ("我今天去北京大学看书。", "我 今天 去 北京 大学 看书", "我 今 天 去 北 京 大 学 看 书"),
    "Japanese": ("「私は東京。」データ", "私 は 東京 データ", "私 は 東 京 デ ー タ"),
    "half-width": ("ｶｸｶﾞ", "ｶｸ ｶﾞ", "ｶ ｸ ｶﾞ"),
    "beyond the first plane": ("𠮷野家で", "𠮷 野家 で", "𠮷 野 家 で"),
    "a variation selector": ("葛\U000e0100飾", "葛\U000e0100 飾", "葛\U000e0100 飾"),
    "mixed": ("iPhone15発売、日本_2", "iPhone15 発売 日本 _2", "iPhone15 発 売 日 本 _2"),
    "Thai": ("ฉันใช้ iPhone15ทุกวัน๒๕", "ฉัน ใช้ iPhone15 ทุก วัน ๒๕", "ฉั น ใ ช้ iPhone15 ทุ ก วั น ๒๕"),
    "Thai sara am": ("น้ำ", "น้ำ", "น้ำ"),
    "Lao": ("ຂ້ອຍໄປໂຮງຮຽນ", "ຂ້ອຍ ໄປ ໂຮງຮຽນ", "ຂ້ ອ ຍ ໄ ປ ໂ ຮ ງ ຮ ຽ ນ"),
    "Khmer": ("ខ្ញុំទៅសាលា។", "ខ្ញុំ ទៅ សាលា", "ខ្ញុំ ទៅ សា លា"),
    "Burmese": ("ကျောင်းသွားသည်။၁၂", "ကျောင်း သွား သည် ၁၂", "ကျော င်း သွား သ ည် ၁၂"),
    "Hanja in Korean": ("大韓民國은", "大韓民國 은", "大 韓 民 國 은"),
}
ALL = [text for text, *_ in [*SPACED.values(), *JOINED.values(), *UNSPACED.values()]] + [TEXT]
FORMS = ("NFC", "NFD")


@pytest.fixture(params=["ICU", "characters"])
def segmentation(request, monkeypatch):
    if request.param == "characters":
        monkeypatch.setattr(words, "_icu", lambda: None)
    return request.param


def composed(texts):
    return [unicodedata.normalize("NFC", text) for text in texts]


@pytest.mark.parametrize("name", SPACED)
def test_marks_stay_in_their_word(name, segmentation):
    text, expected = SPACED[name]
    assert words.words(text) == composed(expected) == composed(REFERENCE.findall(text))
    assert words.segmentation([text]) is None


@pytest.mark.parametrize("name", JOINED)
def test_joiners_stay_in_a_word_of_scripts_that_write_them(name):
    text, expected = JOINED[name]
    assert words.words(text) == composed(expected)


@pytest.mark.parametrize("name", UNSPACED)
def test_what_is_written_without_spaces_is_cut(name, segmentation):
    text, by_icu, by_character = UNSPACED[name]
    assert words.words(text) == composed((by_icu if segmentation == "ICU" else by_character).split())
    assert words.segmentation(["a", None, text]).split()[0] == segmentation


def test_without_icu_no_character_of_a_reader_is_torn(monkeypatch):
    """Every word is whole extended grapheme clusters, as the regex library finds them."""
    monkeypatch.setattr(words, "_icu", lambda: None)
    for text in ALL:
        edges = set(itertools.accumulate(map(len, regex.findall(r"\X", text)), initial=0))
        for start, stop in words.spans(text):
            assert {start, stop} <= edges or regex.search("[\u200c\u200d]|^\u0301|\ufe0f", text)


def test_only_words_without_spaces_are_named():
    assert words.segmentation(["café", "한국어", "हिन्दी", "🙂", "a\u0e31b ฿5", None]) is None
    assert words.segmentation_note(None) == []
    assert "pip install 'trusteq[words]'" in words.segmentation_note("characters")[0]
    assert words.segmentation_note("ICU 1") == ["Texts written without spaces are cut into words by ICU 1."]


def random_texts(n):
    """Texts of letters, marks, joiners and emoji of many scripts in any order."""
    blocks = [(0x20, 0x250), (0x300, 0x370), (0x5D0, 0x6FF), (0x900, 0x980), (0xE00, 0xE80), (0x1000, 0x1200)]
    blocks += [(0x1780, 0x17F0), (0x3040, 0x3100), (0x4E00, 0x4E80), (0xAC00, 0xAC80), (0x1F5FF, 0x1F650)]
    pool = [chr(code) for block in blocks for code in range(*block)] + list(
        "\u200c\u200d\ufe0f\u20e3\U000e0100𠮷 "
    ) * 30
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(pool, size=rng.integers(1, 14))) for _ in range(n)]


def test_words_and_what_is_between_them_are_the_text(segmentation):
    for text in [*ALL, *random_texts(3000)]:
        places = words.spans(text)
        edges = [0, *itertools.chain.from_iterable(places), len(text)]
        assert edges == sorted(edges) and all(start < stop for start, stop in places)
        between = [text[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        assert not any(map(re.compile(r"\w").search, between))
        assert all(re.match(r"\w", text[start:stop]) for start, stop in places)
        assert words.mask(text, [True] * len(places)) == " ".join(text.split())
        assert words.mask(text, [False] * len(places)) == " ".join("".join(between).split())


def test_a_text_and_its_decomposition_have_the_same_words(segmentation):
    for text in [*ALL, *random_texts(3000)]:
        both = [words.words(unicodedata.normalize(form, text)) for form in FORMS]
        assert both[0] == both[1] and both[0] == composed(both[0])


def test_words_within_white_space_are_those_of_the_text(segmentation):
    """Token ids are put together piece by piece, so a piece must have the words that it has in its text."""
    for text in [*ALL, *random_texts(500)]:
        assert words.words(text) == [word for piece in re.findall(r"\S+", text) for word in words.words(piece)]


def test_a_mark_belongs_to_the_word_of_its_letter():
    text = unicodedata.normalize("NFD", "né là")
    assert words.of_tokens([text], [0, 0, 0, 0], [(0, 2), (2, 3), (4, 6), (6, 7)]) == [0, 0, 1, 1]
    assert words.mask(text, [False, True]) == unicodedata.normalize("NFD", "là")


def test_texts_of_scripts_with_spaces_are_cut_as_ever():
    letters = [chr(code) for code in [*range(0x20, 0x250), *range(0x370, 0x483), *range(0xAC00, 0xAD00)]]
    rng = np.random.default_rng(1)
    for _ in range(300):
        text = "".join(rng.choice([*letters, " ", "."] * 3, size=40))
        assert words.spans(text) == [match.span() for match in re.finditer(r"\w+", text)]
        assert words.words(text) == composed(re.findall(r"\w+", text)) and words.unlike_plain(text) == []


def test_importing_and_plain_words_build_nothing():
    code = "import sys; from trusteq import words; words.words('a b'); print('icu4py' in sys.modules, end=' ')"
    code += "; print(words._patterns.cache_info().misses)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root())
    assert done.stdout.split() == ["False", "0"]

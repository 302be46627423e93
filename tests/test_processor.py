"""The processor's name and width, as Linux tells them."""

import os
import platform

import pytest

from trusteq.store import processor

CORES = f"({os.cpu_count()} cores)"


@pytest.mark.parametrize(
    ("flags", "width"),
    [("fpu sse2", ""), ("fpu avx2 sse2", " with AVX2"), ("avx2 avx512f avx512bw", " with AVX-512")],
)
def test_a_processor_is_named_with_its_widest_instructions(tmp_path, flags, width):
    one = f"processor\t: 0\nmodel name\t: AMD EPYC: 7\nflags\t\t: {flags}\n\n"
    (tmp_path / "cpuinfo").write_text(one * 2)
    assert processor(tmp_path / "cpuinfo") == f"AMD EPYC: 7{width} {CORES}"


@pytest.mark.parametrize("text", [None, "", "processor\t: 0\nFeatures\t: fp asimd\n"])
def test_without_a_name_the_architecture_stands_for_it(tmp_path, text):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor(tmp_path / "cpuinfo") == f"{platform.machine()} {CORES}"

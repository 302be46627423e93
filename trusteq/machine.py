"""The processor that a result was made on: how wide it computes decides how sums are rounded."""

import functools
import os
import platform
from pathlib import Path

# What torch chooses its CPU kernels by, widest first: the flag as Linux spells it, and its name.
_WIDTHS = {"avx512f": "AVX-512", "avx2": "AVX2"}


@functools.cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, its widest vector instructions and the number of cores.

    Where the system has no `cpuinfo`, its architecture stands for name and instructions.
    """
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    widest = next((f" with {name}" for flag, name in _WIDTHS.items() if flag in flags), "")
    return f"{facts.get('model name') or platform.machine()}{widest} ({os.cpu_count()} cores)"

"""What a result was measured on. Read in every contestant's environment, so nothing but Python is needed."""

import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

# Flags that say what a core can multiply, widest last.
TELLING = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8")


def describe() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cores": cores(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("vitrail", "torch")},
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_seconds() -> float:
    """Seconds that cores have worked for anybody, or were taken by a hypervisor, since the start; 0 where not told."""
    try:
        ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, ticks)
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


@cache
def flags() -> frozenset[str]:
    """Features of the processor as Linux names them; none where it does not say."""
    return frozenset(_cpuinfo().get("flags", "").split())


def _processor() -> str:
    name = _cpuinfo().get("model name", platform.processor() or platform.machine())
    return f"{name} ({', '.join(flag for flag in TELLING if flag in flags())})"


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}

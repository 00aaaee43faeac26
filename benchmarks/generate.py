"""What one `sora generate` costs in all, start of the program and loading of the model included.

python benchmarks/generate.py --size 128x128 --seconds 2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pairing import spread

CPU_LIMIT, MEMORY_LIMIT = 15.0, 1500
"""Seconds of all processors together and MiB: what 2 seconds of 128x128 may cost."""
PROMPT = "a red ball bounces in a meadow during the day"


def once(size: str, seconds: float, out: Path) -> tuple[float, float]:
    """CPU seconds and peak MiB of one run in a process of its own; raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "sora_core", "generate", PROMPT, "--size", size, "--seconds", str(seconds)]
    child = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)  # this child alone, not the most that any child ever used
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, kibibytes on Linux
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="128x128")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [once(options.size, options.seconds, Path(folder) / "clip.mp4") for _ in range(options.runs)]
    cpu, memory = spread([r[0] for r in runs]), max(r[1] for r in runs)
    kept = cpu.middle <= CPU_LIMIT and memory < MEMORY_LIMIT
    print(f"sora generate, {options.seconds:g} s of {options.size}, {options.runs} runs")
    print(f"CPU seconds, median (quartiles) {cpu}; limit {CPU_LIMIT:g}")
    print(f"most MiB {memory:.0f}; limit {MEMORY_LIMIT}")
    print("within the limits" if kept else "above a limit")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

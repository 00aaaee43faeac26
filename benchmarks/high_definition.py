"""Peak memory and time of the way from a small video to a large one, against its duration: every row is a process.

python benchmarks/high_definition.py --size 1920x1080 --seconds 2 4
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGA = 2**20
PROMPT = "a red ball with a white stripe bounces in a green meadow during the day"


def work(arguments: list[str]) -> None:
    """Run one command of the command line and print its peak memory in bytes, seconds and CPU seconds."""
    from sora_core.cli import main

    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(most, time.perf_counter() - start, time.process_time())
    sys.exit(code)


def measured(*arguments: object) -> list[float]:
    """What `work` prints, from a process of its own."""
    command = [sys.executable, __file__, "--work", *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    if "--work" in sys.argv[1:2]:
        work(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080", metavar="WxH")
    parser.add_argument("--seconds", nargs="+", type=float, default=[2, 4], help="durations, at 8 frames per second")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tile", type=int, default=256, help="pixels of a tile's sides")
    options = parser.parse_args()
    width, height = (int(word) for word in options.size.split("x"))
    small = f"96x{round(96 * height / width)}"
    print(f"{small} to {options.size} at 8 frames per second, {options.steps} steps without guidance, tiles of"
          f" {options.tile}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'seconds':>8} {'peak MiB':>9} {'growth MiB':>11} {'time':>8} {'CPU':>8}")
    first = None
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory() as folder:
            preview, final = Path(folder) / "preview.mp4", Path(folder) / "final.mp4"
            measured("generate", PROMPT, "--size", small, "--seconds", seconds, "--steps", 6, "--out", preview)
            most, took, cpu = measured(
                "finish", preview, PROMPT, "--size", options.size, "--steps", options.steps, "--guidance", 1,
                "--tile", options.tile, "--out", final,
            )  # fmt: skip
        first = first or most
        print(f"{seconds:8g} {most / MEGA:9.1f} {(most - first) / MEGA:11.1f} {took:8.1f} {cpu:8.1f}", flush=True)


if __name__ == "__main__":
    main()

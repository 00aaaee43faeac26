"""The benchmarks that run blocks in ComfyUI find it, its stand-ins and the pack, from a process of their own."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_easycache_prints_a_row_for_each_threshold(comfyui):
    small = ["--size", "32", "--steps", "2", "--prompts", "1", "--thresholds", "0.1", "0.4"]
    process = subprocess.run(
        [sys.executable, "easycache.py", *small], cwd=BENCHMARKS, capture_output=True, text=True, timeout=240
    )
    assert process.returncode == 0, process.stderr
    rows = [line.split() for line in process.stdout.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["0.00", "0.10", "0.40"]
    assert float(rows[0][1]) == 2

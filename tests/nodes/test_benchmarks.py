"""The benchmarks run from a process of their own: those with blocks find ComfyUI, its stand-ins and the pack."""

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


def test_streaming_refuses_videos_without_frames_at_once():
    process = subprocess.run(
        [sys.executable, "streaming.py", "--frames", "0"], cwd=BENCHMARKS, capture_output=True, text=True, timeout=30
    )
    assert process.returncode == 2
    assert "--frames has 0" in process.stderr

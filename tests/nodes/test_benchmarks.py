"""The benchmarks run in a process of their own, find ComfyUI and the pack there, and ask and count rightly."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_easycache_prints_a_row_for_each_threshold(comfyui):
    small = ["--size", "32", "--steps", "2", "--prompts", "1", "--thresholds", "0.1", "0.4"]
    process = subprocess.run([sys.executable, "easycache.py", *small], cwd=BENCHMARKS, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    rows = [line.split() for line in process.stdout.splitlines()[-3:]]
    assert [row[0] for row in rows] == ["0.00", "0.10", "0.40"]
    assert float(rows[0][1]) == 2


def test_streaming_refuses_videos_without_frames_at_once():
    process = subprocess.run(
        [sys.executable, "streaming.py", "--frames", "0"], cwd=BENCHMARKS, capture_output=True, text=True
    )
    assert process.returncode == 2
    assert "--frames has 0" in process.stderr


def test_pictures_are_asked_only_for_what_the_judge_tells(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    captions = import_module("captions")
    frame = torch.zeros(1, 3, 1, 64, 64)
    (seen,) = captions.answers(captions.load_judge(), frame, 8.0)
    asked = captions.asked(32)
    assert any("second_subject" in wanted for _, _, wanted in asked)
    assert all(wanted.keys() <= seen.keys() for _, _, wanted in asked)


def test_the_sizes_of_one_prompt_are_not_so_many_prompts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    framing = import_module("framing")
    better = torch.tensor([0.3, -0.2] * 8)
    each, pooled = framing.each_prompt([better] * 3), torch.cat([better] * 3)
    assert framing.chance(each) == framing.chance(better) > framing.chance(pooled)

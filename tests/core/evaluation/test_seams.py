"""Seams are told from what jumps everywhere, also where a fade has moved them."""

import pytest
import torch

from sora_core.evaluation.seams import HANDOVERS, evaluate_seams, seam
from sora_core.pipeline import Sora
from sora_core.shapes import VideoShape

BEGINS = list(range(5, 37, 4))


def clip(*jumps):
    """Light that grows evenly, pulses wherever a latent frame begins, and jumps at the given frames."""
    light = torch.arange(40).float() * 0.01
    for frame in BEGINS:
        light[frame:] += 0.02
    for frame in jumps:
        light[frame:] += 0.1
    return light[None, :, None, None].expand(3, -1, 4, 4)


def test_a_video_without_seams_measures_one():
    assert seam(clip(), BEGINS, [17]) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("frame", [17, 13])
def test_a_jump_is_seen_at_the_seam_and_one_latent_frame_before(frame):
    assert seam(clip(frame), BEGINS, [17]) == pytest.approx(6.0, rel=1e-3)


def test_every_handover_is_measured(nano_file):
    shape = VideoShape(num_frames=49, height=32, width=32, fps=8.0)
    lines = []
    report = evaluate_seams(Sora.load(nano_file), seeds=1, shape=shape, steps=1, say=lines.append)
    assert list(report) == list(HANDOVERS)
    assert all(value > 0 for value in report.values())
    assert len(lines) == len(HANDOVERS)


def test_a_fade_over_all_of_an_overlap_is_left_out(slow):
    shape = VideoShape(num_frames=49, height=32, width=32, fps=8.0)
    lines = []
    report = evaluate_seams(slow, seeds=1, shape=shape, steps=1, say=lines.append)
    assert list(report) == [name for name, way in HANDOVERS.items() if not way.fusion]
    assert "seams, its last half faded: left out, for 1 s are one latent frame of this model" in lines

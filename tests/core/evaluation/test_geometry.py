"""Reprojection: points are found where the known camera sees them, and a camera that stops is found out."""

from __future__ import annotations

import pytest
import torch

from sora_core.evaluation.editing_bench import SHAPE, Bench
from sora_core.evaluation.fidelity import SamplerSettings
from sora_core.evaluation.geometry import camera_prompts, film, geometry_report, reprojection_error, seen_again


@pytest.fixture(scope="module")
def clips():
    """A clip of every way in which the camera can move."""
    return [film(prompt) for prompt in camera_prompts(5)]


def pixels(clip):
    return clip.frames.permute(3, 0, 1, 2).float().div(255)


def test_a_frame_sees_its_own_points_where_they_are(clips):
    place, seen = seen_again(clips[0].truth, 3, 3)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    expected = torch.stack((columns, rows), dim=-1) * 2 / 64 + 1 / 64 - 1
    assert (place - expected)[seen].abs().max() < 1e-3
    solid = clips[0].truth.depth[3].isfinite()
    assert not seen[~solid].any()
    assert seen[solid].float().mean() > 0.95  # all but outlines, where depths of two things mix


def test_rendered_clips_are_solid_and_a_camera_that_stops_is_found_out(clips):
    for clip in clips:
        stopped = pixels(clip)
        stopped[:, 5:] = stopped[:, 4:5]
        assert reprojection_error(pixels(clip), clip) < 0.4 * reprojection_error(stopped, clip)


def test_frames_that_are_not_there_are_refused(clips):
    with pytest.raises(ValueError, match="frames 4 and 17 were asked for, but the clip has 17"):
        seen_again(clips[0].truth, 4, 17)


def test_a_model_is_measured_beside_what_is_right_and_what_is_wrong(nano, judge):
    report = geometry_report(Bench(nano, judge, 1, SamplerSettings(steps=1)))
    errors = report["reprojection error"]
    assert errors["rendered"] < errors["camera stops"]
    assert errors["generated"] > errors["rendered"]


def test_frames_are_looked_at_when_the_camera_was_there_however_long_latent_frames_are(slow, judge, monkeypatch):
    lengths = []
    monkeypatch.setattr(
        "sora_core.evaluation.geometry.reprojection_error", lambda video, clip: lengths.append(video.shape[1]) or 0.0
    )
    geometry_report(Bench(slow, judge, 1, SamplerSettings(steps=1)))
    assert lengths == [SHAPE.num_frames] * 4

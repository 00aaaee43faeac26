"""The procedural world draws what its attributes say, the same way every time, and knows where everything is."""

from __future__ import annotations

import colorsys
import itertools
import math

import pytest
import torch

from sora_core.data.worlds import HELD_OUT, Attributes, render, render_images, sample_attributes, sample_scene
from sora_core.data.worlds.attributes import CAMERAS, COLOURS, ENVIRONMENTS, MOTIONS, SUBJECTS, TIMES
from sora_core.data.worlds.scene import PALETTE, Mix

ASPECTS = ((32, 32), (27, 60), (60, 27))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _attributes(**changes: str) -> Attributes:
    plain = {"subject": "cube", "colour": "red", "environment": "studio", "time": "day"}
    return Attributes(**(plain | {"motion": "still", "camera": "static"} | changes))


def _scene(seed: int = 0, **changes: str):
    return sample_scene(_generator(seed), _attributes(**changes))


def _centres(motion: str, seconds: float = 2.0, **changes: str) -> torch.Tensor:
    """Middles (t 2) of the subject's boxes over a clip."""
    boxes = render(_scene(motion=motion, **changes), 9, 32, 32, 8 / seconds).truth.boxes[:, 0]
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def test_same_seed_draws_same_clip():
    first, again = (render(sample_scene(_generator(3)), 3, 24, 40, 8) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    assert first.attributes == again.attributes
    other = render(sample_scene(_generator(4)), 3, 24, 40, 8)
    assert not torch.equal(first.frames, other.frames)


def test_pictures_do_not_depend_on_their_batch():
    scenes = [sample_scene(_generator(seed)) for seed in range(12)]
    times = [0.1 * index for index in range(12)]
    together = render_images(scenes, times, 32, 40)
    for scene, seconds, picture in zip(scenes, times, together, strict=True):
        alone = render(scene, 1, 32, 40, 8, start=seconds, want_truth=False).frames[0]
        # Vector and scalar code paths of the processor may round the last bit differently.
        assert (alone.int() - picture.int()).abs().max() <= 1


def test_a_clip_is_its_frames():
    scene = sample_scene(_generator(11))
    clip = render(scene, 6, 32, 32, 4)
    later = render(scene, 2, 32, 32, 4, start=1.0)
    assert (clip.frames[4:].int() - later.frames.int()).abs().max() <= 1
    assert torch.allclose(clip.truth.positions[4:], later.truth.positions)


@pytest.mark.parametrize("motion", MOTIONS)
def test_periodic_clips_repeat(motion: str):
    for camera, period in zip(CAMERAS, (1.0, 1.5, 2.0, 3.0, 2.0, 1.75), strict=True):
        scene = sample_scene(_generator(5), _attributes(motion=motion, camera=camera, environment="sea"), period)
        times = [0.0, 0.4 * period]
        first = render_images([scene, scene], times, 20, 20)
        again = render_images([scene, scene], [t + period for t in times], 20, 20)
        assert (first.int() - again.int()).abs().max() <= 2


def test_unperiodic_clips_do_not_repeat():
    scene = _scene(camera="push_in")
    first, later = render_images([scene, scene], [0.0, 2.0], 20, 20)
    assert (first.int() - later.int()).abs().max() > 20


@pytest.mark.parametrize(("height", "width"), ASPECTS)
def test_subject_stays_in_frame(height: int, width: int):
    for index, (motion, camera) in enumerate(itertools.product(MOTIONS, CAMERAS)):
        # Every pair at one of the aspects, and at each aspect every motion and every camera.
        if (index + index // len(CAMERAS) + ASPECTS.index((height, width))) % len(ASPECTS):
            continue
        a = _attributes(motion=motion, camera=camera, subject=SUBJECTS[index % 10], time="night")
        truth = render(sample_scene(_generator(index), a, seconds=4.0), 9, height, width, 2.1).truth
        subject = truth.boxes[:, 0]
        assert 0 < subject.min() < subject.max() < 1, (motion, camera, a.subject)
        assert (truth.mask == 1).flatten(1).any(1).all()


def test_subjects_are_large():
    for index, subject in enumerate(SUBJECTS):
        box = render(_scene(index, subject=subject), 1, 64, 64, 8).truth.boxes[0, 0]
        assert 0.38 < max(box[2] - box[0], box[3] - box[1]) < 0.75, subject


def test_boxes_agree_with_mask():
    truth = render(_scene(subject="duck", second_subject="ball", second_colour="blue"), 2, 48, 64, 8).truth
    for frame, identity in itertools.product(range(2), (1, 2)):
        rows, columns = (truth.mask[frame] == identity).nonzero().unbind(1)
        drawn = torch.stack((columns.min() / 64, rows.min() / 48, (columns.max() + 1) / 64, (rows.max() + 1) / 48))
        assert torch.allclose(truth.boxes[frame, identity - 1], drawn)
    assert not truth.boxes[:, 2].any()


def test_mask_agrees_with_colours():
    clip = render(_scene(subject="cube", colour="green", environment="snow"), 1, 48, 48, 8)
    red, green, blue = clip.frames[0].float().unbind(-1)
    greenish = (green > 1.5 * red) & (green > 1.5 * blue)
    differ = (greenish != (clip.truth.mask[0] == 1)).float().mean()
    assert differ < 0.03


def test_positions_poses_and_intrinsics_agree():
    truth = render(_scene(subject="ball", motion="circle", camera="orbit"), 4, 60, 80, 2).truth
    for frame in range(4):
        middle = truth.positions[frame] + torch.tensor((0.0, 0.5, 0.0))
        x, y, z = (torch.linalg.inv(truth.poses[frame]) @ torch.cat((middle, torch.ones(1))))[:3]
        column, row, _ = truth.intrinsics @ torch.stack((x, -y, -z)) / -z
        box = truth.boxes[frame, 0] * torch.tensor((80, 60, 80, 60))
        assert (column - (box[0] + box[2]) / 2).abs() < 2.5
        assert (row - (box[1] + box[3]) / 2).abs() < 2.5
        # The visible side of the ball is half a unit nearer than its middle.
        assert (truth.depth[frame, int(row), int(column)] - (-z - 0.5)).abs() < 0.1


def test_mirrored_clip_is_the_mirror_of_everything():
    clip = render(_scene(motion="left", camera="pan_right", subject="car"), 5, 32, 48, 4)
    mirror = clip.mirrored()
    assert (mirror.attributes.motion, mirror.attributes.camera) == ("right", "pan_left")
    assert torch.equal(mirror.frames, clip.frames.flip(2))
    columns = (mirror.truth.mask[0] == 1).any(0).nonzero()
    assert math.isclose(mirror.truth.boxes[0, 0, 0], columns.min() / 48, abs_tol=1e-6)
    assert torch.allclose(mirror.truth.positions[:, 0], -clip.truth.positions[:, 0])
    assert torch.allclose(torch.linalg.det(mirror.truth.poses), torch.ones(5))
    twice = mirror.mirrored()
    assert torch.equal(twice.frames, clip.frames)
    assert torch.allclose(twice.truth.boxes, clip.truth.boxes)


def test_motions_do_what_they_say():
    left, right = _centres("left")[:, 0], _centres("right")[:, 0]
    assert left[0] - left[-1] > 0.2
    assert right[-1] - right[0] > 0.2
    rise, bounce = _centres("rise", seconds=1.6)[:, 1], _centres("bounce")[:, 1]
    assert rise[0] - rise[-1] > 0.15
    assert (bounce.diff().sign().diff() != 0).sum() >= 2
    for motion in ("still", "spin", "roll"):
        assert _centres(motion).std(0).max() < 0.09
    assert _centres("circle")[:, 0].std() > 0.05


def test_still_clips_hold_still_and_turning_ones_turn():
    change = {}
    for motion in ("still", "spin", "roll"):
        frames = render(_scene(motion=motion, subject="ball"), 2, 32, 32, 4).frames.float()
        change[motion] = (frames[1] - frames[0]).abs().mean()
    assert change["still"] == 0
    assert change["spin"] > 2
    assert change["roll"] > 2


def test_cameras_do_what_they_say():
    def boxes(camera: str) -> torch.Tensor:
        return render(_scene(camera=camera), 2, 48, 48, 0.5).truth.boxes[:, 0]

    def widths(camera: str) -> torch.Tensor:
        return boxes(camera)[:, 2] - boxes(camera)[:, 0]

    assert widths("push_in")[1] > 1.15 * widths("push_in")[0]
    assert widths("pull_out")[1] < 0.87 * widths("pull_out")[0]
    assert boxes("pan_left")[1, 0] > boxes("pan_left")[0, 0] + 0.05
    assert boxes("pan_right")[1, 0] < boxes("pan_right")[0, 0] - 0.05
    assert torch.equal(boxes("static")[0], boxes("static")[1])


def test_colours_read_at_every_time_of_day():
    hues = {name: colorsys.rgb_to_hsv(*rgb)[0] for name, rgb in PALETTE.items()}
    for colour, time in itertools.product(COLOURS, TIMES):
        clip = render(_scene(colour=colour, time=time, environment="meadow"), 1, 32, 32, 8)
        red, green, blue = clip.frames[clip.truth.mask == 1].float().mean(0).div(255).tolist()
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        nearest = min(hues, key=lambda name: min(abs(hues[name] - hue), 1 - abs(hues[name] - hue)))
        assert nearest == colour, (time, hue)
        assert saturation > 0.3
        assert value > 0.3


def test_times_of_day_differ_in_the_sky():
    for environment in ENVIRONMENTS:
        sky = {t: render(_scene(environment=environment, time=t), 1, 32, 32, 8).frames[0, :3].float() for t in TIMES}
        mean = {time: row.mean((0, 1)) for time, row in sky.items()}
        assert mean["night"].mean() < 0.5 * mean["day"].mean(), environment
        assert mean["sunset"][0] - mean["sunset"][2] > mean["day"][0] - mean["day"][2] + 10, environment


def test_wall_hides_but_boxes_do_not_shrink():
    scene = _scene(subject="ball", motion="right", occluder="wall")
    truth = render(scene, 9, 48, 48, 4).truth
    visible = (truth.mask == 1).flatten(1).sum(1)
    size = (truth.boxes[:, 0, 2:] - truth.boxes[:, 0, :2]).prod(1) * 48 * 48 * math.pi / 4
    assert (truth.mask == 3).any()
    assert (visible / size).min() < 0.85
    assert (size.max() / size.min()) < 1.25


def test_second_subject_is_smaller_and_apart():
    for seed in range(6):
        a = _attributes(second_subject=SUBJECTS[seed], second_colour="cyan", motion=MOTIONS[seed])
        boxes = render(sample_scene(_generator(seed), a), 5, 40, 40, 2.5).truth.boxes
        first, second = boxes[:, 0], boxes[:, 1]
        assert ((second[:, 3] - second[:, 1]) < 0.8 * (first[:, 3] - first[:, 1])).all()
        overlap = torch.minimum(first[:, 2], second[:, 2]) - torch.maximum(first[:, 0], second[:, 0])
        assert overlap.max() < 0.03
        assert second.min() > 0
        assert second.max() < 1


def test_a_tenth_of_the_triples_is_held_out():
    triples = list(itertools.product(SUBJECTS, COLOURS, ENVIRONMENTS))
    assert 0.07 < sum(HELD_OUT(*triple) for triple in triples) / len(triples) < 0.13
    for subject in SUBJECTS:
        assert not all(HELD_OUT(subject, c, e) for c, e in itertools.product(COLOURS, ENVIRONMENTS))
    generator = _generator(0)
    for wanted, _ in itertools.product((True, False), range(40)):
        a = sample_attributes(generator, held_out=wanted)
        assert HELD_OUT(a.subject, a.colour, a.environment) == wanted
    pairs = [sample_attributes(generator, held_out=False, mix=Mix(pairs=1.0)) for _ in range(100)]
    assert not any(HELD_OUT(a.second_subject, a.second_colour, a.environment) for a in pairs)


def test_attributes_follow_their_shares():
    generator = _generator(1)
    drawn = [sample_attributes(generator) for _ in range(2000)]

    def share(name: str, value: str) -> float:
        return sum(getattr(a, name) == value for a in drawn) / len(drawn)

    assert abs(share("motion", "still") - 0.20) < 0.03
    assert abs(share("camera", "static") - 0.45) < 0.04
    assert abs(share("second_subject", "none") - 0.70) < 0.04
    assert abs(share("occluder", "wall") - 0.07) < 0.02
    for subject in SUBJECTS:
        assert abs(share("subject", subject) - 0.1) < 0.03
    assert all(a.second_colour != a.colour for a in drawn)
    # Shares of pairs and walls change who has company, what stands in front and nothing else.
    mixed = [sample_attributes(g, mix=Mix(pairs=0.6, walls=0.3)) for g in [_generator(1)] for _ in range(2000)]
    assert abs(sum(a.second_subject != "none" for a in mixed) / 2000 - 0.6) < 0.04
    assert abs(sum(a.occluder == "wall" for a in mixed) / 2000 - 0.3) < 0.04
    assert [(a.subject, a.motion, a.camera) for a in mixed] == [(a.subject, a.motion, a.camera) for a in drawn]


def test_impossible_requests_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="0 frames"):
        render(_scene(), 0, 32, 32, 8)
    with pytest.raises(ValueError, match="length of the loop"):
        sample_scene(_generator(0), None, True)


def test_odd_sizes_come_out_exactly():
    clip = render(_scene(), 2, 47, 65, 8)
    assert clip.frames.shape == (2, 47, 65, 3)
    assert clip.frames.dtype == torch.uint8
    assert clip.truth.depth.shape == clip.truth.mask.shape == (2, 47, 65)
    assert render(_scene(), 1, 1, 1, 8).frames.shape == (1, 1, 1, 3)

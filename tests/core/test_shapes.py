"""Sizes: what is generated underneath, what is said about it, and which requests are refused."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from sora_core.shapes import Compression, VideoShape, margins

MINI = Compression(time=4, space=8)


def test_latent_frames_are_the_fewest_that_hold_the_frames():
    for time in (1, 4, 8):
        compression = Compression(time=time, space=8)
        for frames in range(1, 60):
            latent = compression.latent_frames(frames)
            assert compression.num_frames(latent) >= frames
            assert latent == 1 or compression.num_frames(latent - 1) < frames


def test_a_padded_shape_is_the_smallest_whole_grid_around_the_request():
    numbers = random.Random(1)
    for _ in range(200):
        shape = VideoShape(
            num_frames=numbers.randint(1, 50), height=numbers.randint(1, 300), width=numbers.randint(1, 300)
        )
        padded = shape.padded(MINI)
        assert padded.padded(MINI) == padded
        assert 0 <= padded.height - shape.height < 16
        assert 0 <= padded.width - shape.width < 16
        assert 0 <= padded.num_frames - shape.num_frames < 4
        latent = shape.latent(MINI, channels=16)
        assert (latent.height * 8, latent.width * 8) == (padded.height, padded.width)
        assert MINI.num_frames(latent.frames) == padded.num_frames
        assert latent.grid((1, 2, 2)) == (latent.frames, padded.height // 16, padded.width // 16)


def test_the_note_names_both_sizes_and_is_silent_when_nothing_was_rounded():
    odd = VideoShape(num_frames=7, height=47, width=65)
    assert odd.rounding_note(MINI) == "7 frames of 65x47 are generated as 9 frames of 80x48 and cropped"
    assert VideoShape(num_frames=9, height=48, width=80).rounding_note(MINI) == ""


def test_a_resized_video_is_generated_in_nearly_its_shape_and_hardly_enlarged():
    numbers = random.Random(2)
    for _ in range(300):
        height, width = numbers.randint(16, 300), numbers.randint(16, 300)
        shape = VideoShape(num_frames=1, height=height, width=width, resized=True)
        made = shape.padded(MINI)
        assert (made.height % 16, made.width % 16) == (0, 0)
        assert shape.lies_in(made.height, made.width)
        rows, columns = (part.stop - part.start for part in shape.area(made.height, made.width))
        assert rows <= made.height
        assert columns <= made.width
        assert max(height / rows, width / columns) < 1.08
        assert rows / columns == pytest.approx(height / width, rel=0.04)
        least = replace(shape, resized=False).padded(MINI)
        seen = rows * columns / (made.height * made.width)
        assert seen >= 0.85 or seen > height * width / (least.height * least.width)


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((54, 118), "64x144 and resized"),
        ((100, 64), "96x64 and resized"),
        ((100, 100), "96x96 and resized"),
        ((300, 200), "304x208 and cropped"),
        ((1920, 1080), "1920x1088 and cropped"),
    ],
)
def test_only_what_would_lose_much_is_resized(size, made):
    shape = VideoShape(num_frames=1, width=size[0], height=size[1], resized=True)
    assert shape.rounding_note(MINI).endswith(made)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 21, 54, 128])
def test_a_video_lies_in_the_middle_of_the_frames_that_hold_it(size):
    shape = VideoShape(num_frames=1, height=size, width=128)
    before, after = margins(size, 16)
    assert before + size + after == shape.padded(MINI).height
    assert 0 <= after - before <= 1
    assert shape.area(before + size + after, 128) == (slice(before, before + size), slice(0, 128))


def test_zero_seconds_are_one_frame_and_a_still_image_lasts_zero_seconds():
    still = VideoShape.from_seconds(width=64, height=64, seconds=0, fps=8)
    assert (still.num_frames, still.seconds) == (1, 0.0)
    assert VideoShape.from_seconds(width=64, height=64, seconds=2.5, fps=8).num_frames == 20


def test_whole_numbers_of_any_kind_are_kept_as_such_for_slices_and_json():
    shape = VideoShape(num_frames=8.0, height=128 / 2, width=64.0, fps=Fraction(8))
    assert shape == VideoShape(num_frames=8, height=64, width=64)
    assert [type(number) for number in vars(shape).values()] == [int, int, int, float, bool]
    assert all(type(edge.stop) is int for edge in shape.area(64, 64))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"width": 0}, "width is 0; it must be at least 1"),
        ({"height": -5}, "height is -5; it must be at least 1"),
        ({"height": 8.5}, "height is 8.5; it must be a whole number"),
        ({"seconds": float("nan")}, r"seconds is nan; it must be 0 \(a still image\) or more"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"seconds": -1}, "seconds is -1"),
        ({"seconds": 1e308}, "more frames than can be counted"),
        ({"fps": 0}, "fps is 0; it must be a positive number, for instance 8"),
        ({"fps": float("nan")}, "fps is nan"),
    ],
)
def test_impossible_requests_get_one_sentence(request_, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        VideoShape.from_seconds(**{"width": 64, "height": 64, "seconds": 1, "fps": 8, **request_})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 2, 2)])
def test_a_video_above_the_token_budget_is_told_how_many_frames_fit(patch):
    shape = VideoShape(num_frames=400, height=128, width=128)
    with pytest.raises(ValueError, match="above the limit of 1,000") as caught:
        shape.latent(MINI, 16, patch, max_tokens=1000)
    fitting = int(str(caught.value).rpartition(": ")[2].split()[0])
    VideoShape(num_frames=fitting, height=128, width=128).latent(MINI, 16, patch, max_tokens=1000)
    with pytest.raises(ValueError, match="above the limit"):
        VideoShape(num_frames=fitting + 1, height=128, width=128).latent(MINI, 16, patch, max_tokens=1000)


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (10**9, 1), (1, 10**9), (30_000, 9_000)])
def test_a_frame_above_the_token_budget_is_told_a_size_that_fits(width, height):
    with pytest.raises(ValueError, match="above the limit") as caught:
        VideoShape(num_frames=1, height=height, width=width).latent(MINI, 16, max_tokens=10_000)
    width, height = map(int, str(caught.value).split("one frame of ")[1].split()[0].split("x"))
    fitting = VideoShape(num_frames=1, height=height, width=width)
    assert fitting.rounding_note(MINI) == ""
    latent = fitting.latent(MINI, 16, max_tokens=10_000)
    assert latent.height * latent.width // 4 > 9_000


def test_a_latent_that_is_no_whole_grid_is_refused():
    latent = VideoShape(num_frames=1, height=8, width=8).latent(MINI, 16, (1, 1, 1))
    with pytest.raises(ValueError, match="not a whole number of"):
        latent.grid((1, 2, 2))
